"""Pairs of texts that are longer than the model reads: the mark of what was cut stands in the text that was cut."""

from __future__ import annotations

import pytest
from fault_models import T, bert, tok, untrained

from sidelight.inputs.tokenizing import Tokenizing
from sidelight.inputs.view import CUT, CUT_BEFORE, CUT_MARKS, TruncationWarning
from text_models import TOKENIZERS, make_tokenizer

LONG, SHORT = " ".join(T[:3]), "a dull script"
PAIRS = {"first": (LONG, SHORT), "second": (SHORT, LONG), "both": (LONG, LONG)}

pytestmark = pytest.mark.filterwarnings(f"ignore::{TruncationWarning.__module__}.TruncationWarning")


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("long", PAIRS)
def test_kind_the_mark_stands_in_the_text_that_was_cut(kind: str, side: str, long: str) -> None:
    """It stood behind the second text, or before the first one, whichever of them was cut."""
    tokenizer = make_tokenizer(kind, truncation_side=side)
    whole = len(tokenizer(SHORT)["input_ids"])
    view = Tokenizing(tokenizer, 2 * whole + 4).read([PAIRS[long]]).views[0]
    shown = "".join(view.shown()).split("\n")
    assert len(shown) == 2
    for text, found, name in zip(PAIRS[long], shown, ("first", "second"), strict=True):
        if long not in (name, "both"):
            assert found == text
        elif side == "right":
            assert found.endswith(CUT)
            assert text.startswith(found.removesuffix(CUT))
        else:
            assert found.startswith(CUT_BEFORE)
            assert text.endswith(found.removeprefix(CUT_BEFORE))
    marks = [word in CUT_MARKS for word in view.shown()]
    assert marks.count(True) == (2 if long == "both" else 1)
    assert [not tokens for tokens in view.shown_tokens()] == marks


def test_kind_a_text_that_lost_all_its_words_is_a_mark() -> None:
    view = Tokenizing(tok(), 4).read([(LONG, SHORT)]).views[0]
    assert view.shown() == ["the", f"{CUT}\n", CUT]


@pytest.mark.parametrize("side", ["right", "left"])
def test_kind_pages_list_no_mark_as_a_word(side: str) -> None:
    tokenizer = tok(16)
    tokenizer.truncation_side = side
    found = untrained(bert(), tokenizer, T[0]).explain((LONG, SHORT))
    assert found.meta["truncated"]
    page = found.to_html()
    assert page.count("[…]") == 1
    assert "not read whole" in page
