"""Text maps as pictures and HTML, through the renderer and through Explanation."""

from __future__ import annotations

from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.path import Path as MatplotlibPath

from sidelight.errors import InputError
from sidelight.explanations.explanation import Explanation
from sidelight.lab.figures.grid import GridSample
from sidelight.lab.report import ReportData, ReportSection, render_report
from sidelight.viz import RENDERERS
from sidelight.viz.export import to_inline_svg, to_svg
from sidelight.viz.safe_text import visible
from sidelight.viz.text import CELL_LINES, glyph_width, layout, word_borders

DISPLAY = ["  The ", "film\t", "cost ", "$5", " & ", "<b>", "was\n", "great", "!"]
SCORES = np.linspace(0, 1, len(DISPLAY), dtype=np.float32)
RENDERER = RENDERERS["text"]
EVIL = "<script>alert('x')</script>"
#: what a browser, a terminal or matplotlib might act upon
NASTY = [
    EVIL,
    " ",
    '"><img src=x onerror=alert(1)> ',
    "$\\frac{",
    "}$ ",
    "a\x00\x1b[31m ",
    "\u202eevil\u202c ",
    "&amp;",
]


def explanation() -> Explanation:
    return Explanation({"text": SCORES}, {"text": DISPLAY}, prediction=1, label="positive", probability=0.9)


def test_explanation_is_drawn_and_written(tmp_path) -> None:
    figure = explanation().plot()
    assert isinstance(figure, Figure)
    figure.savefig(tmp_path / "drawn.png")
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


def test_cutting_a_word_takes_time_that_grows_with_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    # a row of a table may hold half a million letters without a space, which a tokenizer takes for one unknown word
    measured = []

    def counted(text: str) -> float:
        measured.append(len(text))
        return glyph_width(text)

    monkeypatch.setattr("sidelight.viz.text.glyph_width", counted)
    lines = layout(("i" * 30_000,), 30.0)
    assert sum(len(text) for line in lines for _, _, text in line) == 30_000
    assert sum(measured) < 20 * 30_000


def drawn(axes: Axes) -> tuple[int, ...]:
    """How many grounds, underlines and words a panel shows."""
    return tuple(len(parts.get_paths()) for parts in axes.collections)


def test_a_long_text_is_drawn_by_few_artists() -> None:
    """Matplotlib takes more time for an artist than for its path: 5000 words took half a minute."""
    axes = Figure().subplots()
    before = len(axes.get_children())
    RENDERER._show(axes, ["word "] * 3000, np.ones(3000), np.ones(3000, dtype=bool), 46.0)
    assert len(axes.get_children()) - before < 10
    assert drawn(axes) == (3000, 3000, 3000)


def test_a_ground_hides_no_letter_of_the_word_before() -> None:
    """Words without a space between them have grounds that overlap."""
    axes = Figure().subplots()
    RENDERER.draw_map(axes, np.ones(2), ["ab", "cd"])
    grounds, _, letters = axes.collections
    assert axes.get_children().index(grounds) < axes.get_children().index(letters)
    assert grounds.get_zorder() <= letters.get_zorder()


def test_every_panel_draws() -> None:
    truth = SCORES > 0.8
    figure = Figure()
    left, right = figure.subplots(1, 2)
    RENDERER.draw_input(left, DISPLAY, truth)
    RENDERER.draw_map(right, SCORES, DISPLAY, "highlight", truth)
    assert drawn(right) == (len(DISPLAY), truth.sum(), len(DISPLAY))
    long = ["word "] * 500
    axes = Figure().subplots()
    RENDERER.draw_map(axes, np.ones(500), long)
    assert RENDERER.cell_size(long)[1] < RENDERER.size(long)[1]
    assert 0 < drawn(axes)[2] < 500
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


class Page(HTMLParser):
    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.events: list[str] = []
        self.text = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.events += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text += data


def nasty_sample(**changes: object) -> GridSample:
    scores = np.linspace(0, 1, len(NASTY), dtype=np.float32)
    fields = {
        "display": NASTY,
        "maps": {"sidelight": scores, "rise": 1 - scores},
        "label": f"cost $5 or 6$ {EVIL}",
        "probability": 0.9,
        "truth_label": "tr$ue",
        "modality": "text",
        "caption": EVIL,
    }
    return GridSample(**{**fields, **changes})


