"""Words of scripts that run from right to left stand in pictures where a reader expects them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidelight.viz import text as text_module
from sidelight.viz.direction import in_reading_order, levels_of, runs_left
from sidelight.viz.text import glyph_width, layout
from sidelight.viz.titles import fitted

WIDTH = 40.0
#: words as a tokenizer cuts them, and all of them from left to right. Worked out by hand with the same rules
CUT = [
    (["זה ", "היה ", "100", "%", " טוב"], "טוב 100% היה זה"),
    (["מחיר ", "$", "5", ".", "50"], "$5.50 מחיר"),
    (["فيلم ", "(", "5", "/", "5", ")"], "(5/5) فيلم"),
    (["فيلم ", "رائع", " (", "جدا", ")", "!"], "!(جدا) رائع فيلم"),
    (["see ", "שלום", " (", "1", ")", " now"], "see (1) שלום now"),
    (["טוב", "-", "10", "%", " ?"], "? 10%-טוב"),
    (["אורך: ", "-", "5", ",", "000"], "5,000- אורך:"),
    (["סרט", "(good)", "..."], "...(good)סרט"),
    (["2020", "-", "שלום"], "שלום-2020"),
    (["a ", "«", "ש", "»", " b"], "a «ש» b"),
]
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


@pytest.mark.parametrize(("words", "expected"), CUT, ids=[expected for _, expected in CUT])
def test_signs_and_numbers_stand_as_a_browser_has_them(words: list[str], expected: str) -> None:
    (line,) = layout(tuple(words), WIDTH)
    seen, end = "", None
    for _, x, text in sorted(line, key=lambda placed: placed[1]):
        seen += (" " if end is not None and x - end > 0.1 else "") + text
        end = x + glyph_width(text)
    assert seen == expected
    assert {words[index].strip()[:1] for index, _, _ in line} == {word.strip()[:1] for word in words}


def test_the_lines_before_decide_with() -> None:
    """A number after Arabic letters is Arabic, also at the start of the next line: its dash is then no part of it."""
    narrow = glyph_width("فيلم") + 0.1
    lines = layout(("فيلم ", "5-5 "), narrow)
    assert len(lines) == 2
    assert "".join(text for _, _, text in sorted(lines[1], key=lambda placed: placed[1])) == "5-5"
    assert len(lines[1]) == 3, "the two numbers stand from right to left"


def test_a_word_that_runs_both_ways_is_one_word_of_a_title() -> None:
    assert fitted(["ציון 100%טוב ABC"], inches=9) == ["ציון 100%טוב ABC"]
    assert set(fitted(["ציון 100%טוב " * 9], inches=1)) == {"ציון 100%טוב"}


def test_letters_are_turned_if_the_font_library_does_not(monkeypatch) -> None:
    monkeypatch.setattr(text_module, "TURNS_LETTERS", False)
    asked = []
    monkeypatch.setattr(
        text_module.text_to_path, "get_text_path", lambda _, text, ismath: (asked.append(text), ([], []))[1]
    )
    _outlines = text_module._outlines.__wrapped__
    for word in ("שלום(", "word(", "(5"):
        _outlines(word)
    assert asked == [")םולש", "word(", "(5"]


@pytest.mark.parametrize("leftward", [False, True])
def test_many_brackets_take_no_time_that_grows_with_their_square(leftward: bool) -> None:
    levels = levels_of("(שלום) [word] " * 5_000 + "(" * 5_000, leftward)
    assert len(levels) == 14 * 5_000 + 5_000


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
    line, x, measure = [], 0.0, dict(words)
    for index, (text, _) in enumerate(words):
        line.append((index, x, text))
        x += measure[text] + 0.3
    extents = [measure[text] for text, _ in words]
    (placed,) = in_reading_order([line], measure.__getitem__, 60.0, leftward)
    assert [(index, text) for index, _, text in placed] == [(index, text) for index, _, text in line]
    spans = sorted((x, x + extent) for (_, x, _), extent in zip(placed, extents, strict=True))
    assert all(after[0] - before[1] == pytest.approx(0.3) for before, after in pairwise(spans))
    assert (spans[-1][1] if leftward else spans[0][0]) == pytest.approx(60.0 if leftward else 0.0)


@pytest.mark.parametrize(("text", "expected"), [("", None), ("!?", None), ("1 א", True), ("é", False)])
def test_the_first_letter_decides(text: str, expected: bool | None) -> None:
    assert runs_left(text) is expected
