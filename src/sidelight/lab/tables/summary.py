"""Tables of an evaluation's summary rows, one for each setting.

A signed method has rows by absolute value and by positive part. Each column shows the better of the
two, which favours the baseline methods, and marks which one it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rich.table import Table as RichTable

from sidelight.core.digits import fixed
from sidelight.core.names import kind_of, method_label, ordered
from sidelight.errors import InputError
from sidelight.lab.metrics import METRICS
from sidelight.lab.metrics.protocols import PROTOCOLS
from sidelight.lab.metrics.statistics import best_of
from sidelight.lab.tables.markdown import escape, markdown
from sidelight.lab.tables.table import Cell, Column, Line, Setting, Table, ranked, short
from sidelight.lab.tables.terminal import terminal

Rows = Sequence[Mapping[str, Any]]

#: values of ``fill`` and ``granularity`` in rows that depend on neither: such rows belong to every setting
ANY = ("none", "", "-", None)
#: names of metrics that are not their words with spaces
SPELLED = {
    "deletion_auc": "deletion",
    "insertion_auc": "insertion",
    "srg": "SRG",
    "iou": "IoU",
    "f1": "F1",
    "auprc": "AUPRC",
}
#: decimals of a column of very small values at most
MOST_DIGITS = 9
GROUPS = ("Faithfulness", "Compactness", "Localisation")
LEGEND = (
    "↓ lower is better, ↑ higher is better. Best method in bold, second underlined; ± is the 95 % interval. "
    "Signed methods are judged by absolute value (|·|) or positive part (+), whichever is better in that "
    "column. Trivial maps, below the line, are controls and are not ranked; † marks one that equals or beats "
    "every method."
)
CAPTION = "a: absolute value, +: positive part; †: a trivial map that no method beats"
#: metrics that fit a terminal; the Markdown table and the page have all of them
HEADLINE = ("average_drop", "deletion_auc", "insertion_auc", "srg", "mean_score", "auprc", "pointing_game")


def markdown_table(rows: Rows) -> str:
    """Markdown: one table for each dataset, modality, fill and granularity, and a legend.

    Args:
        rows: summary lines (dataset, modality, method, reduction, fill, granularity, metric, mean, sd,
            ci95, n).

    Raises:
        InputError: a row lacks its method, metric or mean.
    """
    blocks = [f"### {escape(t.title)}\n\n{markdown(t)}\n" for t in build_tables(rows)]
    return "\n".join([*blocks, LEGEND.replace("|", r"\|"), ""]) if blocks else "No results.\n"


def terminal_tables(rows: Rows) -> list[RichTable]:
    """Rich tables of the main metrics (of all, if none of those is there), one for each setting.

    Raises:
        InputError: a row lacks its method, metric or mean.
    """
    kept = [row for row in rows if row.get("metric") in HEADLINE] or rows
    return [terminal(table, CAPTION) for table in build_tables(kept)]


def build_tables(rows: Rows) -> list[Table]:
    """One table for each dataset, modality, fill and granularity, in the order of the rows.

    Rows without a fill belong to all fills of their kind. They have a table of their own only if no row of
    their kind has a fill.

    Args:
        rows: summary lines, see :class:`~sidelight.lab.report.data.ReportSection`.

    Raises:
        InputError: a row lacks its method, metric or mean.
    """
    _check(rows)
    rows = [r for r in rows if not math.isnan(float(r["mean"]))]
    settings = dict.fromkeys((_kind(r), fill_of(r)) for r in rows)
    with_fill = {kind for kind, fill in settings if fill}
    tables = []
    for kind, fill in settings:
        if fill or kind not in with_fill:
            part = [r for r in rows if _kind(r) == kind and fill_of(r) in (fill, "")]
            tables.append(_table(part, Setting(*kind, fill)))
    return tables


def columns_of(rows: Rows) -> list[Column]:
    """Columns for the metrics in ``rows``, in the order in which metrics are registered."""
    present = dict.fromkeys(str(r["metric"]) for r in rows)
    columns = []
    for name in (*(m for m in METRICS if m in present), *(m for m in present if m not in METRICS)):
        digits = _digits([abs(float(r["mean"])) for r in rows if r["metric"] == name])
        columns.append(_column(name, digits))
    return sorted(columns, key=lambda c: (*GROUPS, c.group).index(c.group))


def fill_of(row: Mapping[str, Any]) -> str:
    """The fill of a row, ``""`` if the value does not depend on it."""
    fill = row.get("fill")
    return "" if fill in ANY else str(fill)


def cell_of(row: Mapping[str, Any], digits: int, **more: Any) -> Cell:
    """The cell of one summary row. One sample has neither an interval nor a deviation, whatever the row says."""
    ci, sd, n, seed_sd = (row.get(k) for k in ("ci95", "sd", "n", "seed_sd"))
    ci, sd = (None, None) if n == 1 else (ci, sd)
    mean = float(row["mean"])
    return Cell(
        fixed(mean, digits),
        mean=mean,
        sd=None if sd is None else float(sd),
        ci=None if ci is None else (float(ci[0]), float(ci[1])),
        n=None if n is None else int(n),
        reduction=str(row.get("reduction") or "none"),
        seeds=int(row.get("seeds") or 1),
        seed_sd=None if seed_sd is None or math.isnan(float(seed_sd)) else float(seed_sd),
        **more,
    )


def _check(rows: Rows) -> None:
    for row in rows:
        missing = [k for k in ("method", "metric", "mean") if row.get(k) is None]
        if missing:
            raise InputError(f"a summary row lacks {', '.join(missing)}: {dict(row)}.")


def _kind(row: Mapping[str, Any]) -> tuple[str, str, str]:
    dataset, modality, granularity = (str(row.get(k, "")) for k in ("dataset", "modality", "granularity"))
    return dataset, modality, granularity


def _column(name: str, digits: int) -> Column:
    label = SPELLED.get(name) or name.replace("_", " ")
    if name not in METRICS:
        return Column(label, name, "", digits, group="Other")
    metric = METRICS[name]
    group = GROUPS[1]
    if metric.needs_fill:
        group = GROUPS[0]
    elif metric.needs_truth:
        group = GROUPS[2]
    return Column(label, name, metric.direction, digits, group=group, doc=metric.doc)


def _digits(values: Sequence[float]) -> int:
    largest = max((v for v in values if math.isfinite(v)), default=0.0)
    if 0 < largest < 0.001:  # else all methods would look equal, and all be best
        return min(2 - math.floor(math.log10(largest)), MOST_DIGITS)
    if largest < 10:
        return 3
    return 1 if largest < 1000 else 0


def _table(rows: Rows, setting: Setting) -> Table:
    setting = _under_protocol(setting, rows)
    columns = tuple(columns_of(rows))
    lines = []
    for method in ordered(str(r["method"]) for r in rows):
        own = [r for r in rows if r["method"] == method]
        cells = tuple(_cell([r for r in own if r["metric"] == c.name], c) for c in columns)
        lines.append(Line(method, method_label(method), cells, kind_of(method)))
    table = Table(
        "", columns, ranked(lines, columns) if setting.comparable else tuple(lines), setting=setting
    )
    about = [setting.dataset, setting.modality, *setting.conditions, f"n = {table.n}"]
    return replace(table, title=" · ".join(part for part in about if part))


def _under_protocol(setting: Setting, rows: Rows) -> Setting:
    names = sorted({str(r["protocol"]) for r in rows if r.get("protocol")})
    found, modalities = [PROTOCOLS[name] for name in names], setting.modality.split("+")
    return replace(
        setting,
        remark=", ".join(p.remark(modalities) for p in found),
        comparable=all(p.comparable(modalities) for p in found),
        axes={name: label for p in found for name, label in p.axes(modalities).items()},
    )


def _cell(rows: Rows, column: Column) -> Cell | None:
    """The better reduction of one method on one metric. Values that look equal keep the first."""
    if not rows:
        return None
    best = best_of([round(float(r["mean"]), column.digits) for r in rows], column.direction)
    others = [r for i, r in enumerate(rows) if i != best]
    other = (str(others[0].get("reduction", "none")), float(others[0]["mean"])) if others else None
    cell = cell_of(rows[best], column.digits, other=other)
    if cell.ci is None:
        return cell
    half = max(cell.ci[1] - cell.mean, cell.mean - cell.ci[0], 0.0)
    return replace(cell, spread=f"±{short(half, column.digits)}")
