"""Average ranks on one axis; a bar joins the methods that the cases do not tell apart (Demšar, 2006)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sidelight.errors import InputError
from sidelight.viz import style as look
from sidelight.viz.export import ShownFigure

#: inches: height of a method's line, of a bar, and what axis and critical difference need
LINE, BAR, HEAD = 0.23, 0.11, 0.75


def plot_critical_difference(
    ranks: Mapping[str, float],
    critical_difference: float,
    groups: Sequence[Sequence[str]],
    *,
    title: str = "",
    ours: str = look.OURS,
) -> Figure:
    """Critical-difference diagram, the best rank at the left.

    Args:
        ranks: method -> average rank, 1 at best.
        critical_difference: drawn as a scale above the axis.
        groups: methods that are not told apart, one bar each; those of
            :attr:`~sidelight.lab.metrics.rank_tests.AverageRanks.groups`.
        ours: name drawn in the accent colour.

    Raises:
        InputError: fewer than two methods, a rank below 1 or not finite, a negative difference, or a
            group with a method that has no rank.
    """
    unknown = {m for group in groups for m in group} - set(ranks)
    if len(ranks) < 2 or unknown or not all(math.isfinite(r) and r >= 1 for r in ranks.values()):
        raise InputError(
            "a critical-difference diagram needs two or more methods with finite ranks from 1, and groups of "
            f"those methods; got {dict(ranks)}" + (f" and unknown {sorted(unknown)}." if unknown else ".")
        )
    if not critical_difference >= 0:
        raise InputError(f"a critical difference is 0 or more; got {critical_difference}.")
    names = sorted(ranks, key=lambda m: ranks[m])
    left = names[: -(-len(names) // 2)]
    bars = len(groups) * BAR + 0.12
    height = HEAD + bars + LINE * len(left)
    with look.house_style():
        figure = ShownFigure(
            figsize=(7.2, height + (0.3 if title else 0.0)), dpi=look.DPI, layout="constrained"
        )
        ax = figure.add_subplot()
        ax.set_axis_off()
        ends = (1, max(len(names), critical_difference + 1))
        room = 0.42 * (ends[1] - ends[0])  # for the names
        ax.set(xlim=(ends[0] - room, ends[1] + room), ylim=(-height + HEAD - 0.05, HEAD))
        _axis(ax, ends[1], critical_difference)
        for position, group in enumerate(groups):
            y = -0.12 - position * BAR
            span = [ranks[m] for m in group]
            ax.plot([min(span) - 0.03, max(span) + 0.03], [y, y], color=look.INK, linewidth=3, zorder=4)
        styles = look.method_styles(names, ours)
        for position, name in enumerate(left):
            _method(ax, name, ranks[name], ends[0], -bars - LINE * (position + 0.5), styles[name], ours)
        for position, name in enumerate(reversed(names[len(left) :])):
            _method(ax, name, ranks[name], ends[1], -bars - LINE * (position + 0.5), styles[name], ours)
        if title:
            figure.suptitle(title, x=0.02, ha="left", fontsize=10)
    return figure


def _axis(ax: Axes, end: float, difference: float) -> None:
    ax.plot([1, end], [0, 0], color=look.INK_SOFT, linewidth=0.9)
    for tick in range(1, math.floor(end) + 1):
        ax.plot([tick, tick], [0, 0.06], color=look.INK_SOFT, linewidth=0.9)
        ax.text(tick, 0.09, str(tick), ha="center", va="bottom", fontsize=8, color=look.INK_SOFT)
    ax.text(end, 0.26, "average rank, 1 is best", ha="right", va="bottom", fontsize=8, color=look.INK_SOFT)
    y = 0.36
    ax.plot([1, 1 + difference], [y, y], color=look.INK, linewidth=1.2)
    for x in (1, 1 + difference):
        ax.plot([x, x], [y - 0.04, y + 0.04], color=look.INK, linewidth=1.2)
    ax.text(1, y + 0.07, f"critical difference {difference:.2f}", ha="left", va="bottom", fontsize=8)


def _method(
    ax: Axes, name: str, rank: float, end: float, y: float, line: Mapping[str, object], ours: str
) -> None:
    """An elbow from the axis down to the method's name at one side."""
    mine, side = look.is_ours(name, ours), -1 if end == 1 else 1
    ax.plot([rank, rank, end], [0, y, y], color=str(line["color"]), linewidth=1.8 if mine else 1.0, zorder=3)
    ax.text(
        end + side * 0.012 * (ax.get_xlim()[1] - ax.get_xlim()[0]),
        y,
        f"{look.method_label(name)}  {rank:.2f}".replace("$", r"\$"),
        ha="right" if side < 0 else "left",
        va="center",
        fontsize=8.5,
        fontweight="bold" if mine else "normal",
        color=look.ACCENT if mine else look.INK,
    )
