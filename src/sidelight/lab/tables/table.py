"""Summary rows as Markdown and for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from sidelight.lab.tables.summary import Cell, Rows, Table, build_tables, short
from sidelight.viz import style

LEGEND = (
    "↓ lower is better, ↑ higher is better. Best method in bold, second underlined; ± is the 95 % interval. "
    "Signed methods are judged by absolute value (|·|) or positive part (+), whichever is better in that "
    "column. Trivial maps, below the line, are controls and are not ranked; † marks one that equals or beats "
    "every method."
)
#: What fits a terminal; the Markdown table and the page have every metric.
HEADLINE = ("average_drop", "deletion_auc", "insertion_auc", "srg", "mean_score", "auprc", "pointing_game")
#: headers of the terminal's columns, where the full label does not fit
SHORT = {
    "average_drop": "drop",
    "deletion_auc": "delete",
    "insertion_auc": "insert",
    "mean_score": "mean S",
    "pointing_game": "point",
}


def markdown_table(rows: Rows, ours: str = style.OURS, *, intervals: bool = True) -> str:
    """Markdown: one table for each dataset, modality, fill and granularity.

    Best value ``**bold**``, second ``<u>underlined</u>``, by the metric's own direction.

    Args:
        rows: summary lines (dataset, modality, method, reduction, fill, granularity, metric,
            mean, sd, ci95, n).
        ours: name of our method; its label is bold.
        intervals: add ± half the 95 % interval.

    Raises:
        InputError: a row lacks its method, metric or mean.
    """
    blocks = [
        f"### {escape(heading(table))}\n\n{_markdown(table, intervals)}\n"
        for table in build_tables(rows, ours)
    ]
    return "\n".join([*blocks, LEGEND.replace("|", r"\|"), ""]) if blocks else "No results.\n"


def terminal_tables(
    rows: Rows, ours: str = style.OURS, *, metrics: Sequence[str] = HEADLINE
) -> list[RichTable]:
    """Rich tables of the main metrics, one for each dataset, modality, fill and granularity.

    Args:
        rows: as for :func:`markdown_table`.
        ours: name of our method, highlighted.
        metrics: columns to show, where present.

    Raises:
        InputError: a row lacks its method, metric or mean.
    """
    kept = [row for row in rows if row.get("metric") in metrics] or rows
    return [_rich(table) for table in build_tables(kept, ours)]


def heading(table: Table) -> str:
    """``"mnist · image · zero fill · by pixel · n = 500"``."""
    parts = [
        table.dataset,
        table.modality,
        f"{table.fill} fill" if table.fill else "",
        f"by {table.granularity}" if table.granularity else "",
        table.remark,
        f"n = {table.n}",
    ]
    return " · ".join(part for part in parts if part)


def _markdown(table: Table, intervals: bool) -> str:
    head = ["method", *(f"{c.label} {c.arrow}".strip() for c in table.columns)]
    out = [head, ["---", *["---:"] * len(table.columns)]]
    for previous, line in zip((None, *table.lines), table.lines, strict=False):
        if line.kind == "control" and (previous is None or previous.kind != "control"):
            out.append(["*trivial maps*", *[""] * len(table.columns)])
        label = escape(line.label)
        label = f"**{label}**" if line.kind == "ours" else label
        out.append([label, *(_markdown_cell(cell, intervals) for cell in line.cells)])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in out)


def _markdown_cell(cell: Cell | None, intervals: bool) -> str:
    if cell is None:
        return ""
    text = {1: f"**{cell.text}**", 2: f"<u>{cell.text}</u>"}.get(cell.rank or 0, cell.text)
    if intervals and cell.half_width is not None:
        text += f" ±{short(cell.half_width)}"
    return text + (f" {escape(cell.mark)}" if cell.mark else "") + (" †" if cell.beats else "")


def _rich(table: Table) -> RichTable:
    out = RichTable(
        title=Text(heading(table)),
        title_justify="left",
        caption=Text("a: absolute value, +: positive part; †: a trivial map that no method beats"),
        caption_justify="left",
        header_style="dim",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 0, 0, 1),
        collapse_padding=True,
    )
    out.add_column("method", no_wrap=True)
    for column in table.columns:
        # wide enough for a value and its mark, so that seven columns fit 80 characters whole
        label = SHORT.get(column.name, column.label)
        out.add_column(Text(f"{label} {column.arrow}".strip()), justify="right", min_width=7)
    for position, line in enumerate(table.lines):
        following = table.lines[position + 1].kind if position + 1 < len(table.lines) else line.kind
        name = Text(line.label, style="bold" if line.kind == "ours" else "")
        out.add_row(
            name,
            *(_rich_cell(cell) for cell in line.cells),
            style="dim" if line.kind == "control" else "",
            end_section=line.kind != "control" and following == "control",
        )
    return out


def _rich_cell(cell: Cell | None) -> Text:
    if cell is None:
        return Text("")
    look = {1: "bold green", 2: "underline"}.get(cell.rank or 0, "")
    mark = "†" if cell.beats else {"abs": "a", "positive": "+"}.get(cell.reduction, " ")
    return Text.assemble((cell.text, look), (mark, "dim not underline not bold"))


def escape(text: str) -> str:
    """``text`` as it is in Markdown, on one line."""
    for char, safe in (
        ("&", "&amp;"),
        ("<", "&lt;"),
        (">", "&gt;"),
        ("|", "\\|"),
        ("*", "\\*"),
        ("_", "\\_"),
    ):
        text = text.replace(char, safe)
    return " ".join(text.split())
