"""Summary rows as tables that any output can print: one line a method, best values marked.

A signed method has rows by absolute value and by positive part. Each column shows the
better of the two, which favours the rivals, and says which one it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sidelight.errors import InputError
from sidelight.viz import style

Rows = Sequence[Mapping[str, Any]]

#: Values of ``fill`` that say "does not depend on it": such rows belong to every setting.
ANY = ("none", "", "-", None)
REDUCTION_MARKS = {"abs": "|·|", "positive": "+"}
ARROWS = {"lower": "↓", "higher": "↑", "": ""}
ACRONYMS = {"srg": "SRG", "iou": "IoU", "f1": "F1", "auprc": "AUPRC"}
GROUPS = ("Faithfulness", "Compactness", "Localisation")


@dataclass(frozen=True)
class Column:
    """A metric: its name, ``direction`` (``"lower"``, ``"higher"`` or ``""``), group and meaning."""

    name: str
    direction: str
    group: str
    doc: str
    digits: int = 3

    @property
    def label(self) -> str:
        """The name as people write it."""
        return ACRONYMS.get(self.name) or self.name.replace("_auc", "").replace("_", " ")

    @property
    def arrow(self) -> str:
        """↓ where lower is better, ↑ where higher is."""
        return ARROWS[self.direction]

    def key(self, value: float) -> float:
        """Smaller is better, at the precision shown: what looks equal ranks equal."""
        return round(value, self.digits) * (-1 if self.direction == "higher" else 1) + 0.0


@dataclass(frozen=True)
class Cell:
    """One number with what is known about it.

    ``rank`` is a place among the methods from 1 (equal values share it), ``None`` for
    controls and metrics without direction; ``beats`` marks a control at least as good as
    the best method; ``other`` is the method's value in the reduction not shown.
    """

    mean: float
    text: str
    sd: float | None = None
    ci: tuple[float, float] | None = None
    n: int | None = None
    reduction: str = "none"
    other: tuple[str, float] | None = None
    rank: int | None = None
    beats: bool = False
    seeds: int = 1
    seed_sd: float | None = None

    @property
    def mark(self) -> str:
        """``|·|`` or ``+`` for signed methods, else empty."""
        return REDUCTION_MARKS.get(self.reduction, "")

    @property
    def half_width(self) -> float | None:
        """Larger distance from the mean to an end of its 95 % interval."""
        return None if self.ci is None else max(self.ci[1] - self.mean, self.mean - self.ci[0], 0.0)


@dataclass(frozen=True)
class Line:
    """One method: ``kind`` is ``"ours"``, ``"rival"`` or ``"control"``; a cell per metric or ``None``."""

    method: str
    label: str
    kind: str
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class Table:
    """All methods under one fill at one granularity.

    ``remark`` names a protocol other than the default; where its numbers are not ``comparable`` across
    methods, none is marked as best. ``axes`` are the labels that it gives curves.
    """

    fill: str
    granularity: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    dataset: str = ""
    modality: str = ""
    remark: str = ""
    comparable: bool = True
    axes: Mapping[str, str] = field(default_factory=dict)

    @property
    def n(self) -> str:
        """Number of samples, as one figure or a range."""
        counts = sorted({c.n for line in self.lines for c in line.cells if c is not None and c.n is not None})
        if not counts:
            return "?"
        return f"{counts[0]}" if len(counts) == 1 else f"{counts[0]}–{counts[-1]}"

    def cell(self, method: str, metric: str) -> Cell | None:
        """The cell of one method and metric; ``None`` where there is none."""
        index = [c.name for c in self.columns].index(metric)
        return next((line.cells[index] for line in self.lines if line.method == method), None)


def build_tables(rows: Rows, ours: str = style.OURS) -> list[Table]:
    """One table for each dataset, modality, fill and granularity, in the order of the rows.

    Args:
        rows: summary lines, see :class:`~sidelight.lab.report.data.ReportSection`.
        ours: name of our method.

    Raises:
        InputError: a row lacks its method, metric or mean.
    """
    _check(rows)
    rows = [r for r in rows if not math.isnan(float(r["mean"]))]
    shared = ("dataset", "modality", "granularity")
    settings = dict.fromkeys((*(str(r.get(k, "")) for k in shared), _fill(r)) for r in rows)
    dependent = {key for key in settings if key[3]}
    covered = {key[:3] for key in dependent}
    # Rows without a fill stand alone only where no row of their kind has one.
    wanted = [key for key in settings if key in dependent or key[:3] not in covered]
    tables = []
    for dataset, modality, granularity, fill in wanted:
        own = (dataset, modality, granularity)
        part = [r for r in rows if tuple(str(r.get(k, "")) for k in shared) == own and _fill(r) in (fill, "")]
        tables.append(_table(part, fill, granularity, dataset, modality, ours))
    return tables


def short(value: float) -> str:
    """Half an interval, without a leading zero: 0.012 -> .012."""
    text = f"{value:.3f}" if value < 1 else f"{value:.1f}" if value < 100 else f"{value:.0f}"
    return text.removeprefix("0") if text.startswith("0.") else text


def columns_of(rows: Rows) -> list[Column]:
    """Columns for the metrics in ``rows``, in the order in which metrics are registered."""
    from sidelight.lab.metrics import METRICS  # torch is slow to import; plain pages do without it

    present = dict.fromkeys(str(r["metric"]) for r in rows)
    columns = []
    for name in (*(m for m in METRICS if m in present), *(m for m in present if m not in METRICS)):
        digits = _digits([abs(float(r["mean"])) for r in rows if r["metric"] == name])
        if name not in METRICS:
            columns.append(Column(name, "", "Other", "", digits))
            continue
        metric = METRICS[name]
        group = GROUPS[0] if metric.needs_fill else GROUPS[2] if metric.needs_truth else GROUPS[1]
        columns.append(Column(name, metric.direction, group, metric.doc, digits))
    return sorted(columns, key=lambda c: GROUPS.index(c.group) if c.group in GROUPS else len(GROUPS))


def _check(rows: Rows) -> None:
    for row in rows:
        missing = [k for k in ("method", "metric", "mean") if row.get(k) is None]
        if missing:
            raise InputError(f"a summary row lacks {', '.join(missing)}: {dict(row)}.")


def _fill(row: Mapping[str, Any]) -> str:
    fill = row.get("fill")
    return "" if fill in ANY else str(fill)


def _digits(values: Iterable[float]) -> int:
    largest = max((v for v in values if math.isfinite(v)), default=0.0)
    return 3 if largest < 10 else 1 if largest < 1000 else 0


def _table(rows: Rows, fill: str, granularity: str, dataset: str, modality: str, ours: str) -> Table:
    columns = columns_of(rows)
    lines = []
    for method in style.ordered((str(r["method"]) for r in rows), ours):
        own = [r for r in rows if r["method"] == method]
        kind = "ours" if style.is_ours(method, ours) else "control" if style.is_control(method) else "rival"
        cells = tuple(_cell([r for r in own if r["metric"] == c.name], c) for c in columns)
        lines.append(Line(method, style.method_label(method), kind, cells))
    remark, comparable, axes = _protocol(rows, modality)
    lines = _ranked(lines, columns) if comparable else lines
    return Table(fill, granularity, tuple(columns), tuple(lines), dataset, modality, remark, comparable, axes)


def _protocol(rows: Rows, modality: str) -> tuple[str, bool, dict[str, str]]:
    """What a heading must say of the rows' protocol, whether methods may be compared under it, and its axes."""
    names = sorted({str(r["protocol"]) for r in rows if r.get("protocol")})
    if not names:
        return "", True, {}
    from sidelight.lab.metrics.protocols import PROTOCOLS  # as above: torch is slow to import

    found = [PROTOCOLS[name] for name in names]
    modalities = modality.split("+")
    axes = {name: label for p in found for name, label in p.axes(modalities).items()}
    comparable = all(p.comparable(modalities) for p in found)
    return ", ".join(p.remark(modalities) for p in found), comparable, axes


