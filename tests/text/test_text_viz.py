"""Text maps as pictures and HTML, through the renderer and through Explanation."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from sidelight.errors import InputError
from sidelight.explanation import Explanation
from sidelight.viz import RENDERERS
from sidelight.viz.text import CELL_LINES, glyph_width, layout, word_borders

DISPLAY = ["  The ", "film\t", "cost ", "$5", " & ", "<b>", "was\n", "great", "!"]
SCORES = np.linspace(0, 1, len(DISPLAY), dtype=np.float32)
RENDERER = RENDERERS["text"]


def explanation() -> Explanation:
    return Explanation({"text": SCORES}, {"text": DISPLAY}, prediction=1, label="positive", probability=0.9)


def test_explanation_is_drawn_and_written(tmp_path) -> None:
    figure = explanation().plot()
    assert isinstance(figure, Figure)
    figure.savefig(tmp_path / "map.png")
    page = explanation().to_html()
    assert "<b>" not in page
    assert "&lt;b&gt;" in page
    picture, data = explanation().save(tmp_path / "map")
    assert picture.is_file()
    assert Explanation.load(data).inputs["text"] == DISPLAY


def test_borders_leave_white_space_out() -> None:
    text = "".join(DISPLAY)
    assert [text[a:b] for a, b in word_borders(DISPLAY)] == [word.strip() for word in DISPLAY]
    assert word_borders(["a", " ", "b"]) == [(0, 1), (2, 2), (2, 3)]


def test_lines_fit_and_keep_every_word() -> None:
    display = ("one two three ", "a" * 200, " end\n", "next", "")
    lines = layout(display, 12.0)
    assert all(x + glyph_width(text) <= 12.0 + 1e-6 for line in lines for _, x, text in line)
    drawn = "".join(text for line in lines for _, _, text in line if text.strip("a "))
    assert drawn.endswith("endnext")
    assert sum(len(text) for line in lines for i, _, text in line if i == 1) == 200
    assert lines[-1][0][:2] == (3, 0.0)


def test_every_panel_draws() -> None:
    truth = SCORES > 0.8
    figure = Figure()
    left, right = figure.subplots(1, 2)
    RENDERER.draw_input(left, DISPLAY, truth)
    RENDERER.draw_map(right, SCORES, DISPLAY, "highlight", truth)
    assert len(right.patches) == 2 * len(DISPLAY)
    long = ["word "] * 500
    axes = Figure().subplots()
    RENDERER.draw_map(axes, np.ones(500), long)
    assert RENDERER.cell_size(long)[1] < RENDERER.size(long)[1]
    assert len(axes.patches) < 2 * 500
    assert len(layout(tuple(long), 26.0)) > CELL_LINES


def test_html_marks_known_evidence() -> None:
    truth = np.array([word == "great" for word in DISPLAY])
    for scores in (None, SCORES):
        page = RENDERER.html(scores, DISPLAY, truth=truth)
        assert page.count("border-bottom") == 1
        assert "great</span>" in page


@pytest.mark.parametrize(
    ("scores", "display", "match"),
    [
        (SCORES[:2], DISPLAY, r"must be \[9\]"),
        (SCORES, "a string", "list of strings"),
        (SCORES, [1], "list of"),
    ],
)
def test_bad_input(scores: np.ndarray, display: object, match: str) -> None:
    with pytest.raises(InputError, match=match):
        RENDERER.check(scores, display)


def test_unknown_style() -> None:
    with pytest.raises(InputError, match="choose from highlight"):
        RENDERER.html(SCORES, DISPLAY, style="heat")
