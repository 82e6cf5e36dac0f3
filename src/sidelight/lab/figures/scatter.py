"""Faithfulness against clarity, and the methods that no other beats on both."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sidelight.core.names import is_control, is_ours
from sidelight.errors import InputError
from sidelight.viz import style as look
from sidelight.viz.export import ShownFigure
from sidelight.viz.titles import method_name

#: method -> its values on the two axes
Points = Mapping[str, tuple[float, float]]


def pareto_front(points: np.ndarray) -> np.ndarray:
    """``[N]`` boolean: true for points without another that is at least as good on both and better on one.

    Args:
        points: ``[N, 2]``, larger is better on both axes.
    """
    difference = points[None, :, :] - points[:, None, :]
    beaten = np.logical_and(difference.min(-1) >= 0, difference.max(-1) > 0)
    return np.logical_not(np.any(beaten, axis=1))


def plot_tradeoff(
    points: Points,
    *,
    x: tuple[str, str] = ("sparsity", "higher"),
    y: tuple[str, str] = ("average drop", "lower"),
) -> Figure:
    """Scatter of methods with the Pareto front.

    Trivial maps are drawn in grey and take no part in the front.

    Args:
        points: method -> (clarity, faithfulness) values as the metrics give them.
        x, y: name and direction (``"lower"`` / ``"higher"``) of each axis. An axis on which
            lower is better is turned round, so the upper right corner is always best.

    Raises:
        InputError: no points, or an unknown direction.
    """
    if not points or not {x[1], y[1]} <= {"lower", "higher"}:
        raise InputError(
            f"need points and directions 'lower' or 'higher'; got {len(points)} points, {x}, {y}."
        )
    signs = np.array([1.0 if axis[1] == "higher" else -1.0 for axis in (x, y)])
    with look.house_style():
        figure = ShownFigure(figsize=(6.4, 4.0), dpi=look.DPI, layout="constrained")
        ax = figure.add_subplot()
        _draw_front(ax, points, signs)
        _draw_points(ax, points)
        ax.margins(0.14)
        if signs[0] < 0:
            ax.invert_xaxis()
        if signs[1] < 0:
            ax.invert_yaxis()
        ax.set_xlabel(f"{x[0]}  ({x[1]} is better)")
        ax.set_ylabel(f"{y[0]}  ({y[1]} is better)")
        ax.grid(True)
    return figure


def _draw_front(ax: Axes, points: Points, signs: np.ndarray) -> None:
    values = np.array([point for name, point in points.items() if not is_control(name)]).reshape(-1, 2)
    front = values[pareto_front(values * signs)]
    front = front[np.argsort(front[:, 0])]
    ax.plot(front[:, 0], front[:, 1], color=look.INK_SOFT, linewidth=1, linestyle=(0, (4, 2)), zorder=1)


def _draw_points(ax: Axes, points: Points) -> None:
    """Number the points and name them in a legend, because names beside near points would overlap."""
    styles = look.method_styles(points)
    for number, (name, (px, py)) in enumerate(points.items(), start=1):
        mine, label = is_ours(name), f"{number}  {method_name(name)}"
        ax.scatter(
            px, py, s=70 if mine else 34, color=styles[name]["color"], zorder=3, linewidth=0, label=label
        )
        weight = "bold" if mine else "normal"
        ax.annotate(str(number), (px, py), (5, 3), textcoords="offset points", fontsize=8, fontweight=weight)
    legend = ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8, frameon=False)
    for text, name in zip(legend.get_texts(), points, strict=True):
        text.set_color(look.INK_SOFT if is_control(name) else look.INK)
        text.set_fontweight("bold" if is_ours(name) else "normal")