@pytest.mark.parametrize("what", ["explanation", "panel"])
def test_markup_in_labels_of_figures_is_drawn_as_it_is(what: str) -> None:
    sample = nasty_sample()
    found = Explanation({"text": sample.maps["rise"]}, {"text": NASTY}, 0, sample.label, 0.9)
    if what == "panel":
        figure = Figure()
        found.plot(ax=figure.subplots())
    else:
        figure = found.plot()
    for drawn in (to_svg(figure), to_inline_svg(figure, "f-", EVIL)):
        assert "<script" not in drawn
        assert "<img" not in drawn
        # dollar signs start no mathematics
        assert f"cost $5 or 6$ {EVIL}" in unescape(drawn)


def test_markup_in_a_text_is_shown_and_not_run_in_pages() -> None:
    sample = nasty_sample()
    found = Explanation({"text": sample.maps["rise"]}, {"text": NASTY}, 0, EVIL, 0.9, target=EVIL)
    report = render_report(
        ReportData(
            "texts",
            sections=[ReportSection("texts", modality="text", samples=[sample], failures=[sample])],
        )
    )
    for source in (found.to_html(), report):
        page = Page(source)
        assert not page.tags & {"script", "img", "iframe", "object"}
        assert not page.events
        assert visible("".join(NASTY)) in page.text
        assert page.text.count(EVIL) >= 2  # in the text and as a label
        assert not set("\x00\x1b\u202e") & set(source)


def test_the_parts_of_a_long_text_are_not_measured_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[int] = []
    extents, bezier = MatplotlibPath.get_extents, MatplotlibPath.iter_bezier
    monkeypatch.setattr(MatplotlibPath, "get_extents", lambda *a, **k: measured.append(1) or extents(*a, **k))
    monkeypatch.setattr(MatplotlibPath, "iter_bezier", lambda *a, **k: measured.append(1) or bezier(*a, **k))
    counts = []
    for words in (50, 400):
        measured.clear()
        shown = Explanation({"text": np.linspace(0, 1, words)}, {"text": ["word "] * words}, 0, "yes", 0.9)
        to_svg(shown.plot())
        counts.append(len(measured))
    assert counts[1] < counts[0] + 100


def test_the_grounds_of_words_are_printed() -> None:
    """Browsers leave backgrounds out on paper unless a page asks for them, and a map of words is nothing else."""
    assert "print-color-adjust:exact" in explanation().to_html()


def test_pages_say_their_language_and_leave_that_of_the_text_open(tmp_path) -> None:
    """A screen reader would read the words of the page as those of any language, and a text in Hebrew as English."""
    explanation().save_html(tmp_path / "why.html")
    page = (tmp_path / "why.html").read_text(encoding="utf-8")
    assert '<html lang="en">' in page
    assert '<div class="sidelight-text" dir="auto" lang="" ' in page


@pytest.mark.parametrize("effects", [False, True])
def test_the_numbers_of_the_legend_lie_in_the_picture_of_a_long_text(effects: bool) -> None:
    words = ["word\n"] * 150
    values = np.linspace(0, 1, len(words), dtype=np.float32)
    found = Explanation(
        {"text": values},
        {"text": words},
        prediction=1,
        label="positive",
        probability=0.9,
        effects={"text": values},
    )
    figure = found.plot(reading="effects" if effects else "scores")
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(30)
    canvas.draw()
    text, bar = figure.axes
    labels = [label.get_window_extent(canvas.get_renderer()) for label in bar.get_xticklabels()]
    assert len(labels) == 3
    assert min(label.y0 for label in labels) >= 0
    assert text.get_window_extent().y0 - bar.get_window_extent().y1 < 0.1 * figure.dpi  # right below the text


def test_a_page_says_what_its_colours_mean() -> None:
    page = explanation().to_html()
    assert "full colour: a score of 1 " in page
    pixels = np.zeros((4, 4, 1), dtype=np.float32)
    pair = Explanation(
        {"image": pixels[..., 0], "text": SCORES}, {"image": pixels, "text": DISPLAY}, 1, "match", 0.9
    ).to_html()
    assert "brightest: a score of 1 (image) · full colour: a score of 1 (text)" in pair
