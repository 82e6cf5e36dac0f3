"""Names of classes in Hebrew or Arabic among the English words and numbers of titles and captions."""

from __future__ import annotations

import re
from html import unescape

import numpy as np

from sidelight.explanations.explanation import Explanation
from sidelight.lab.figures.grid import GridSample
from sidelight.lab.side_by_side.result import Comparison
from sidelight.viz.direction import levels_of, runs_left
from sidelight.viz.titles import drawn, fitted, one_line

NAME = "חיובי מאוד"
MARK = "\u200e"


def explanation() -> Explanation:
    return Explanation(
        {"text": [0.1, 1.0]},
        {"text": ["fine ", "film"]},
        0,
        NAME,
        0.912,
        effects={"text": np.array([-0.1, 0.4])},
    )


def runs_on(line: str) -> bool:
    """Whether everything but the name runs from left to right, as a line whose first letter says so."""
    levels = levels_of(line, leftward=False)
    return all(
        level % 2 == 0
        for level, letter in zip(levels, line, strict=True)
        if letter.isascii() and letter != " "
    ) and all(level == 0 for level, letter in zip(levels, line, strict=True) if letter.isdigit())


def test_a_title_keeps_its_order() -> None:
    for reading in ("scores", "effects"):
        title = explanation().plot(reading=reading).get_suptitle()
        for line in title.split("\n"):
            assert line.startswith(MARK)
            assert runs_on(line)


def test_a_name_that_is_broken_goes_on_in_the_same_direction() -> None:
    lines = fitted([f"{one_line(NAME * 5)} 91.2%"], inches=1.2)
    assert len(lines) > 1
    assert not any(runs_left(line) for line in drawn(lines).split("\n"))


def test_captions_and_panels_too() -> None:
    caption = unescape(re.sub("<[^>]+>", "", explanation().to_html()))
    assert runs_on(caption[caption.index(NAME) - 1 :])
    assert runs_on(GridSample(None, {}, label=NAME, probability=0.9).decision)


def test_a_comparison_too() -> None:
    found = Comparison(explanation(), (), (), NAME, 0.9, 0.1, ("zero",))
    assert runs_on(found.caption)
    title = unescape(re.findall("<title>(.*?)</title>", found._page())[0])
    assert runs_on(title)


def test_other_names_stay_as_they_are() -> None:
    assert fitted([one_line("cat"), "97.0%"], inches=5) == ["cat   97.0%"]
    assert GridSample(None, {}, label="cat", probability=0.9).decision == "cat 90.0%"
