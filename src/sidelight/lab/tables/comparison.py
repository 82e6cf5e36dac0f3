"""Tables in the layout of a paper: a row a method, a column a metric, a block a data set.

The cells are those of :mod:`sidelight.lab.tables.summary`; here they are put together, and
written as Markdown and CSV (:mod:`sidelight.lab.tables.latex` writes LaTeX).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sidelight.core.safe_output import for_csv
from sidelight.lab.tables.summary import Cell, Column, Line, Rows, Table, build_tables, short
from sidelight.lab.tables.table import escape
from sidelight.viz import style

#: columns where nothing else is asked for, in this order, where present
COLUMNS = (
    "average_drop",
    "increase_in_confidence",
    "deletion_auc",
    "insertion_auc",
    "srg",
    "complexity",
    "sparsity",
    "mean_score",
    "auprc",
    "pointing_game",
)
LEGEND = (
    "Mean ± standard deviation over the samples. ↓ lower is better, ↑ higher is better; best in bold, second "
    "underlined. Signed methods are given by absolute value (|·|) or positive part (+), whichever is better in "
    "that column. Trivial maps, below the line, are not ranked; † marks one that equals or beats every method. "
    "n is the number of samples; where it is a range, some columns or methods were measured on fewer. The "
    "standard deviation between scorer seeds has a row of its own."
)


@dataclass(frozen=True)
class Block:
    """One data set's part of a comparison.

    ``lines`` are the methods: rivals, then ours, then the trivial maps. ``seeds`` counts our
    scorers; ``between`` is the standard deviation of their means, a value per column.
    """

    dataset: str
    granularity: str
    table: Table
    lines: tuple[Line, ...]
    seeds: int
    between: tuple[float | None, ...]

    def cells(self, line: Line, columns: Sequence[Column]) -> list[Cell | None]:
        """A method's cell in each column; ``None`` where this data set has none."""
        own = {c.name: cell for c, cell in zip(self.table.columns, line.cells, strict=True)}
        return [own.get(c.name) for c in columns]

    @property
    def name(self) -> str:
        """The data set, and the protocol where it is not the default."""
        return f"{self.dataset} ({self.table.remark})" if self.table.remark else self.dataset

    def digits(self, column: Column) -> int:
        """Decimals of a column in this block."""
        return next((c.digits for c in self.table.columns if c.name == column.name), column.digits)


@dataclass(frozen=True)
class Comparison:
    """All data sets under one fill at one kind of granularity, for one modality or group of them."""

    modality: str
    grain: str
    fill: str
    columns: tuple[Column, ...]
    blocks: tuple[Block, ...]

    @property
    def title(self) -> str:
        """``"mnist: image, zero fill, by patch4"``; several data sets are named in their blocks."""
        single = len(self.blocks) == 1
        grain = self.blocks[0].granularity if single else self.grain
        parts = [self.modality, f"{self.fill} fill" if self.fill else "", f"by {grain}" if grain else ""]
        names = ", ".join(b.name for b in self.blocks)
        return f"{names}: {', '.join(p for p in parts if p)}"

    @property
    def name(self) -> str:
        """For files and labels: ``"image-patch-zero"``."""
        return slug(self.modality, self.grain, self.fill)


def slug(*parts: str) -> str:
    """Parts as one name of letters, digits and hyphens: ``("a b", "c+d")`` -> ``"a-b-c-d"``."""
    return "-".join(re.sub(r"[^A-Za-z0-9]+", "-", p).strip("-") for p in parts if p) or "all"


def build_comparisons(
    rows: Rows, metrics: Sequence[str] = (), ours: str = style.OURS
) -> tuple[list[Comparison], list[Table]]:
    """Tables for each modality, kind of granularity and fill, a block a data set.

    ``patch4`` of one data set and ``patch16`` of another are of one kind.

    Args:
        rows: summary lines, see :class:`~sidelight.lab.report.data.ReportSection`.
        metrics: columns in their order; those without rows are left out (default: :data:`COLUMNS`).
        ours: name of our method.

    Returns:
        The comparisons, and the single tables that they are made of.

    Raises:
        InputError: a row lacks its method, metric or mean.
    """
    wanted = tuple(metrics) or COLUMNS
    kept = [row for row in rows if row.get("metric") in wanted]
    tables = build_tables(kept, ours)
    found: dict[tuple[str, str, str], list[Table]] = {}
    for table in tables:
        grain = "+".join(part.rstrip("0123456789") for part in table.granularity.split("+"))
        found.setdefault((table.modality, grain, table.fill), []).append(table)
    comparisons = []
    for key, members in found.items():
        present = {c.name: c for table in members for c in table.columns}
        columns = tuple(present[name] for name in wanted if name in present)
        blocks = tuple(_block(table, columns, ours) for table in members)
        comparisons.append(Comparison(*key, columns, blocks))
    return comparisons, tables


