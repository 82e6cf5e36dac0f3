"""Pictures of checks: every method is there, ours in its colour, and nothing to draw is an error."""

from __future__ import annotations

import pytest
from matplotlib.colors import to_hex

from sidelight.errors import InputError
from sidelight.lab.figures.audit import Panel, plot_lines, plot_points
from sidelight.viz import style as look
from sidelight.viz import to_png

LINES = {"saliency": [(0, 1.0), (1, 0.4)], "sidelight": [(0, 1.0), (1, 0.2)], "random": [(0, 1.0), (1, 1.0)]}
POINTS = {"saliency": {"a": 0.4}, "sidelight": {"a": 0.2, "b": 3.0}}


def test_lines_of_methods() -> None:
    ticks = {0: "trained", 1: "layer.11 … model.embeddings"}
    figure = plot_lines([Panel("one", LINES, ticks=ticks), Panel("two", {"rise": [(0, 0.5)]})], "x", "y")
    first, second = figure.axes
    drawn = {line.get_label(): line for line in first.lines}
    assert set(drawn) == {"Saliency", "sidelight", "Random"}
    assert list(drawn["sidelight"].get_ydata()) == [1.0, 0.2]
    assert to_hex(drawn["sidelight"].get_color()) == look.ACCENT
    assert [t.get_text() for t in first.get_xticklabels()] == ["trained", "layer.11 … model.embedd…"]
    assert len(second.lines) == 1
    legend = [t.get_text() for t in figure.legends[0].get_texts()]
    assert legend[0] == "sidelight"
    assert set(legend) == {"sidelight", "Saliency", "Random", "RISE"}
    assert to_png(figure).startswith(b"\x89PNG")


def test_points_of_methods() -> None:
    figure = plot_points([Panel("p", points=POINTS)], "value")
    (ax,) = figure.axes
    assert [t.get_text() for t in ax.get_yticklabels()] == ["sidelight", "Saliency"]
    low, high = ax.get_xlim()
    assert low <= 0 < 3.0 < high
    offsets = [tuple(o) for c in ax.collections for o in c.get_offsets().tolist()]
    for place in ((0.2, 0.0), (0.4, 1.0), (3.0, 0.0)):
        assert place in offsets
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["a", "b"]
    assert not plot_points([Panel("p", points={"rise": {"": 0.1}})], "value").legends


def test_nothing_to_draw() -> None:
    for plot in (lambda: plot_lines([Panel("p")], "x", "y"), lambda: plot_points([Panel("p")], "x")):
        with pytest.raises(InputError, match="at least one"):
            plot()
