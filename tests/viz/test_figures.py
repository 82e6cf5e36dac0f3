"""Figures: what they show, what they refuse, and how they become bytes."""

from __future__ import annotations

import base64
import itertools
import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from sidelight.errors import InputError
from sidelight.explanations.explanation import Explanation
from sidelight.lab.figures.curves import plot_curves, reductions_drawn
from sidelight.lab.figures.radar import oriented, plot_radar
from sidelight.lab.figures.scatter import pareto_front, plot_tradeoff
from sidelight.viz import RENDERERS, style, to_data_uri, to_png, to_svg
from sidelight.viz.base import unit_range
from sidelight.viz.export import pixels_to_uri, to_inline_svg
from sidelight.viz.image import dim, heat, outline


def curves() -> pd.DataFrame:
    share = np.linspace(0, 1, 5)
    frames = []
    for method, reduction, rate in [
        ("sidelight", "none", 8),
        ("saliency", "none", 3),
        ("integrated_gradients", "abs", 2),
        ("integrated_gradients", "positive", 5),
    ]:
        for kind in ("deletion", "insertion"):
            mean = np.exp(-rate * share)
            mean = mean if kind == "deletion" else 1 - mean
            frames.append(
                pd.DataFrame(
                    {
                        "method": method,
                        "reduction": reduction,
                        "fill": "zero",
                        "granularity": "pixel",
                        "kind": kind,
                        "share": share,
                        "mean": mean,
                        "lo": mean - 0.02,
                        "hi": mean + 0.02,
                    }
                )
            )
    return pd.concat(frames)


def test_dim_keeps_full_scores_and_greys_the_rest():
    image = np.zeros((2, 2, 3))
    image[..., 0] = 1.0
    scores = np.array([[1.0, 0.0], [0.5, 0.0]])
    out = dim(image, scores)
    np.testing.assert_allclose(out[0, 0], [1, 0, 0], atol=1e-6)
    assert np.ptp(out[0, 1]) < 1e-6  # no colour left
    np.testing.assert_allclose(out[1, 0], (out[0, 0] + out[0, 1]) / 2, atol=1e-6)


def test_heat_grows_with_the_score():
    ramp = np.linspace(0, 1, 16)[None]
    light = heat(np.full((1, 16, 1), 0.5), ramp).mean(-1)[0]
    assert (np.diff(light) > 0).all()


def test_unit_range_keeps_a_constant_map():
    np.testing.assert_allclose(unit_range(np.array([-2.0, 0.0, 2.0])), [0, 0.5, 1])
    np.testing.assert_array_equal(unit_range(np.zeros((3, 3))), np.zeros((3, 3)))
    np.testing.assert_array_equal(unit_range(np.ones(3)), np.ones(3))


def test_outline_marks_only_the_border():
    mask = np.zeros((7, 7), bool)
    mask[1:6, 1:6] = True
    changed = (outline(np.zeros((7, 7, 3)), mask) != 0).any(-1)
    inside = np.zeros_like(mask)
    inside[2:5, 2:5] = True
    np.testing.assert_array_equal(changed, mask & ~inside)


def test_curves_draw_the_better_reduction():
    data = curves()
    drawn = reductions_drawn(data[data["kind"] == "deletion"], "deletion")
    assert drawn["integrated_gradients"] == "positive"
    figure = plot_curves(data)
    line = next(ln for ln in figure.axes[0].lines if ln.get_label() == "Integrated Gradients")
    np.testing.assert_allclose(line.get_ydata(), np.exp(-5 * np.linspace(0, 1, 5)))
    assert len(figure.axes) == 2
    assert figure.axes[0].lines[0].get_color() == style.ACCENT


def test_curves_refuse_missing_columns_and_empty_selections():
    with pytest.raises(InputError, match="missing kind"):
        plot_curves(curves().drop(columns="kind"))
    with pytest.raises(InputError, match="no curve to draw: there are 0 rows"):
        plot_curves(curves()[:0])
    plot_curves(curves().drop(columns=["lo", "hi", "reduction", "fill"])[lambda d: d["method"] == "saliency"])