def _block(table: Table, columns: Sequence[Column], ours: str) -> Block:
    kinds = ("rival", "ours", "control")
    lines = tuple(sorted(table.lines, key=lambda line: kinds.index(line.kind)))
    own = {
        c.name: cell
        for line in lines
        if line.method == ours
        for c, cell in zip(table.columns, line.cells, strict=True)
        if cell is not None
    }
    seeds = max((cell.seeds for cell in own.values()), default=1)
    between = tuple(own[c.name].seed_sd if c.name in own else None for c in columns)
    return Block(table.dataset, table.granularity, table, lines, seeds, between)


def counts(cells: Iterable[Cell | None]) -> str:
    """Numbers of samples behind some cells: ``"500"`` or ``"25–500"``."""
    found = sorted({c.n for c in cells if c is not None and c.n is not None})
    return "" if not found else str(found[0]) if len(found) == 1 else f"{found[0]}–{found[-1]}"


def spread(cell: Cell, digits: int) -> str:
    """Standard deviation over samples, with as many decimals as the mean."""
    return "" if cell.sd is None else f"{cell.sd:.{digits}f}"


def markdown(comparison: Comparison) -> str:
    """One comparison as a Markdown table under a heading."""
    columns = comparison.columns
    width = len(columns) + 2
    head = ["method", *(f"{c.label} {c.arrow}".strip() for c in columns), "n"]
    out = [head, ["---", *["---:"] * (width - 1)]]
    for block in comparison.blocks:
        if len(comparison.blocks) > 1:
            grain = f", by {block.granularity}" if block.granularity != comparison.grain else ""
            out.append([f"**{escape(block.name)}**{escape(grain)}", *[""] * (width - 1)])
        previous = ""
        for line in block.lines:
            if line.kind == "control" != previous:
                out.append(["*trivial maps*", *[""] * (width - 1)])
            previous = line.kind
            cells = block.cells(line, columns)
            name = escape(line.label)
            marked = [_marked(cell, block.digits(c)) for cell, c in zip(cells, columns, strict=True)]
            out.append([f"**{name}**" if line.kind == "ours" else name, *marked, counts(cells)])
            if line.kind == "ours" and block.seeds > 1:
                values = ["" if v is None else f"*{short(v)}*" for v in block.between]
                out.append([f"*sd between {block.seeds} seeds*", *values, ""])
    body = "\n".join(f"| {' | '.join(cells)} |" for cells in out)
    return f"### {escape(comparison.title)}\n\n{body}\n"


def _marked(cell: Cell | None, digits: int) -> str:
    if cell is None:
        return ""
    text = {1: f"**{cell.text}**", 2: f"<u>{cell.text}</u>"}.get(cell.rank or 0, cell.text)
    sd = spread(cell, digits)
    text += f" ± {sd}" if sd else ""
    return text + (f" {escape(cell.mark)}" if cell.mark else "") + (" †" if cell.beats else "")


def csv_text(comparisons: Sequence[Comparison]) -> str:
    """All comparisons as one CSV, a row a method.

    For each metric: ``mean``, ``sd`` (over samples), ``lo`` and ``hi`` (95 % interval of the
    mean), ``n``, ``seed_sd`` (between scorer seeds), ``reduction`` and ``place`` (1 for the best).
    """
    metrics = dict.fromkeys(c.name for comparison in comparisons for c in comparison.columns)
    parts = ("mean", "sd", "lo", "hi", "n", "seed_sd", "reduction", "place")
    keys = ["dataset", "modality", "granularity", "fill", "method", "kind", "seeds", "protocol"]
    out = io.StringIO()
    names = [f"{m}.{part}" for m in metrics for part in parts]
    writer = csv.DictWriter(out, [*keys, *names], lineterminator="\n")
    writer.writeheader()
    for comparison in comparisons:
        for block in comparison.blocks:
            for line in block.lines:
                about = (block.dataset, comparison.modality, block.granularity, comparison.fill)
                row: dict[str, Any] = dict(zip(keys, (*about, line.method, line.kind), strict=False))
                row["seeds"] = block.seeds if line.kind == "ours" else ""
                row["protocol"] = block.table.remark
                cells = block.cells(line, comparison.columns)
                for column, cell in zip(comparison.columns, cells, strict=True):
                    if cell is not None:
                        lo, hi = cell.ci or (None, None)
                        values = (
                            *(cell.mean, cell.sd, lo, hi, cell.n, cell.seed_sd, cell.reduction, cell.rank),
                        )
                        row.update({f"{column.name}.{p}": v for p, v in zip(parts, values, strict=True)})
                writer.writerow({k: for_csv(v) for k, v in row.items()})
    return out.getvalue()
