"""Maps of the same inputs by several variants of a scorer, a row a variant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sidelight.errors import InputError
from sidelight.lab.figures.grid import GridSample
from sidelight.viz import style as look
from sidelight.viz.base import RENDERERS
from sidelight.viz.export import ShownFigure
from sidelight.viz.titles import drawn, fitted, one_line, short_name

#: inches for the names, and between rows
LABEL_WIDTH, GAP = 1.55, 0.1


def plot_variants(
    samples: Sequence[GridSample], variants: Sequence[str], notes: Mapping[str, str] | None = None
) -> Figure:
    """Columns are samples. The first row shows the inputs, each further row a variant's maps.

    Maps are drawn as they are, not stretched to [0, 1], so that a variant without rescaling and a
    constant map look like what they are.

    Args:
        samples: one column each, with a map in [0, 1] for every variant.
        variants: names in ``GridSample.maps``, one row each.
        notes: a few words below the name of a variant.

    Raises:
        InputError: no samples or variants, a sample without some variant's map, or a map that does
            not fit its input or lies outside [0, 1].
    """
    if not samples or not variants:
        raise InputError(
            f"a figure of variants needs a sample and a variant; got {len(samples)}, {len(variants)}."
        )
    sizes = np.array([RENDERERS[s.modality].cell_size(s.display) for s in samples])
    height = float(sizes[:, 1].max()) + GAP
    widths = [LABEL_WIDTH, *(sizes[:, 0] + GAP)]
    rows = 1 + len(variants)
    with look.house_style():
        size = (float(sum(widths)), rows * height + 0.45)
        figure = ShownFigure(figsize=size, dpi=look.DPI, layout="constrained")
        axes = figure.subplots(rows, 1 + len(samples), squeeze=False, gridspec_kw={"width_ratios": widths})
        _name(axes[0, 0], "input", "")
        for ax, sample in zip(axes[0, 1:], samples, strict=True):
            _draw_input(ax, sample)
        for row, variant in zip(axes[1:], variants, strict=True):
            _name(row[0], variant, (notes or {}).get(variant, ""))
            for ax, sample in zip(row[1:], samples, strict=True):
                _draw_map(ax, sample, variant)
    return figure


def _draw_input(ax: Axes, sample: GridSample) -> None:
    renderer = RENDERERS[sample.modality]
    renderer.draw_input(ax, sample.display, sample.truth)
    colour = look.ACCENT if sample.wrong else look.INK
    lines = fitted([one_line(sample.decision)], renderer.cell_size(sample.display)[0] + GAP, points=8)
    ax.set_title(drawn(lines), fontsize=8, loc="center", color=colour)


def _draw_map(ax: Axes, sample: GridSample, variant: str) -> None:
    if variant not in sample.maps:
        raise InputError(f"a sample has no map of {variant!r}; it has {', '.join(sample.maps)}.")
    renderer = RENDERERS[sample.modality]
    scores, display = renderer.check(sample.maps[variant], sample.display)
    if not np.isfinite(scores).all() or scores.min() < 0 or scores.max() > 1:
        raise InputError(
            f"the map of {variant!r} must lie in [0, 1]; it spans {scores.min()}–{scores.max()}."
        )
    style = "heat" if "heat" in renderer.styles else None
    renderer.draw_map(ax, scores, display, style, sample.truth)


def _name(ax: Axes, name: str, note: str) -> None:
    ax.set_axis_off()
    ax.text(1.0, 0.5, short_name(name), ha="right", va="bottom" if note else "center", fontsize=8.5)
    if note:
        ax.text(1.0, 0.47, note, ha="right", va="top", fontsize=7.5, color=look.ACCENT)
