"""Figures of one table: a radar of its metrics, faithfulness against clarity, and its curves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sidelight.core.names import OURS
from sidelight.lab.figures.curves import plot_curves
from sidelight.lab.figures.radar import plot_radar
from sidelight.lab.figures.scatter import plot_tradeoff
from sidelight.lab.tables.table import Column, Line, Table

#: axes of a radar, if present; no two measure the same
RADAR = (
    "average_drop",
    "increase_in_confidence",
    "insertion_auc",
    "deletion_auc",
    "complexity",
    "sparsity",
    "auprc",
    "pointing_game",
)
#: how clear a map is, first choice first
CLARITY = ("mean_score", "complexity", "area")
#: lines that a radar can hold and still be read
RADAR_METHODS = 6


@dataclass(frozen=True)
class Picture:
    """A figure and its caption."""

    figure: Figure
    caption: str


def radar_of(table: Table) -> Picture | None:
    """Radar of our method and the strongest others, or ``None``.

    Every axis is scaled from the worst to the best of all ranked methods and turned so that
    outward is better. Trivial maps take no part: the constant map would stretch most axes. It is
    ``None`` for fewer than three axes or two methods, and if the protocol's values do not compare across methods.
    """
    axes = [c for name in RADAR for c in table.columns if c.name == name]
    methods = [line for line in table.lines if line.kind != "control" and _complete(table, line, axes)]
    if len(axes) < 3 or len(methods) < 2 or not table.setting.comparable:
        return None
    by_rank = sorted(methods, key=lambda line: (line.kind != "ours", _mean_rank(table, line, axes)))
    shown = by_rank[:RADAR_METHODS]
    values = {line.name: {c.name: _mean(table, line, c) for c in axes} for line in methods}
    figure = plot_radar(
        values,
        {c.name: c.direction for c in axes},
        labels={c.name: c.label for c in axes},
        methods=[line.name for line in shown],
    )
    caption = (
        f"Outward is better. Each axis is min–max scaled over the {len(methods)} methods: the rim is the best "
        "of them on that metric, the centre the worst, whatever the distance between the two."
    )
    if len(shown) < len(methods):
        caption += f" Drawn are {len(shown)}: those with the best mean rank on these axes, and {OURS}."
    return Picture(figure, caption)


def tradeoff_of(table: Table) -> Picture | None:
    """Average drop against the clarity of the map, ``None`` if a metric is missing or values do not compare."""
    present = {c.name: c for c in table.columns}
    clarity = next((present[name] for name in CLARITY if name in present), None)
    faithful = present.get("average_drop")
    if clarity is None or faithful is None or not table.setting.comparable:
        return None
    lines = [line for line in table.lines if _complete(table, line, [clarity, faithful])]
    if not any(line.kind != "control" for line in lines):
        return None
    figure = plot_tradeoff(
        {line.name: (_mean(table, line, clarity), _mean(table, line, faithful)) for line in lines},
        x=(clarity.label, clarity.direction),
        y=(faithful.label, faithful.direction),
    )
    return Picture(
        figure,
        f"Faithfulness ({faithful.label}) against clarity ({clarity.label}), both axes turned so that the upper "
        "right is best. The dashed line is the Pareto front: methods that no other beats on both. Grey: trivial "
        "maps, which take no part in it.",
    )


def _complete(table: Table, line: Line, columns: list[Column]) -> bool:
    return all(table.cell(line.name, c.name) is not None for c in columns)


def _mean(table: Table, line: Line, column: Column) -> float:
    cell = table.cell(line.name, column.name)
    assert cell is not None  # only complete lines get here
    return cell.mean


def _mean_rank(table: Table, line: Line, columns: list[Column]) -> float:
    ranks = [cell.rank for c in columns if (cell := table.cell(line.name, c.name)) is not None]
    return sum(r or 0 for r in ranks) / len(ranks)


def curves_of(table: Table, curves: pd.DataFrame | None) -> Picture | None:
    """Deletion and insertion curves of one table's setting, ``None`` if none were stored."""
    if curves is None or curves.empty:
        return None
    setting = table.setting
    keep = np.ones(len(curves), dtype=bool)
    for column in ("modality", "granularity", "fill"):
        if column in curves:
            keep &= (curves[column].astype(str) == getattr(setting, column)).to_numpy()
    if not keep.any():
        return None
    caption = (
        f"Mean {setting.axes.get('ylabel', 'probability of the predicted class')} as features are removed or "
        "inserted, most relevant first; bands are 95 % bootstrap intervals of the mean over samples. Signed methods "
        "in their better reduction."
    )
    return Picture(plot_curves(curves[keep], **setting.axes), caption)
