"""Pictures of what speaks for and against a class."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.text import Text

from sidelight.errors import InputError
from sidelight.explanations.explanation import Explanation
from sidelight.viz.base import RENDERERS, Renderer
from sidelight.viz.highlight import AGAINST, HIGHLIGHT
from sidelight.viz.image import signed
from sidelight.viz.signed import strengths, strongest

WORDS = ["so ", "dull ", "but ", "kind"]
EFFECTS = np.array([0.0, -0.4, 0.1, 0.2])


def of_text(effects: np.ndarray | None = EFFECTS, **more: object) -> Explanation:
    values = {"prediction": 1, "label": "positive", "probability": 0.9, **more}
    readings = None if effects is None else {"text": effects}
    return Explanation({"text": np.linspace(0, 1, 4)}, {"text": WORDS}, effects=readings, **values)  # type: ignore[arg-type]


def of_pair() -> Explanation:
    scores = {"image": np.full((4, 5), 0.5), "text": np.linspace(0, 1, 4)}
    effects = {"image": np.linspace(-0.02, 0.01, 20).reshape(4, 5), "text": EFFECTS}
    inputs = {"image": np.zeros((4, 5, 3)), "text": WORDS}
    return Explanation(scores, inputs, 0, "yes", 0.7, effects=effects)


def colours(page: str) -> dict[str, tuple[int, int, int, float]]:
    """Word -> red, green, blue and strength of its background."""
    found = re.findall(r"rgba\((\d+),(\d+),(\d+),([\d.]+)\)[^>]*>([^<]+)<", page)
    return {word: (int(r), int(g), int(b), float(a)) for r, g, b, a, word in found}


def texts_of(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


def test_a_word_has_the_colour_of_its_sign_and_the_strength_of_its_size() -> None:
    page = of_text().to_html(reading="effects")
    assert colours(page) == {
        "so": (*AGAINST, 0.0),
        "dull": (*AGAINST, 1.0),
        "but": (*HIGHLIGHT, 0.25),
        "kind": (*HIGHLIGHT, 0.5),
    }
    assert 'title="−0.4"' in page
    assert 'title="+0.1"' in page
    assert "orange: for positive, blue: against it" in page
    assert "full colour: 0.4 of the probability" in page


def test_the_scores_are_shown_unless_effects_are_asked_for() -> None:
    assert of_text().to_html() == of_text(None).to_html()
    assert "orange" not in of_text().to_html()


def test_a_pixel_has_the_colour_of_its_sign_and_the_strength_of_its_size() -> None:
    drawn = signed(np.zeros((1, 4, 3)), np.array([[0.0, 0.2, -0.1, -0.2]]))
    ghost = np.full(3, 0.8)
    expected = [
        ghost,
        np.array(HIGHLIGHT) / 255,
        (ghost + np.array(AGAINST) / 255) / 2,
        np.array(AGAINST) / 255,
    ]
    np.testing.assert_allclose(drawn[0], expected, atol=1e-6)


def test_one_pixel_of_many_does_not_hide_the_others() -> None:
    effects = np.full(10_000, 0.01)
    effects[0] = -5.0
    assert strongest(effects) == pytest.approx(0.01)
    assert strengths(effects)[:2].tolist() == [-1.0, 1.0]
    assert strongest(effects[:100]) == 5.0, "of few values the largest counts, because each of them is a word"
    lonely = np.zeros(10_000)
    lonely[7] = 0.3
    assert strongest(lonely) == 0.3, "most pixels do nothing"


def test_no_effect_has_no_colour_and_no_size() -> None:
    nothing = of_text(np.zeros(4))
    assert not {"+1", "−1"} & set(texts_of(nothing.plot(reading="effects")))
    page = nothing.to_html(reading="effects")
    assert "no feature has an effect" in page
    assert {strength for *_, strength in colours(page).values()} == {0.0}


def test_pictures_and_pages_of_a_pair(tmp_path: Path) -> None:
    told = texts_of(of_pair().plot(reading="effects"))
    assert "yes  70.0%   orange: for yes, blue: against it" in told
    assert {"+0.4", "−0.4", "+0.02", "−0.02", "For and against"} <= set(told)
    page = of_pair().save_html(tmp_path / "page.html", reading="effects").read_text(encoding="utf-8")
    assert "full colour: 0.02 (image), 0.4 (text) of the probability" in page
    assert 'alt="image effects on yes"' in page
    shown, _ = of_pair().save(tmp_path / "scores")
    picture, data = of_pair().save(tmp_path / "effects", reading="effects")
    assert picture.read_bytes() != shown.read_bytes()
    assert Explanation.load(data).to_dict() == of_pair().to_dict(), "the data hold every reading"


def test_one_axis() -> None:
    figure = Figure()
    ax = figure.subplots()
    assert of_text().plot(ax=ax, reading="effects") is figure
    (grounds,) = ax.findobj(PolyCollection)
    assert [tuple(round(255 * c) for c in colour[:3]) for colour in grounds.get_facecolor()[1:2]] == [AGAINST]
    with pytest.raises(InputError, match="style='heat' is one of scores"):
        of_text().plot(ax=ax, style="heat", reading="effects")


def test_what_has_no_picture_says_so() -> None:
    with pytest.raises(InputError, match=r"no effects.*objective='robust'"):
        of_text(None).plot(reading="effects")
    with pytest.raises(InputError, match=r"'scores' or 'effects'; got 'ranking'.*an order"):
        of_text().to_html(reading="ranking")  # type: ignore[arg-type]

    class Silent(type(RENDERERS["text"])):  # type: ignore[misc]
        """A renderer of another package, which knows no effects."""

        draw_effects, effects_html = Renderer.draw_effects, Renderer.effects_html

    with pytest.raises(InputError, match="no picture"):
        Silent().effects_html(EFFECTS, WORDS)


def test_another_class_and_a_comparison_are_named() -> None:
    meta = {"explained_label": "negative", "versus_label": "neutral"}
    told = texts_of(of_text(explained=0, meta=meta).plot(reading="effects"))
    assert "positive  90.0%   orange: for negative, blue: against it" in told
    told = texts_of(of_text(explained=0, versus=2, meta=meta).plot(reading="effects"))
    assert "positive  90.0%   orange: for negative, blue: for neutral" in told


def test_a_class_without_a_name_is_not_taken_for_the_predicted_one() -> None:
    """Before, a picture of such a map named the predicted class alone."""
    by_hand = of_text(explained=0, versus=2)
    assert "map of 0, not 2" in by_hand.to_html()
    assert "positive  90.0%   map of 0, not 2" in texts_of(by_hand.plot())
    assert "orange: for 0, blue: for 2" in by_hand.to_html(reading="effects")


def test_names_are_escaped_and_made_visible() -> None:
    page = of_text(label="<b>\u202e").to_html(reading="effects")
    assert "<b>" not in page
    assert "for &lt;b&gt;[U+202E]" in page
    pair = of_pair()
    pair.label = "\u202e<i>"
    for page in (pair.to_html(), pair.to_html(reading="effects")):
        assert "\u202e" not in page
        assert "<i>" not in page
        assert re.search(r'alt="image (scores for|effects on) \[U\+202E\]&lt;i&gt;"', page)


def test_names_in_titles_are_whole_and_on_lines_that_fit() -> None:
    """Before, long names ran out of the picture and took the meaning of the colours with them."""
    staffordshire = (
        "American Staffordshire terrier, Staffordshire terrier, American pit bull terrier, pit bull terrier"
    )
    meta = {"explained_label": "a\n\tcockatoo " * 3, "versus_label": "x" * 500}
    pair = of_pair()
    pair.label, pair.explained, pair.versus, pair.meta = staffordshire, 1, 2, meta
    for reading in ("scores", "effects"):
        figure = pair.plot(reading=reading)  # type: ignore[arg-type]
        canvas, title = FigureCanvasAgg(figure), figure._suptitle  # type: ignore[attr-defined]
        canvas.draw()
        box = title.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
        panels = [ax.get_window_extent().y1 for ax in figure.axes]
        assert max(panels) < box.y0, "the title covers a panel"
        words = " ".join(title.get_text().split())
        assert staffordshire in words
        assert "a cockatoo a cockatoo a cockatoo" in words
        assert "xx..." in words
    axes = Figure(figsize=(8, 4)).subplots(1, 2)
    of_text(label=staffordshire).plot(ax=axes[0], reading="effects")
    axes[0].figure.draw_without_rendering()
    first = axes[0].title.get_window_extent()
    assert first.x1 <= axes[1].get_window_extent().x0, "the title runs into the next panel"
