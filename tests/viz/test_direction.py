"""Words of scripts that run from right to left stand in pictures where a reader expects them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidelight.viz.direction import in_reading_order, runs_left
from sidelight.viz.text import glyph_width, layout

WIDTH = 40.0
#: text, and its words as they stand from left to right. Worked out by hand with the rules of UAX 9
READ = [
    ("a film for all", "a film for all"),
    ("שלום לכל העולם", "העולם לכל שלום"),
    ("the word שלום לכם means peace", "the word לכם שלום means peace"),
    ("הסרט GOOD movie היה טוב", "טוב היה GOOD movie הסרט"),
    ("ראיתי 3 סרטים ב 2020 .", ". 2020 ב סרטים 3 ראיתי"),
    ("see שלום , עולם !", "see עולם , שלום !"),
    ("هذا فيلم رائع", "رائع فيلم هذا"),
    ("12 שלום", "שלום 12"),
]


def displayed(text: str) -> tuple[str, ...]:
    words = text.split(" ")
    return (*(f"{word} " for word in words[:-1]), words[-1])


@pytest.mark.parametrize(("text", "expected"), READ)
def test_words_stand_in_the_order_of_reading(text: str, expected: str) -> None:
    (line,) = layout(displayed(text), WIDTH)
    assert [index for index, _, _ in line] == list(range(len(line))), "scores are found by the index"
    assert " ".join(word for _, _, word in sorted(line, key=lambda placed: placed[1])) == expected


def test_lines_of_a_paragraph_from_right_to_left_end_at_the_right_border() -> None:
    lines = layout(displayed("שלום לכל העולם " * 12 + "סוף"), WIDTH)
    assert len(lines) > 1
    for line in lines:
        assert max(x + glyph_width(text) for _, x, text in line) == pytest.approx(WIDTH)
    assert lines[0][0][1] == max(x for _, x, _ in lines[0]), "the first word stands at the right"


def test_each_paragraph_has_a_direction_of_its_own() -> None:
    first, second = layout(("שלום ", "לכם\n", "good ", "day"), WIDTH)
    assert first[0][1] > first[1][1]
    assert second[0][1] == 0.0 < second[1][1]


def test_a_text_from_left_to_right_is_laid_out_as_before() -> None:
    (line,) = layout(("one ", "two,", " three"), WIDTH)
    x = 0.0
    for (_, place, text), gap in zip(line, (0.0, 0.3, 0.3), strict=True):
        assert place == pytest.approx(x + gap)
        x = place + glyph_width(text)


@given(
    st.lists(
        st.tuples(st.sampled_from(["שלום", "word", "12", "...", "مرحبا"]), st.floats(0.1, 4)),
        min_size=1,
        max_size=9,
    ),
    st.booleans(),
)
def test_words_keep_their_widths_and_never_overlap(words: list[tuple[str, float]], leftward: bool) -> None:
    line, x = [], 0.0
    for index, (text, extent) in enumerate(words):
        line.append((index, x, text))
        x += extent + 0.3
    extents = [extent for _, extent in words]
    placed = in_reading_order(line, extents, 60.0, leftward)
    assert [(index, text) for index, _, text in placed] == [(index, text) for index, _, text in line]
    spans = sorted((x, x + extent) for (_, x, _), extent in zip(placed, extents, strict=True))
    assert all(after[0] - before[1] == pytest.approx(0.3) for before, after in pairwise(spans))
    assert (spans[-1][1] if leftward else spans[0][0]) == pytest.approx(60.0 if leftward else 0.0)


@pytest.mark.parametrize(("text", "expected"), [("", None), ("!?", None), ("1 א", True), ("é", False)])
def test_the_first_letter_decides(text: str, expected: bool | None) -> None:
    assert runs_left(text) is expected
