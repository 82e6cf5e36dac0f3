"""Many samples, many methods, one figure: maps side by side on the same input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sidelight.errors import InputError
from sidelight.viz import style as look
from sidelight.viz.base import RENDERERS, unit_range
from sidelight.viz.export import ShownFigure


@dataclass
class GridSample:
    """One row of a qualitative figure.

    Args:
        display: image floats ``[H, W, 1]`` or ``[H, W, 3]`` in [0, 1]; text a list of strings.
        maps: method name -> scores of the input's features; any range, shown min-max as
            the metrics see them.
        label: predicted class; ``probability``: its probability.
        truth_label: the true class, where known (a wrong prediction is marked).
        truth: boolean array of the scores' shape, true where the evidence is.
        modality: name in :data:`~sidelight.viz.base.RENDERERS`.
        caption: a remark of a few words, e.g. why this sample is a failure.
    """

    display: Any
    maps: Mapping[str, np.ndarray]
    label: str = ""
    probability: float | None = None
    truth_label: str | None = None
    truth: np.ndarray | None = None
    modality: str = "image"
    caption: str = ""
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def wrong(self) -> bool:
        """Whether the prediction is known to be wrong."""
        return self.truth_label is not None and self.truth_label != self.label

    @property
    def decision(self) -> str:
        """``"cat 97.1%"``, or just the label without a probability."""
        return self.label if self.probability is None else f"{self.label} {self.probability:.1%}"

    def scores(self, method: str) -> np.ndarray:
        """The map of ``method`` in [0, 1], checked against the input."""
        return RENDERERS[self.modality].check(unit_range(self.maps[method]), self.display)[0]


def grid_methods(samples: Sequence[GridSample], methods: Sequence[str] | None, ours: str) -> list[str]:
    """Columns of a grid: ``methods``, or every method of the samples with ours first.

    Raises:
        InputError: no samples, or a method that no sample has.
    """
    if not samples:
        raise InputError("a grid needs at least one sample; got none.")
    known = look.ordered([m for sample in samples for m in sample.maps], ours)
    unknown = [m for m in methods or () if m not in known]
    if unknown:
        raise InputError(f"no sample has a map of {', '.join(unknown)}; there are {', '.join(known)}.")
    return list(methods) if methods else known


def plot_grid(
    samples: Sequence[GridSample],
    methods: Sequence[str] | None = None,
    *,
    style: str | None = None,
    ours: str = look.OURS,
) -> Figure:
    """Rows are samples; columns the input and one map a method.

    Args:
        samples: one row each; a sample without some method leaves that cell empty.
        methods: columns and their order (default: all, ours first, trivial maps last).
        style: one of the renderer's styles; images: ``"heat"`` (default here) or ``"dim"``.
        ours: name drawn in the accent colour.

    Raises:
        InputError: no samples, unknown method or style, or a map that does not fit its input.
    """
    columns = grid_methods(samples, methods, ours)
    sizes = np.array([RENDERERS[s.modality].cell_size(s.display) for s in samples])
    width, heights = float(sizes[:, 0].max()), sizes[:, 1] + 0.28
    with look.house_style():
        figure = ShownFigure(
            figsize=((width + 0.08) * (1 + len(columns)) + 0.2, float(heights.sum()) + 0.45),
            dpi=look.DPI,
            layout="constrained",
        )
        axes = figure.subplots(
            len(samples),
            1 + len(columns),
            squeeze=False,
            gridspec_kw={"height_ratios": heights.tolist()},
        )
        for row, sample in zip(axes, samples, strict=True):
            _draw_row(row, sample, columns, style)
        _head(axes[0], columns, ours)
    return figure


def _draw_row(row: np.ndarray, sample: GridSample, columns: Sequence[str], style: str | None) -> None:
    renderer = RENDERERS[sample.modality]
    if style is None:
        style = "heat" if "heat" in renderer.styles else None
    renderer.draw_input(row[0], sample.display, sample.truth)
    text = sample.decision + (f"\ntrue: {sample.truth_label}" if sample.wrong else "")
    row[0].set_xlabel(
        text.replace("$", r"\$"), fontsize=8, color=look.ACCENT if sample.wrong else look.INK, labelpad=3
    )
    for ax, method in zip(row[1:], columns, strict=True):
        if method in sample.maps:
            renderer.draw_map(ax, sample.scores(method), sample.display, style, sample.truth)
        else:
            ax.set_axis_off()


def _head(row: Sequence[Axes], columns: Sequence[str], ours: str) -> None:
    row[0].set_title("Input", fontsize=8.5, loc="center", color=look.INK_SOFT)
    for ax, method in zip(row[1:], columns, strict=True):
        mine = look.is_ours(method, ours)
        ax.set_title(
            look.method_label(method).replace(" ", "\n", 1)
            if len(method) > 14
            else look.method_label(method),
            fontsize=8.5,
            loc="center",
            color=look.ACCENT if mine else look.INK,
            fontweight="bold" if mine else "normal",
        )
