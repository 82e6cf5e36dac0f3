"""Pictures of checks: a line or a row of marks for each method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sidelight.core.names import is_ours, ordered
from sidelight.errors import InputError
from sidelight.viz import style as look
from sidelight.viz.export import ShownFigure
from sidelight.viz.titles import legend_columns, method_name

MARKS = ("o", "D", "s", "^", "v")


@dataclass(frozen=True)
class Panel:
    """One plot.

    Attributes:
        title: above it.
        lines: method -> points ``(x, y)``, for :func:`plot_lines`.
        points: method -> mark's name -> value, for :func:`plot_points`. An only mark may be called "".
        ticks: names of some x.
        marks: method -> mark of the reading that is drawn. Methods without a sign need none.
    """

    title: str
    lines: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    points: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    ticks: Mapping[float, str] = field(default_factory=dict)
    marks: Mapping[str, str] = field(default_factory=dict)


def plot_lines(panels: Sequence[Panel], xlabel: str, ylabel: str) -> Figure:
    """A line for each method, panels side by side on one y axis.

    Args:
        panels: with ``lines``.
        xlabel, ylabel: of the axes.

    Raises:
        InputError: there is nothing to draw.
    """
    methods = ordered([m for p in panels for m in p.lines])
    if not methods:
        raise InputError("a figure of lines needs a panel with at least one line.")
    styles = look.method_styles(methods)
    slanted = any(p.ticks for p in panels)
    with look.house_style():
        height = 3.2 + 0.2 * -(-len(methods) // 4) + (1.0 if slanted else 0.0)
        figure = ShownFigure(
            figsize=(max(4.6, 3.6 * len(panels)), height), dpi=look.DPI, layout="constrained"
        )
        axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        for ax, panel in zip(axes, panels, strict=True):
            for method in ordered(panel.lines):
                x, y = zip(*panel.lines[method], strict=True)
                ax.plot(x, y, label=_named(method, panels), marker=".", **styles[method])
            ax.set(title=panel.title, xlabel=xlabel)
            ax.grid(True)
            if panel.ticks:
                names = [_short(name) for name in panel.ticks.values()]
                ax.set_xticks(
                    list(panel.ticks), names, rotation=40, ha="right", rotation_mode="anchor", fontsize=7
                )
        axes[0].set_ylabel(ylabel)
        _legend(figure, axes)
    return figure


def plot_points(panels: Sequence[Panel], xlabel: str) -> Figure:
    """A row for each method with its values as marks, panels side by side.

    Args:
        panels: with ``points``.

    Raises:
        InputError: there is nothing to draw.
    """
    methods = ordered([m for p in panels for m in p.points])
    if not methods:
        raise InputError("a figure of points needs a panel with at least one value.")
    marks = list(dict.fromkeys(name for p in panels for found in p.points.values() for name in found))
    with look.house_style():
        height = 1.3 + 0.3 * len(methods) + (0.3 if any(marks) else 0.0)
        figure = ShownFigure(figsize=(1.6 + 3.2 * len(panels), height), dpi=look.DPI, layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        for ax, panel in zip(axes, panels, strict=True):
            _draw_points(ax, panel, methods, marks)
            ax.set(title=panel.title, xlabel=xlabel)
        axes[0].set_yticks(range(len(methods)), [_named(m, panels) for m in methods])
        axes[0].invert_yaxis()
        for label, method in zip(axes[0].get_yticklabels(), methods, strict=True):
            label.set_fontweight("bold" if is_ours(method) else "normal")
        if any(marks):
            figure.legend(
                *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=min(3, len(marks))
            )
    return figure


def _draw_points(ax: Axes, panel: Panel, methods: Sequence[str], marks: Sequence[str]) -> None:
    styles = look.method_styles(methods)
    for number, name in enumerate(marks):
        rows = [i for i, m in enumerate(methods) if name in panel.points.get(m, {})]
        values = [panel.points[methods[i]][name] for i in rows]
        colours = [styles[methods[i]]["color"] for i in rows]
        _scatter(ax, number, values, rows, colours)
        if name:  # One grey mark for the legend, since colours tell methods apart.
            _scatter(ax, number, [np.nan], [np.nan], look.INK_SOFT, name)
    ax.grid(True, axis="x")
    low, high = ax.get_xlim()
    ax.set_xlim(min(0.0, low), max(1.0, high) if high <= 1.1 else high)
    ax.set_ylim(-0.6, len(methods) - 0.4)


def _scatter(
    ax: Axes, number: int, x: Sequence[float], y: Sequence[float], colour: list[str] | str, label: str = ""
) -> None:
    """Points as the mark of this number, every second one hollow."""
    ax.scatter(
        x,
        y,
        marker=MARKS[number % len(MARKS)],
        s=34,
        facecolors=colour if number % 2 == 0 else "none",
        edgecolors=colour,
        zorder=3,
        clip_on=False,  # a mark at 0 or 1 lies half outside
        label=label or None,
    )


def _legend(figure: Figure, axes: Sequence[Axes]) -> None:
    handles = {label: h for ax in axes for h, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    order = sorted(handles, key=lambda label: not is_ours(label))
    ncols = legend_columns(order, figure.get_figwidth(), min(4, len(order)))
    figure.legend([handles[n] for n in order], order, loc="outside lower center", ncols=ncols)


def _named(method: str, panels: Sequence[Panel]) -> str:
    """A method with the mark of its reading. If panels draw different ones, all stand in the panels' order."""
    marks = [p.marks.get(method, "") for p in panels if method in p.lines or method in p.points]
    told = marks[0] if len(set(marks)) == 1 else " / ".join(marks)
    return f"{method_name(method)} {told}".strip()


def _short(name: str, longest: int = 24) -> str:
    return name if len(name) <= longest else name[: longest - 1] + "…"
