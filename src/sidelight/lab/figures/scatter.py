"""Faithfulness against clarity: who is not beaten on both at once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from sidelight.errors import InputError
from sidelight.lab.figures.labels import place_labels
from sidelight.viz import style as look
from sidelight.viz.export import ShownFigure

_ARROWS = {"lower": "↓ better", "higher": "↑ better"}


def pareto_front(points: np.ndarray) -> np.ndarray:
    """``[N]`` boolean: true where no other point is at least as good on both and better on one.

    Args:
        points: ``[N, 2]``, larger is better on both axes.
    """
    difference = points[None, :, :] - points[:, None, :]
    beaten = np.logical_and(difference.min(-1) >= 0, difference.max(-1) > 0)
    return np.logical_not(np.any(beaten, axis=1))


def plot_tradeoff(
    points: Mapping[str, tuple[float, float]],
    *,
    x: tuple[str, str] = ("sparsity", "higher"),
    y: tuple[str, str] = ("average drop", "lower"),
    ours: str = look.OURS,
) -> Figure:
    """Scatter of methods with the Pareto front.

    Trivial maps are drawn in grey and take no part in the front.

    Args:
        points: method -> (clarity, faithfulness) values as the metrics give them.
        x, y: name and direction (``"lower"`` / ``"higher"``) of each axis; an axis on which
            lower is better is turned round, so the upper right corner is always best.
        ours: name drawn in the accent colour.

    Raises:
        InputError: no points, or an unknown direction.
    """
    if not points or x[1] not in _ARROWS or y[1] not in _ARROWS:
        raise InputError(
            f"need points and directions 'lower' or 'higher'; got {len(points)} points, {x}, {y}."
        )
    values = np.array(list(points.values()), dtype=float)
    signs = np.array([1.0 if axis[1] == "higher" else -1.0 for axis in (x, y)])
    real = np.array([not look.is_control(name) for name in points])
    front = np.zeros(len(points), dtype=bool)
    front[real] = pareto_front((values * signs)[real])
    styles = look.method_styles(points, ours)
    with look.house_style():
        figure = ShownFigure(figsize=(5.4, 4.0), dpi=look.DPI, layout="constrained")
        ax = figure.add_subplot()
        edge = values[front][np.argsort(values[front][:, 0])]
        ax.plot(edge[:, 0], edge[:, 1], color=look.INK_SOFT, linewidth=1, linestyle=(0, (4, 2)), zorder=1)
        for name, (px, py) in points.items():
            mine = look.is_ours(name, ours)
            ax.scatter(px, py, s=70 if mine else 34, color=styles[name]["color"], zorder=3, linewidth=0)
        ax.margins(0.14)
        if signs[0] < 0:
            ax.invert_xaxis()
        if signs[1] < 0:
            ax.invert_yaxis()
        ax.set_xlabel(f"{x[0]}  ({x[1]} is better)")
        ax.set_ylabel(f"{y[0]}  ({y[1]} is better)")
        ax.grid(True)
        place_labels(
            figure, ax, [_label(ax, name, points[name], ours) for name in look.ordered(points, ours)]
        )
    return figure


def _label(ax: Axes, name: str, point: tuple[float, float], ours: str) -> Annotation:
    control = look.is_control(name)
    return ax.annotate(
        look.method_label(name).replace("$", r"\$"),
        point,
        xytext=(0, 0),
        textcoords="offset points",
        fontsize=7.5 if control else 8,
        fontweight="bold" if look.is_ours(name, ours) else "normal",
        color=look.INK_SOFT if control else look.INK,
        zorder=4,
    )
