"""Average ranks on one axis. A bar joins methods that the cases do not tell apart (Demšar, 2006)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sidelight.core.names import is_ours
from sidelight.errors import InputError
from sidelight.viz import style as look
from sidelight.viz.export import ShownFigure
from sidelight.viz.titles import method_name

#: inches: height of a method's line, of a bar, and of the axis with the critical difference
LINE, BAR, HEAD = 0.23, 0.11, 0.75


@dataclass(frozen=True)
class Label:
    """A method beside the diagram, joined to its rank on the axis."""

    name: str
    rank: float
    colour: str
    mine: bool

    def draw(self, ax: Axes, end: float, y: float, side: int) -> None:
        """An elbow from the axis down to the name: at the left for ``side`` -1, at the right for 1."""
        width = 1.8 if self.mine else 1.0
        ax.plot([self.rank, self.rank, end], [0, y, y], color=self.colour, linewidth=width, zorder=3)
        ax.text(
            end + side * 0.012 * (ax.get_xlim()[1] - ax.get_xlim()[0]),
            y,
            f"{method_name(self.name)}  {self.rank:.2f}",
            ha="right" if side < 0 else "left",
            va="center",
            fontsize=8.5,
            fontweight="bold" if self.mine else "normal",
            color=look.ACCENT if self.mine else look.INK,
        )


def plot_critical_difference(
    ranks: Mapping[str, float],
    critical_difference: float,
    groups: Sequence[Sequence[str]],
) -> Figure:
    """Critical-difference diagram, the best rank at the left.

    Args:
        ranks: method -> average rank, 1 at best.
        critical_difference: drawn as a scale above the axis.
        groups: methods that are not told apart, one bar each, as in
            :attr:`~sidelight.lab.metrics.rank_tests.AverageRanks.groups`.

    Raises:
        InputError: fewer than two methods, a rank below 1 or not finite, a negative difference, or a
            group with a method that has no rank.
    """
    _check(ranks, critical_difference, groups)
    names = sorted(ranks, key=lambda m: ranks[m])
    half = -(-len(names) // 2)
    bars = len(groups) * BAR + 0.12
    height = HEAD + bars + LINE * half
    first, last = 1.0, max(float(len(names)), critical_difference + 1)
    with look.house_style():
        figure = ShownFigure(figsize=(7.2, height), dpi=look.DPI, layout="constrained")
        ax = figure.add_subplot()
        ax.set_axis_off()
        room = 0.42 * (last - first)  # for the names
        ax.set(xlim=(first - room, last + room), ylim=(-height + HEAD - 0.05, HEAD))
        _axis(ax, last, critical_difference)
        for position, group in enumerate(groups):
            y = -0.12 - position * BAR
            span = [ranks[m] for m in group]
            ax.plot([min(span) - 0.03, max(span) + 0.03], [y, y], color=look.INK, linewidth=3, zorder=4)
        styles = look.method_styles(names)
        for side, end, column in ((-1, first, names[:half]), (1, last, names[: half - 1 : -1])):
            for position, name in enumerate(column):
                y = -bars - LINE * (position + 0.5)
                label = Label(name, ranks[name], str(styles[name]["color"]), is_ours(name))
                label.draw(ax, end, y, side)
    return figure


def _check(ranks: Mapping[str, float], difference: float, groups: Sequence[Sequence[str]]) -> None:
    unknown = {m for group in groups for m in group} - set(ranks)
    if len(ranks) < 2 or unknown or not all(math.isfinite(r) and r >= 1 for r in ranks.values()):
        raise InputError(
            "a critical-difference diagram needs two or more methods with finite ranks from 1, and groups of "
            f"those methods; got {dict(ranks)}" + (f" and unknown {sorted(unknown)}." if unknown else ".")
        )
    if not difference >= 0:
        raise InputError(f"a critical difference is 0 or more; got {difference}.")


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
