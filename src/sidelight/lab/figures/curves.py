"""Deletion and insertion curves with their 95 % bands."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from sidelight.errors import InputError
from sidelight.viz import style as look
from sidelight.viz.export import ShownFigure

#: kind -> (title, sign that makes a larger area better, label of the x axis)
KINDS = {
    "deletion": ("Deletion: lower is better", -1.0, "removed, most relevant first"),
    "insertion": ("Insertion: higher is better", 1.0, "inserted, most relevant first"),
}
REDUCTION_MARKS = {"abs": "|·|", "positive": "+"}
COLUMNS = ("method", "kind", "share", "mean")


def check_curves(curves: pd.DataFrame) -> pd.DataFrame:
    """``curves`` with the optional columns present; :class:`InputError` when one needed is missing."""
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


def better_reduction(curves: pd.DataFrame, kind: str) -> dict[str, str]:
    """Method -> the reduction whose area under the curve of ``kind`` is better."""
    sign = KINDS[kind][1]
    best: dict[str, tuple[float, str]] = {}
    for (method, reduction), part in curves.groupby(["method", "reduction"], sort=False):
        method, part = str(method), part.sort_values("share")
        mean, share = part["mean"].to_numpy(float), part["share"].to_numpy(float)
        area = sign * float(((mean[1:] + mean[:-1]) / 2 * np.diff(share)).sum())
        if method not in best or area > best[method][0]:
            best[method] = (area, str(reduction))
    return {method: reduction for method, (_, reduction) in best.items()}


def plot_curves(
    curves: pd.DataFrame,
    *,
    fill: str | None = None,
    granularity: str | None = None,
    ours: str = look.OURS,
    title: str = "",
    xlabel: str = "",
    ylabel: str = "probability of the predicted class",
) -> Figure:
    """Mean probability against the share of features removed or inserted, one line a method.

    Args:
        curves: columns ``method``, ``kind`` (``deletion`` / ``insertion``), ``share`` (0 to 1)
            and ``mean``; optionally ``reduction``, ``fill``, ``granularity``, and the band
            ``lo`` to ``hi``. A signed method is drawn in its better reduction, marked so.
        fill, granularity: rows to keep, where those columns exist.
        ours: name drawn in the accent colour.
        xlabel, ylabel: of the axes; by default the horizontal one says what is removed or inserted.

    Raises:
        InputError: a column is missing, or no row is left.
    """
    data = check_curves(curves)
    for column, value in (("fill", fill), ("granularity", granularity)):
        if value is not None and column in data.columns:
            data = data[data[column] == value]
    kinds = [kind for kind in KINDS if (data["kind"] == kind).any()]
    if not kinds:
        raise InputError(f"no curve with fill={fill!r} and granularity={granularity!r}.")
    methods = look.ordered(data["method"], ours)
    with look.house_style():
        height = 3.0 + 0.2 * -(-len(methods) // 4)
        figure = ShownFigure(figsize=(4.4 * len(kinds), height), dpi=look.DPI, layout="constrained")
        axes = figure.subplots(1, len(kinds), squeeze=False)[0]
        for ax, kind in zip(axes, kinds, strict=True):
            _draw_kind(ax, data[data["kind"] == kind], kind, methods, ours)
            if xlabel:
                ax.set_xlabel(xlabel)
        axes[0].set_ylabel(ylabel)
        _legend(figure, axes[0], methods, ours)
        if title:
            figure.suptitle(title, x=0.02, ha="left", fontsize=11)
    return figure


def _draw_kind(ax: Axes, data: pd.DataFrame, kind: str, methods: list[str], ours: str) -> None:
    title, _, xlabel = KINDS[kind]
    chosen = better_reduction(data, kind)
    styles = look.method_styles(methods, ours)
    for method in methods:
        part = data[(data["method"] == method) & (data["reduction"] == chosen.get(method))]
        part = part.sort_values("share")
        if part.empty:
            continue
        ax.plot(part["share"], part["mean"], label=look.method_label(method), **styles[method])
        if part["lo"].notna().all():
            mine = look.is_ours(method, ours)
            ax.fill_between(
                part["share"],
                part["lo"],
                part["hi"],
                color=styles[method]["color"],
                alpha=0.2 if mine else 0.1,
                linewidth=0,
                zorder=1,
            )
    low, high = float(data["mean"].min()), float(data["mean"].max())  # a logit knows no bounds
    ax.set(title=title, xlabel=xlabel, xlim=(0, 1), ylim=(min(0.0, low), max(1.0, high)))
    ax.xaxis.set_major_formatter(PercentFormatter(1.0))
    ax.grid(True)


def _legend(figure: Figure, ax: Axes, methods: list[str], ours: str) -> None:
    handles, labels = ax.get_legend_handles_labels()
    legend = figure.legend(
        handles, labels, loc="outside lower center", ncols=min(4, max(1, len(labels))), handlelength=2.6
    )
    mine = {look.method_label(m) for m in methods if look.is_ours(m, ours)}
    for text in legend.get_texts():
        if text.get_text() in mine:
            text.set_fontweight("bold")