def test_radar_turns_every_metric_outward():
    values = {"a": {"drop": 0.1, "srg": 0.9}, "b": {"drop": 0.5, "srg": 0.9}, "c": {"drop": 0.3}}
    scaled = oriented(values, {"drop": "lower", "srg": "higher"})
    np.testing.assert_allclose(scaled["a"], [1, 1])
    np.testing.assert_allclose(scaled["b"], [0, 1])
    assert scaled["c"][0] == pytest.approx(0.5)
    assert np.isnan(scaled["c"][1])
    plot_radar(values, {"drop": "lower", "srg": "higher"}).canvas.draw()
    with pytest.raises(InputError, match="sideways"):
        plot_radar(values, {"drop": "sideways"})


def test_pareto_front_by_hand():
    points = np.array([[0.0, 3.0], [1.0, 2.0], [1.0, 1.0], [2.0, 0.0], [2.0, 0.0]])
    assert pareto_front(points).tolist() == [True, True, False, True, True]


def test_tradeoff_puts_the_best_corner_at_the_upper_right():
    figure = plot_tradeoff({"sidelight": (3.0, 0.1), "rise": (1.0, 0.4)}, y=("average drop", "lower"))
    assert figure.axes[0].yaxis_inverted()
    assert not figure.axes[0].xaxis_inverted()
    with pytest.raises(InputError, match="0 points"):
        plot_tradeoff({})


def test_styles_are_stable_and_distinct():
    rivals = [f"method_{i}" for i in range(20)]
    styles = style.method_styles(["sidelight", "random", *rivals])
    assert styles["sidelight"]["color"] == style.ACCENT
    assert styles["random"]["color"] == style.CONTROL
    assert len({(s["color"], str(s["linestyle"])) for s in styles.values()}) == 22
    assert style.method_styles([*reversed(rivals), "sidelight", "random"]) == styles


def test_exports():
    figure = Figure(figsize=(2, 1))
    figure.add_subplot().set_title("a < b")
    assert to_png(figure).startswith(b"\x89PNG")
    assert base64.b64decode(to_data_uri(figure).split(",")[1]).startswith(b"\x89PNG")
    assert to_svg(figure) == to_svg(figure)
    ElementTree.fromstring(to_svg(figure))
    inline = to_inline_svg(figure, "p1-", 'say "hi" <b>')
    assert "http" not in inline
    assert 'aria-label="say &quot;hi&quot; &lt;b>"' in inline
    ids = [node.get("id") for node in ElementTree.fromstring(inline).iter() if node.get("id")]
    assert ids
    assert all(name.startswith("p1-") for name in ids)


def test_small_pictures_are_lossless_and_large_ones_small():
    tiny = pixels_to_uri(np.random.default_rng(0).random((28, 28, 3)))
    large = pixels_to_uri(np.random.default_rng(0).random((500, 400, 3)))
    assert tiny.startswith("data:image/png")
    assert large.startswith("data:image/jpeg")
    assert len(large) < 120_000


def test_a_renderer_is_found_by_name():
    assert "image" in RENDERERS
    with pytest.raises(KeyError, match="Did you mean 'image'"):
        RENDERERS["imag"]
    with pytest.raises(InputError, match=r"\[H, W, 1\] or \[H, W, 3\]"):
        RENDERERS["image"].check(np.zeros((4, 4)), np.zeros((4, 4, 2)))


def test_a_tall_picture_has_room_for_its_words() -> None:
    # receipts, letters, spectra: the panels were narrower than their titles, which lay upon each other
    size = (300, 12)
    scores = np.linspace(0, 1, 300 * 12).reshape(size)
    found = Explanation({"image": scores}, {"image": np.zeros((*size, 1))}, 0, "cat", 0.9)
    figure = found.plot()
    to_png(figure)
    axes = figure.subfigs[0].axes
    titles = [ax._left_title.get_window_extent() for ax in axes[:3]]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(titles))
    ticks = [label.get_window_extent() for label in axes[3].get_yticklabels()]
    assert all(low.y1 < high.y0 for low, high in itertools.pairwise(ticks))
    assert max(map(int, re.findall(r"(\d+)px\)", found.to_html()))) <= 480 * 12 / 300 + 1