def _cell(rows: Rows, column: Column) -> Cell | None:
    """The better reduction of one method on one metric."""
    if not rows:
        return None
    first, *rest = sorted(rows, key=lambda r: column.key(float(r["mean"])) if column.direction else 0.0)
    other = (str(rest[0].get("reduction", "none")), float(rest[0]["mean"])) if rest else None
    ci = first.get("ci95")
    seed_sd = first.get("seed_sd")
    mean = float(first["mean"])
    return Cell(
        mean=mean,
        text=f"{mean:.{column.digits}f}",
        sd=None if first.get("sd") is None else float(first["sd"]),
        ci=None if ci is None else (float(ci[0]), float(ci[1])),
        n=None if first.get("n") is None else int(first["n"]),
        reduction=str(first.get("reduction") or "none"),
        other=other,
        seeds=int(first.get("seeds") or 1),
        seed_sd=None if seed_sd is None or math.isnan(float(seed_sd)) else float(seed_sd),
    )


def _ranked(lines: Sequence[Line], columns: Sequence[Column]) -> list[Line]:
    cells = [list(line.cells) for line in lines]
    for i, column in enumerate(columns):
        if not column.direction:
            continue
        rivals = [c.cells[i] for c in lines if c.kind != "control"]
        values = sorted({column.key(cell.mean) for cell in rivals if cell is not None})
        for row, line in zip(cells, lines, strict=True):
            cell = row[i]
            if cell is None:
                continue
            key = column.key(cell.mean)
            if line.kind == "control":
                row[i] = replace(cell, beats=bool(values) and key <= values[0])
            else:
                row[i] = replace(cell, rank=values.index(key) + 1)
    return [replace(line, cells=tuple(row)) for line, row in zip(lines, cells, strict=True)]
