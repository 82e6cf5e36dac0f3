"""Tables in the layout of a paper: a line a method, a column a metric, a block a data set."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sidelight.core.safe_output import csv_of_records
from sidelight.lab.tables.summary import Rows, build_tables
from sidelight.lab.tables.table import Cell, Column, Line, Table, counts, short

#: columns if no others are given, in this order; those without rows are left out
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
#: order of lines in a block
KINDS = ("rival", "ours", "control")
#: numbers of every metric in the CSV
PARTS = ("mean", "sd", "lo", "hi", "n", "seed_sd", "reduction", "place")


@dataclass(frozen=True)
class Comparison:
    """All data sets under one fill at one kind of granularity, for one modality or group of them."""

    modality: str
    grain: str
    fill: str
    columns: tuple[Column, ...]
    tables: tuple[Table, ...]

    @property
    def name(self) -> str:
        """For files and labels: ``"image-patch-zero"``."""
        return slug(self.modality, self.grain, self.fill)

    @property
    def title(self) -> str:
        """``"mnist: image, zero fill, by patch4"``. Blocks name the granularities of several data sets."""
        grain = self.grain if len(self.tables) > 1 else self.tables[0].setting.granularity
        parts = [self.modality, f"{self.fill} fill" if self.fill else "", f"by {grain}" if grain else ""]
        names = ", ".join(map(_block_name, self.tables))
        return f"{names}: {', '.join(p for p in parts if p)}"

    @property
    def table(self) -> Table:
        """All of it as one table, with a column for n and a line for the spread between seeds."""
        lines = [line for table in self.tables for line in self._block(table)]
        return Table(self.title, (*self.columns, Column("n")), tuple(lines))

    def _block(self, table: Table) -> Iterator[Line]:
        if len(self.tables) > 1:
            name, grain = _block_name(table), table.setting.granularity
            yield Line(name, name, (), "block", f", by {grain}" if grain != self.grain else "")
        for line in by_kind(table):
            own = table.cells_of(line)
            cells = [_with_sd(own.get(column.name)) for column in self.columns]
            yield replace(line, cells=(*cells, Cell(counts(cells))))
            seeds = max((cell.seeds for cell in cells if cell is not None), default=1)
            if line.kind == "ours" and seeds > 1:
                between = [Cell(_between(cell)) for cell in cells]
                yield Line("", f"sd between {seeds} seeds", (*between, Cell("")), "note")


def slug(*parts: str) -> str:
    """Parts as one name of letters, digits and hyphens.

    Example:
        >>> slug("a b", "c+d")
        'a-b-c-d'
    """
    return "-".join(re.sub(r"[^A-Za-z0-9]+", "-", p).strip("-") for p in parts if p) or "all"


def build_comparisons(rows: Rows, metrics: Sequence[str] = ()) -> tuple[list[Comparison], list[Table]]:
    """Tables for each modality, kind of granularity and fill, a block a data set.

    ``patch4`` of one data set and ``patch16`` of another are of one kind.

    Args:
        rows: summary lines, see :class:`~sidelight.lab.report.data.ReportSection`.
        metrics: columns in their order (default: :data:`COLUMNS`). Those without rows are left out.

    Returns:
        The comparisons, and the single tables that they are made of.

    Raises:
        InputError: a row lacks its method, metric or mean.
    """
    wanted = tuple(metrics) or COLUMNS
    tables = build_tables([row for row in rows if row.get("metric") in wanted])
    found: dict[tuple[str, str, str], list[Table]] = {}
    for table in tables:
        at = table.setting
        grain = "+".join(part.rstrip("0123456789") for part in at.granularity.split("+"))
        found.setdefault((at.modality, grain, at.fill), []).append(table)
    comparisons = []
    for key, members in found.items():
        present = {c.name: c for table in members for c in table.columns}
        columns = tuple(present[name] for name in wanted if name in present)
        comparisons.append(Comparison(*key, columns, tuple(members)))
    return comparisons, tables


def by_kind(table: Table) -> list[Line]:
    """Baseline methods, then ours, then trivial maps."""
    return sorted(table.lines, key=lambda line: KINDS.index(line.kind))


def _block_name(table: Table) -> str:
    """The data set, and the protocol if it is not the default."""
    at = table.setting
    return f"{at.dataset} ({at.remark})" if at.remark else at.dataset


def _with_sd(cell: Cell | None) -> Cell | None:
    """The cell with its standard deviation over samples, with as many decimals as the mean."""
    if cell is None or cell.sd is None:
        return cell and replace(cell, spread="")
    return replace(cell, spread=f"± {cell.sd:.{_decimals(cell)}f}")


def _decimals(cell: Cell) -> int:
    return len(cell.text.partition(".")[2])


def _between(cell: Cell | None) -> str:
    return "" if cell is None or cell.seed_sd is None else short(cell.seed_sd, _decimals(cell))


def csv_text(comparisons: Sequence[Comparison]) -> str:
    """All comparisons as one CSV, a row a method.

    For each metric: ``mean``, ``sd`` (over samples), ``lo`` and ``hi`` (95 % interval of the
    mean), ``n``, ``seed_sd`` (between scorer seeds), ``reduction`` and ``place`` (1 for the best).
    """
    keys = ["dataset", "modality", "granularity", "fill", "method", "kind", "seeds", "protocol"]
    names = dict.fromkeys(
        f"{c.name}.{p}" for comparison in comparisons for c in comparison.columns for p in PARTS
    )
    records = [
        _record(comparison, table, line)
        for comparison in comparisons
        for table in comparison.tables
        for line in by_kind(table)
    ]
    return csv_of_records([*keys, *names], records)


def _record(comparison: Comparison, table: Table, line: Line) -> dict[str, Any]:
    at = table.setting
    cells = table.cells_of(line)
    record: dict[str, Any] = {
        "dataset": at.dataset,
        "modality": comparison.modality,
        "granularity": at.granularity,
        "fill": comparison.fill,
        "method": line.name,
        "kind": line.kind,
        "seeds": max((c.seeds for c in cells.values()), default=1) if line.kind == "ours" else "",
        "protocol": at.remark,
    }
    for name, cell in cells.items():
        lo, hi = cell.ci or (None, None)
        values = (cell.mean, cell.sd, lo, hi, cell.n, cell.seed_sd, cell.reduction, cell.rank)
        record |= {f"{name}.{part}": value for part, value in zip(PARTS, values, strict=True)}
    return record
