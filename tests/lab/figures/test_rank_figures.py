"""The critical-difference diagram and the trade-off of two metrics."""

from __future__ import annotations

import numpy as np
import pytest

from sidelight.errors import InputError
from sidelight.lab.figures.critical_difference import plot_critical_difference
from sidelight.lab.figures.scatter import plot_tradeoff
from sidelight.viz import style, to_pdf

RANKS = {"rise": 1.5, "sidelight": 2.0, "saliency": 2.5, "lime": 4.0}


def test_diagram_shows_ranks_bars_and_scale() -> None:
    figure = plot_critical_difference(RANKS, 1.2, [("rise", "sidelight", "saliency")])
    ax = figure.axes[0]
    texts = [t.get_text() for t in ax.texts]
    for wanted in ("RISE  1.50", "sidelight  2.00", "LIME  4.00", "critical difference 1.20", "4"):
        assert wanted in texts
    bar = next(line for line in ax.get_lines() if line.get_linewidth() == 3)
    assert bar.get_xdata() == pytest.approx([1.5 - 0.03, 2.5 + 0.03])
    elbows = {line.get_color(): line.get_xdata()[0] for line in ax.get_lines() if len(line.get_xdata()) == 3}
    assert elbows[style.ACCENT] == 2.0
    assert sorted(elbows.values()) == sorted(RANKS.values())
    # the scale has the length of the difference, in the units of the axis
    assert any(np.ptp(line.get_xdata()) == pytest.approx(1.2) for line in ax.get_lines())
    figure.canvas.draw()


def test_diagram_of_many_methods_and_a_wide_difference_stays_inside() -> None:
    ranks = {f"method_{i}": 1.0 + i for i in range(13)}
    for difference in (0.0, 30.0):
        figure = plot_critical_difference(ranks, difference, [])
        ax = figure.axes[0]
        low, high = ax.get_ylim()
        assert all(low <= t.get_position()[1] <= high for t in ax.texts)
        assert ax.get_xlim()[1] >= 1 + difference


@pytest.mark.parametrize(
    ("ranks", "difference", "groups", "message"),
    [
        ({"a": 1.0}, 1.0, [], "two or more"),
        ({"a": 1.0, "b": float("nan")}, 1.0, [], "finite"),
        ({"a": 0.5, "b": 2.0}, 1.0, [], "from 1"),
        (RANKS, -1.0, [], "0 or more"),
        (RANKS, 1.0, [("rise", "nobody")], "nobody"),
    ],
)
def test_diagram_refuses(ranks, difference, groups, message) -> None:
    with pytest.raises(InputError, match=message):
        plot_critical_difference(ranks, difference, groups)


def test_trivial_maps_take_no_part_in_the_front() -> None:
    figure = plot_tradeoff(
        {"constant": (1.0, 0.0), "rise": (0.5, 0.1), "lime": (0.2, 0.4)}, x=("mean score", "lower")
    )
    assert figure.axes[0].get_lines()[0].get_xdata().tolist() == [0.2, 0.5]


def test_pdf_is_repeatable() -> None:
    first, second = (to_pdf(plot_critical_difference(RANKS, 1.0, [])) for _ in range(2))
    assert first.startswith(b"%PDF")
    assert first == second
