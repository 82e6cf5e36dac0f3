"""What people see of a batch of texts, found for all at once, is what the view of each text shows."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidelight.inputs.shown import _SPACES, ShownTexts, shown_together
from sidelight.inputs.tokenizing import ReadTexts, Tokenizing
from text_models import CORPUS, TOKENIZERS, make_tokenizer

MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
HARD = list("ab é́#@'.,!\n\t  \u200d\u200e\u202e\ufe0f☃👍🏽👩👧🇩🇪我们カタ\x00\x1b\x1cשלום١ﬁ\ud800")
FILLED = st.text(max_size=30) | st.text(st.sampled_from(HARD), max_size=30) | st.sampled_from(CORPUS)
TEXT = FILLED.filter(lambda text: bool(text.strip()))


def same(read: ReadTexts) -> None:
    """The strings, and scores of all joins, are those of the views."""
    direct = shown_together(read.texts, read._batch.encodings)
    views = ShownTexts.of_views(read.views)
    assert direct is not None
    assert direct.strings == views.strings == [view.shown() for view in read.views]
    tokens = np.random.default_rng(0).normal(size=(len(views.strings), views._length)).astype(np.float32)
    for join in ("max", "rank", "sum"):
        found: Any = zip(direct.scores(tokens, join), views.scores(tokens, join), strict=True)
        for one, other in found:
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", TOKENIZERS)
@given(texts=st.lists(TEXT, min_size=1, max_size=4))
@MANY
def test_single_texts(kind: str, texts: list[str]) -> None:
    same(Tokenizing(make_tokenizer(kind)).read(texts))


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("side", ["left", "right"])
@given(texts=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3))
@MANY
def test_pairs(kind: str, side: str, texts: list[tuple[str, str]]) -> None:
    same(Tokenizing(make_tokenizer(kind), padding_side=side).read(texts))


def test_texts_that_were_cut_are_asked_for_their_views() -> None:
    read = Tokenizing(make_tokenizer("wordpiece"), max_length=6)
    with pytest.warns(UserWarning, match="longer than 6"):
        found = read.read(["the film was great and charming, so we saw it again", "dull"])
    assert found.shown.strings[0][-1] == " […]"
    assert "views" in vars(found)
    whole = read.read(["dull"])
    assert whole.shown.strings == [["dull"]]
    assert "views" not in vars(whole)


def test_a_span_outside_of_its_text_is_left_to_the_views() -> None:
    read = Tokenizing(make_tokenizer("wordpiece")).read(["so good", "dull"])
    assert shown_together([("so good",), ("dul",)], read._batch.encodings) is None


def test_every_white_space_is_known() -> None:
    spaces = {code for code in range(sys.maxunicode + 1) if chr(code).isspace()}
    assert set(np.flatnonzero(_SPACES).tolist()) == spaces
