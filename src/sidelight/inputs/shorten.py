"""Texts lose their end before the costly part. The model could not read that end anyway."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sidelight.core.safe_output import encodable
from sidelight.inputs.tokenizer_state import lent_tokenizer

#: characters a token may stand for on average before a text counts as far too long
CHARACTERS = 64
#: a text is never looked at for cutting below so many characters
LEAST = 4_096


def shortened(texts: Sequence[str], tokenizer: Any, max_length: int | None) -> tuple[str, ...]:
    """``texts`` of one sample without the ends that a tokenizer would read and then drop.

    A text is cut only where its tokens stay exactly the same: at white space, behind far more characters than
    ``max_length`` tokens need, by a tokenizer that keeps offsets and drops the end. Where there is no white space, two
    beginnings of the text must give the same tokens. The caller must see that tokens were dropped, and take the whole
    text otherwise.

    Args:
        max_length: tokens that a sample is cut to. ``None``: nothing is cut.
    """
    if max_length is None or getattr(tokenizer, "truncation_side", "right") != "right":
        return tuple(texts)
    if not getattr(tokenizer, "is_fast", False):
        return tuple(texts)
    limit = max(LEAST, CHARACTERS * max_length)
    long = [i for i, text in enumerate(texts) if len(text) > limit]
    # of a pair the longer text gives way, so the other must be surely shorter
    others = sum(len(text) for i, text in enumerate(texts) if i not in long)
    if len(long) != 1 or 4 * others > max_length:
        return tuple(texts)
    cut = _place(texts[long[0]], limit, tokenizer, max_length)
    return tuple(text[:cut] if i == long[0] else text for i, text in enumerate(texts))


def _place(text: str, limit: int, tokenizer: Any, max_length: int) -> int:
    """Where to cut: at the last white space before ``limit``. Without any, where twice as much changes no token."""
    for place in range(limit, limit // 2, -1):
        if text[place].isspace():
            return place
    if len(text) <= 2 * limit:
        return len(text)
    once, twice = (_first_tokens(text[:size], tokenizer, max_length) for size in (limit, 2 * limit))
    return limit if once == twice and len(once) == max_length else len(text)


def _first_tokens(text: str, tokenizer: Any, count: int) -> list[int]:
    with lent_tokenizer(tokenizer):
        ids = tokenizer(encodable(text), add_special_tokens=False, truncation=True, max_length=count)[
            "input_ids"
        ]
    return list(ids)
