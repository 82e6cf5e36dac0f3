"""Captions: spans spell the marked words, statements are as true as asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidelight.lab.data.captions import (
    blanked,
    caption_words,
    decides,
    general_statement,
    marked,
    picture_caption,
)

COLOURS, SHAPES = ["red", "blue", "black"], ["circle", "square", "triangle"]


def test_marks_are_taken_off_and_placed() -> None:
    assert marked("[no] red [square].") == ("no red square.", [(0, 2), (7, 13)])
    assert marked("plain") == ("plain", [])
    assert marked("") == ("", [])


@given(st.lists(st.tuples(st.text("ab .", max_size=5), st.text("cd", min_size=1, max_size=4)), max_size=5))
def test_spans_spell_what_was_marked(parts: list[tuple[str, str]]) -> None:
    text, spans = marked("".join(f"{plain}[{word}]" for plain, word in parts))
    assert text == "".join(plain + word for plain, word in parts)
    assert [text[a:b] for a, b in spans] == [word for _, word in parts]


@pytest.mark.parametrize("colour", [None, "blue"])
@pytest.mark.parametrize("shape", [None, "square"])
@pytest.mark.parametrize("negated", [False, True])
def test_a_caption_names_what_it_is_asked_to(colour: str | None, shape: str | None, negated: bool) -> None:
    if colour is shape is None:
        return
    rng = np.random.default_rng(0)
    made = [picture_caption(rng, colour, shape, negated) for _ in range(60)]
    assert len({text for text, _ in made}) > 15
    for text, spans in made:
        words = {text[a:b] for a, b in spans}
        assert words - {"no", "none"} == {colour, shape} - {None}
        assert len(words & {"no", "none"}) == int(negated)
        assert not set("[]{}") & set(text)


@given(st.integers(0, 2**31), st.booleans(), st.booleans())
def test_a_general_statement_is_as_true_as_asked_for(seed: int, true: bool, negated: bool) -> None:
    text, spans = general_statement(np.random.default_rng(seed), COLOURS, SHAPES, true, negated)
    words = [text[a:b] for a, b in spans]
    compared = [w for w in words if w not in ("not", "never")]
    assert len(compared) == 2
    assert len(words) == 2 + negated
    corners = {"triangle": "three", "square": "four"}
    same = compared[1] in (compared[0], corners.get(compared[0]))
    assert same == (true != negated)
    assert text.endswith("corners") == (compared[1] in corners.values())


@given(st.integers(0, 2**31), st.booleans(), st.floats(0, 1))
def test_blanks_stand_for_the_words_asked_for(seed: int, negated: bool, share: float) -> None:
    rng = np.random.default_rng(seed)
    text, spans = picture_caption(rng, "red", "circle", negated)
    deciding = decides(text, spans)
    assert [w for w, d in zip(text.split(), deciding, strict=True) if d] == [text[a:b] for a, b in spans]
    where = (rng.random(len(deciding)) < share).tolist()
    found, left = blanked(text, spans, "[PAD]", where)
    assert found.split() == ["[PAD]" if gone else w for w, gone in zip(text.split(), where, strict=True)]
    kept = [w for w, d, gone in zip(text.split(), deciding, where, strict=True) if d and not gone]
    assert [found[a:b] for a, b in left] == kept


def test_the_words_are_all_there_are() -> None:
    rng = np.random.default_rng(1)
    used = set()
    for i in range(600):
        negated = bool(i % 2)
        used |= set(general_statement(rng, COLOURS, SHAPES, i % 3 == 0, negated)[0].split())
        colour, shape = [("red", "circle"), (None, "square"), ("blue", None)][i % 3]
        used |= set(picture_caption(rng, colour, shape, negated)[0].split())
    assert used == set(caption_words(COLOURS, SHAPES))
