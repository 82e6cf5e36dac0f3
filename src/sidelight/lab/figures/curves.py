"""Deletion and insertion curves with their 95 % bands."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from sidelight.core.names import is_ours, ordered
from sidelight.errors import InputError
from sidelight.lab.metrics.statistics import best_of
from sidelight.viz import style as look
from sidelight.viz.export import ShownFigure
from sidelight.viz.titles import legend_columns, method_name

#: kind -> (title, direction in which an area is better, label of the x axis)
KINDS = {
    "deletion": ("Deletion: lower is better", "lower", "removed, most relevant first"),
    "insertion": ("Insertion: higher is better", "higher", "inserted, most relevant first"),
}
COLUMNS = ("method", "kind", "share", "mean")


def check_curves(curves: pd.DataFrame) -> pd.DataFrame:
    """``curves`` with the optional columns added.

    Raises:
        InputError: a needed column is missing.
    """
    missing = [name for name in COLUMNS if name not in curves.columns]
    if missing:
        raise InputError(
            f"curves need the columns {', '.join(COLUMNS)}; missing {', '.join(missing)} "
            f"(there are {', '.join(map(str, curves.columns))})."
        )
    complete = curves.copy()
    for name, default in (("reduction", "none"), ("lo", np.nan), ("hi", np.nan)):
        if name not in complete.columns:
            complete[name] = default
    return complete


def reductions_drawn(curves: pd.DataFrame, kind: str) -> dict[str, str]:
    """Method -> the reduction whose area under the curve of ``kind`` is better."""
    areas: dict[str, dict[str, float]] = {}
    for (method, reduction), part in curves.groupby(["method", "reduction"], sort=False):
        part = part.sort_values("share")
        mean, share = part["mean"].to_numpy(float), part["share"].to_numpy(float)
        area = float(((mean[1:] + mean[:-1]) / 2 * np.diff(share)).sum())
        areas.setdefault(str(method), {})[str(reduction)] = area
    direction = KINDS[kind][1]
    return {method: list(found)[best_of([*found.values()], direction)] for method, found in areas.items()}


def plot_curves(
    curves: pd.DataFrame,
    xlabel: str = "",
    ylabel: str = "probability of the predicted class",
) -> Figure:
    """Mean probability against the share of features removed or inserted, one line a method.

    Args:
        curves: of one setting, with the columns ``method``, ``kind`` (``deletion`` / ``insertion``), ``share``
            (0 to 1) and ``mean``, and optionally ``reduction`` and the band ``lo`` to ``hi``. A signed method is
            drawn in its better reduction.
        xlabel, ylabel: of the axes. By default the horizontal one names the features removed or inserted.

    Raises:
        InputError: a column is missing, or there is no row.
    """
    data = check_curves(curves)
    kinds = [kind for kind in KINDS if (data["kind"] == kind).any()]
    if not kinds:
        raise InputError(f"no curve to draw: there are {len(data)} rows, none of kind {' or '.join(KINDS)}.")
    methods = ordered(data["method"])
    with look.house_style():
        height = 3.0 + 0.2 * -(-len(methods) // 4)
        figure = ShownFigure(figsize=(4.4 * len(kinds), height), dpi=look.DPI, layout="constrained")
        axes = figure.subplots(1, len(kinds), squeeze=False)[0]
        for ax, kind in zip(axes, kinds, strict=True):
            _draw_kind(ax, data[data["kind"] == kind], kind, methods)
            if xlabel:
                ax.set_xlabel(xlabel)
        axes[0].set_ylabel(ylabel)
        _legend(figure, axes[0], methods)
    return figure


def _draw_kind(ax: Axes, data: pd.DataFrame, kind: str, methods: list[str]) -> None:
    title, _, xlabel = KINDS[kind]
    chosen = reductions_drawn(data, kind)
    styles = look.method_styles(methods)
    for method in methods:
        part = data[(data["method"] == method) & (data["reduction"] == chosen.get(method))]
        part = part.sort_values("share")
        if part.empty:
            continue
        ax.plot(part["share"], part["mean"], label=method_name(method), **styles[method])
        if part["lo"].notna().all():
            band = {"color": styles[method]["color"], "alpha": 0.2 if is_ours(method) else 0.1}
            ax.fill_between(part["share"], part["lo"], part["hi"], linewidth=0, zorder=1, **band)
    low, high = float(data["mean"].min()), float(data["mean"].max())  # a logit knows no bounds
    ax.set(title=title, xlabel=xlabel, xlim=(0, 1), ylim=(min(0.0, low), max(1.0, high)))
    ax.xaxis.set_major_formatter(PercentFormatter(1.0))
    ax.grid(True)


def _legend(figure: Figure, ax: Axes, methods: list[str]) -> None:
    handles, labels = ax.get_legend_handles_labels()
    ncols = legend_columns(labels, figure.get_figwidth(), min(4, max(1, len(labels))))
    legend = figure.legend(handles, labels, loc="outside lower center", ncols=ncols, handlelength=2.6)
    mine = {method_name(m) for m in methods if is_ours(m)}
    for text in legend.get_texts():
        if text.get_text() in mine:
            text.set_fontweight("bold")
