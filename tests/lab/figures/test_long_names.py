"""A method with an endless name is a method like others: figures draw it without a warning, inside their frame."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sidelight.lab.figures.ablation import plot_variants
from sidelight.lab.figures.audit import Panel, plot_lines, plot_points
from sidelight.lab.figures.critical_difference import plot_critical_difference
from sidelight.lab.figures.curves import plot_curves
from sidelight.lab.figures.grid import GridSample
from sidelight.lab.figures.radar import plot_radar
from sidelight.lab.figures.scatter import plot_tradeoff
from sidelight.viz import to_png


def curves(names: Sequence[str]) -> Figure:
    rows = [
        {"method": name, "kind": kind, "share": share, "mean": 1 - share}
        for name in names
        for kind in ("deletion", "insertion")
        for share in (0.0, 0.5, 1.0)
    ]
    return plot_curves(pd.DataFrame(rows))


def variants(names: Sequence[str]) -> Figure:
    maps = {name: np.linspace(0, 1, 4) for name in names}
    return plot_variants([GridSample(["a ", "dull ", "film ", "!"], maps, modality="text")], names)


METRICS = {"drop": "lower", "srg": "higher", "iou": "higher"}
FIGURES: dict[str, Callable[[Sequence[str]], Figure]] = {
    "curves": curves,
    "variants": variants,
    "radar": lambda names: plot_radar(
        {n: {m: i + k for k, m in enumerate(METRICS)} for i, n in enumerate(names)}, METRICS
    ),
    "trade-off": lambda names: plot_tradeoff({n: (float(i), float(i)) for i, n in enumerate(names)}),
    "ranks": lambda names: plot_critical_difference({n: 1.0 + i for i, n in enumerate(names)}, 1.0, []),
    "lines": lambda names: plot_lines([Panel("p", {n: [(0, 1.0), (1, 0.5)] for n in names})], "x", "y"),
    "points": lambda names: plot_points([Panel("p", points={n: {"": 0.5} for n in names})], "x"),
}


@pytest.mark.parametrize("kind", FIGURES)
@pytest.mark.parametrize("letters", [5, 300])
def test_every_name_stays_inside_and_nothing_warns(kind: str, letters: int) -> None:
    names = ["sidelight", "w" * letters, *(f"{i}{'o' * letters}" for i in range(3)), "$a$b_c$"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = FIGURES[kind](names)
        assert to_png(figure).startswith(b"\x89PNG")
    legends = [*figure.legends, *(ax.get_legend() for ax in figure.axes if ax.get_legend())]
    texts = [t for legend in legends for t in legend.get_texts()]
    texts += [t for ax in figure.axes for t in (*ax.texts, *(ax.get_yticklabels() if ax.axison else ()))]
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    for text in texts:
        box = text.get_window_extent(canvas.get_renderer())
        assert box.width == 0 or (box.x0 >= -2 and box.x1 <= figure.bbox.width + 2), (text.get_text(), box)
