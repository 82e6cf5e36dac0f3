"""A table for the terminal."""

from __future__ import annotations

from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from sidelight.lab.tables.table import Cell, Column, Line, Table

#: headings for metrics whose labels are too long for a terminal
SHORT = {
    "average_drop": "drop",
    "deletion_auc": "delete",
    "insertion_auc": "insert",
    "mean_score": "mean S",
    "pointing_game": "point",
    "constant_map": "flat",
}


def terminal(table: Table, caption: str = "") -> RichTable:
    """``table`` with its best values in colour and without spreads."""
    out = RichTable(
        title=Text(table.title) if table.title else None,
        title_justify="left",
        caption=Text(caption) if caption else None,
        caption_justify="left",
        header_style="dim",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 0, 0, 1),
        collapse_padding=True,
    )
    out.add_column(table.first, no_wrap=True)
    for column in table.columns:
        # Wide enough for a value and its mark, so that seven columns fit 80 characters.
        justify, width = ("left", None) if column.left else ("right", 7)
        out.add_column(_heading(column), justify=justify, min_width=width)  # type: ignore[arg-type]
    previous = ""
    for line in table.lines:
        if line.kind == "control" and previous not in ("", "control"):
            out.add_section()
        previous = line.kind
        dim = "dim" if line.kind in ("control", "collapsed") else ""
        out.add_row(_label(line), *(_cell(cell) for cell in line.cells), style=dim)
    return out


def _heading(column: Column) -> Text:
    return Text(f"{SHORT.get(column.name, column.label)} {column.arrow}".strip())


def _label(line: Line) -> Text:
    dagger = " †" if line.kind == "collapsed" else ""
    return Text(line.label + dagger, style="bold" if line.kind == "ours" else "")


def _cell(cell: Cell | None) -> Text:
    if cell is None:
        return Text("")
    look = {1: "bold green", 2: "underline"}.get(cell.rank or 0, "")
    mark = "†" if cell.beats else {"abs": "a", "positive": "+"}.get(cell.reduction, " ")
    return Text.assemble((cell.text, look), (mark, "dim not underline not bold"))
