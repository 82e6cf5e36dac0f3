"""One input and the maps of several methods, side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from sidelight.core.names import is_ours, method_label
from sidelight.errors import InputError
from sidelight.lab.figures.grid import GridSample
from sidelight.viz import style as look
from sidelight.viz.base import RENDERERS
from sidelight.viz.export import ShownFigure
from sidelight.viz.titles import LINE, drawn, fitted, one_line, title_figure

#: panels in a row of maps that hide their input, and of maps that do not
ACROSS, ACROSS_WIDE = 4, 2
#: inches for the title of a panel, and between panels
TITLE, GAP = 0.42, 0.15


def plot_side_by_side(
    samples: Sequence[GridSample], notes: Mapping[str, str] | None = None, title: str = ""
) -> Figure:
    """Draw the maps of one input.

    Args:
        samples: one for each modality of the input, all with maps of the same methods.
        notes: method -> a few words below its name, e.g. what its map is worth.
        title: above everything.

    Raises:
        InputError: there is no sample.
    """
    if not samples:
        raise InputError("there is nothing to draw: give one sample a modality.")
    sizes = np.array([_size(sample) for sample in samples])
    with look.house_style():
        width, height = float(sizes[:, 0].max()), float(sizes[:, 1].sum())
        lines = fitted([one_line(title)] if title else [], 0.96 * width)
        size = (width, height + 0.4 + LINE * max(0, len(lines) - 1))
        figure = ShownFigure(figsize=size, dpi=look.DPI, layout="constrained")
        if lines:
            title_figure(figure, lines)
        parts = figure.subfigures(len(samples), 1, squeeze=False, height_ratios=sizes[:, 1].tolist())
        for part, sample in zip(parts[:, 0], samples, strict=True):
            _draw(part, sample, notes or {})
    return figure


def _grid(sample: GridSample) -> tuple[int, int]:
    """Rows and columns of panels."""
    renderer = RENDERERS[sample.modality]
    panels = len(sample.maps) + renderer.input_apart
    columns = min(panels, ACROSS if renderer.input_apart else ACROSS_WIDE)
    return math.ceil(panels / columns), columns


def _size(sample: GridSample) -> tuple[float, float]:
    rows, columns = _grid(sample)
    width, height = RENDERERS[sample.modality].cell_size(sample.display)
    return columns * (1.2 * width + GAP), rows * (1.2 * height + TITLE + GAP)


def _draw(figure: SubFigure, sample: GridSample, notes: Mapping[str, str]) -> None:
    renderer = RENDERERS[sample.modality]
    axes: list[Axes] = list(figure.subplots(*_grid(sample), squeeze=False).ravel())
    panels = [""] if renderer.input_apart else []
    panels += sample.maps
    for ax, method in zip(axes, panels, strict=False):
        if method:
            style = "heat" if "heat" in renderer.styles else None
            renderer.draw_map(ax, sample.scores(method), sample.display, style)
        else:
            renderer.draw_input(ax, sample.display)
        width = 1.2 * renderer.cell_size(sample.display)[0] + GAP
        _name(ax, method, notes.get(method, "") if method else sample.decision, width)
    for ax in axes[len(panels) :]:
        ax.set_axis_off()


def _name(ax: Axes, method: str, note: str, inches: float) -> None:
    colour = look.ACCENT if method and is_ours(method) else look.INK
    names = [method_label(method) if method else "Input", note]
    lines = [line for name in names for line in fitted([one_line(name)], inches, points=8)]
    ax.set_title(drawn(lines), fontsize=8, color=colour, loc="left")
