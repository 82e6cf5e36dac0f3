"""The table that all outputs print: columns with a direction, a line for each method, best values marked."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

ARROWS = {"lower": "↓", "higher": "↑", "": ""}
#: how a signed method was made unsigned, as tables mark it
REDUCTION_MARKS = {"abs": "|·|", "positive": "+"}


@dataclass(frozen=True)
class Column:
    """A heading with the direction of its values.

    Attributes:
        label: as people write it.
        name: of the metric, empty if the column holds something else.
        direction: ``"lower"`` or ``"higher"`` is better, ``""`` if values are not ranked.
        digits: decimals of its values.
        fill: under which it was measured, if the table has columns of several fills.
        group, doc: kind and meaning of the metric.
        left: whether it holds texts, which are aligned left.
    """

    label: str
    name: str = ""
    direction: str = ""
    digits: int = 3
    fill: str = ""
    group: str = ""
    doc: str = ""
    left: bool = False

    @property
    def arrow(self) -> str:
        """↓ if lower is better, ↑ if higher is."""
        return ARROWS[self.direction]

    @property
    def heading(self) -> str:
        """Label, arrow and fill."""
        return " ".join(part for part in (self.label, self.arrow, self.fill) if part)

    def key(self, value: float) -> float:
        """A number that is smaller for better values, rounded so that values that look equal rank equal."""
        return round(value, self.digits) * (-1 if self.direction == "higher" else 1) + 0.0


@dataclass(frozen=True)
class Cell:
    """One entry: its text, and the numbers behind it if it has any.

    Attributes:
        text: as printed, without marks.
        spread: printed after it, e.g. ``"±0.012"``.
        rank: place among the ranked lines from 1, ``None`` if not ranked. Equal values share it.
        beats: whether this is a trivial map at least as good as the best method.
        mean, sd, ci, n: over samples. ``ci`` is the 95 % interval of the mean.
        reduction: ``"abs"`` or ``"positive"`` for signed methods, else ``"none"``.
        other: the reduction not shown and its mean.
        seeds, seed_sd: how many scorer seeds, and the standard deviation of their means.
    """

    text: str
    spread: str = ""
    rank: int | None = None
    beats: bool = False
    mean: float = math.nan
    sd: float | None = None
    ci: tuple[float, float] | None = None
    n: int | None = None
    reduction: str = "none"
    other: tuple[str, float] | None = None
    seeds: int = 1
    seed_sd: float | None = None

    @property
    def mark(self) -> str:
        """``|·|`` or ``+`` for signed methods, else empty."""
        return REDUCTION_MARKS.get(self.reduction, "")


@dataclass(frozen=True)
class Line:
    """A line of a table.

    Attributes:
        name: of the method or variant.
        label: its name as people write it.
        cells: one for each column, ``None`` if nothing was measured. A ``"block"`` has no cells.
        kind: ``"ours"``, ``"rival"``, ``"control"`` (a trivial map, not ranked), ``"collapsed"`` (not ranked),
            ``"block"`` (a heading inside the table) or ``"note"`` (about the line before).
        remark: printed beside a block's label, or the state of a variant.
    """

    name: str
    label: str
    cells: tuple[Cell | None, ...]
    kind: str = "rival"
    remark: str = ""


@dataclass(frozen=True)
class Setting:
    """The conditions under which a table's values were measured, empty if they play no part.

    Attributes:
        dataset, modality, granularity, fill: as in the rows.
        remark: names a protocol other than the default.
        comparable: whether the protocol's values compare across methods. If not, none is marked as best.
        axes: labels that the protocol gives curves.
    """

    dataset: str = ""
    modality: str = ""
    granularity: str = ""
    fill: str = ""
    remark: str = ""
    comparable: bool = True
    axes: Mapping[str, str] = field(default_factory=dict)

    @property
    def conditions(self) -> list[str]:
        """Fill, granularity and protocol in words, without those that play no part."""
        fill = f"{self.fill} fill" if self.fill else ""
        grain = f"by {self.granularity}" if self.granularity else ""
        return [part for part in (fill, grain, self.remark) if part]

    @property
    def name(self) -> str:
        """``"zero fill, by pixel"``."""
        return ", ".join(self.conditions) or "all samples"


@dataclass(frozen=True)
class Table:
    """Lines under columns.

    ``first`` is the heading above the labels of the lines.
    """

    title: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    first: str = "method"
    setting: Setting = field(default_factory=Setting)

    @property
    def n(self) -> str:
        """Number of samples, as one figure or a range."""
        return counts(cell for line in self.lines for cell in line.cells) or "?"

    def cell(self, name: str, metric: str, fill: str = "") -> Cell | None:
        """The cell of one line and metric, ``None`` if there is none."""
        index = [(c.name, c.fill) for c in self.columns].index((metric, fill))
        return next((line.cells[index] for line in self.lines if line.name == name), None)

    def cells_of(self, line: Line) -> dict[str, Cell]:
        """The cells of a line by the name of their column. Missing cells are left out."""
        pairs = zip(self.columns, line.cells, strict=True)
        return {column.name: cell for column, cell in pairs if cell is not None}

    def select(self, keep: Callable[[Column], bool]) -> Table:
        """The same table with some of its columns."""
        kept = [i for i, column in enumerate(self.columns) if keep(column)]
        lines = tuple(replace(line, cells=tuple(line.cells[i] for i in kept)) for line in self.lines)
        return replace(self, columns=tuple(self.columns[i] for i in kept), lines=lines)


def text_table(
    title: str, headings: Sequence[str], rows: Iterable[Sequence[str]], left: bool = True
) -> Table:
    """A table of texts. The first text of each row is the label of its line. ``left`` aligns the others."""
    first, *others = headings
    lines = tuple(Line(label, label, tuple(map(Cell, texts))) for label, *texts in rows)
    return Table(title, tuple(Column(text, left=left) for text in others), lines, first)


def ranked(lines: Iterable[Line], columns: Sequence[Column]) -> tuple[Line, ...]:
    """``lines`` with places 1, 2, ... in every column that has a direction. Equal values share a place.

    Trivial maps and collapsed variants have no place. A trivial map that no method beats is marked so.
    """
    lines = tuple(lines)
    keys = []
    for i, column in enumerate(columns):
        own = (line.cells[i] for line in lines if _is_ranked(line))
        keys.append(sorted({column.key(cell.mean) for cell in own if cell is not None and column.direction}))
    return tuple(
        replace(
            line,
            cells=tuple(
                _placed(cell, line, column, best)
                for cell, column, best in zip(line.cells, columns, keys, strict=True)
            ),
        )
        for line in lines
    )


def _is_ranked(line: Line) -> bool:
    return line.kind in ("ours", "rival")


def _placed(cell: Cell | None, line: Line, column: Column, best: Sequence[float]) -> Cell | None:
    if cell is None or not best:
        return cell
    key = column.key(cell.mean)
    if _is_ranked(line):
        return replace(cell, rank=best.index(key) + 1)
    return replace(cell, beats=line.kind == "control" and key <= best[0])


def counts(cells: Iterable[Cell | None]) -> str:
    """Numbers of samples behind some cells: ``"500"``, ``"25–500"``, or ``""`` if none is known."""
    found = sorted({c.n for c in cells if c is not None and c.n is not None})
    return "–".join(str(n) for n in dict.fromkeys((found[0], found[-1]))) if found else ""


def short(value: float, digits: int = 3) -> str:
    """Half an interval, as short as it stays readable.

    Args:
        digits: decimals of the value beside it. Below 1 there are as many, and 3 at least.

    Example:
        >>> short(0.012), short(1.25), short(240.0)
        ('0.012', '1.2', '240')
    """
    if value < 1:
        return f"{value:.{max(digits, 3)}f}"
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"
