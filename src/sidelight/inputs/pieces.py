"""Texts of tokenizers that keep no character offsets: their pieces, found again in the text or shown as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sidelight.inputs.view import TextView, Word, build_view


def view_of_pieces(
    texts: Sequence[str],
    pieces: Sequence[str],
    spelled: Sequence[str | None],
    segments: Sequence[int | None],
    truncated: bool,
    cut_side: str = "right",
) -> TextView:
    """What the tokens of one sample stand for, by the spelling of its pieces.

    Where all pieces are found in the text, one after another with nothing but white space between, they get their
    places there, and words as usual. Otherwise the pieces themselves, joined, stand for the text.

    Args:
        pieces: ``T`` vocabulary entries.
        spelled: ``T`` pieces as people read them. ``None`` for special tokens and padding.
        segments: ``T`` indices into ``texts``; ``None`` for special tokens and padding.
        truncated: whether the model could not read the whole text.
        cut_side: which side of a text that is too long the tokenizer drops, ``"right"`` or ``"left"``.
    """
    look = _places_from_end if truncated and cut_side == "left" else _places
    found = look(texts, spelled, segments, truncated)
    if found is not None:
        return build_view(texts, pieces, segments, found, truncated, cut_side)
    joined = _joined(len(texts), pieces, spelled, segments, truncated)
    return replace(joined, cut_side=cut_side)


def _places(
    texts: Sequence[str], spelled: Sequence[str | None], segments: Sequence[int | None], truncated: bool
) -> list[tuple[int, int]] | None:
    """Spans of the pieces, from the beginning of each text on, or ``None`` if a piece is not there."""
    spans, at = [], [0] * len(texts)
    for piece, segment in zip(spelled, segments, strict=True):
        if segment is None or piece is None:
            spans.append((0, 0))
            continue
        text, wanted = texts[segment], piece.strip()
        start = _next_character(text, at[segment])
        if not wanted or text[start : start + len(wanted)].lower() != wanted.lower():
            return None
        at[segment] = start + len(wanted)
        spans.append((start, at[segment]))
    rest = any(text[end:].strip() for text, end in zip(texts, at, strict=True))
    return None if rest and not truncated else spans


def _places_from_end(
    texts: Sequence[str], spelled: Sequence[str | None], segments: Sequence[int | None], truncated: bool
) -> list[tuple[int, int]] | None:
    """:func:`_places` of texts that lost their beginning: both are read backwards."""
    turned = [text[::-1] for text in texts]
    pieces = [piece if piece is None else piece[::-1] for piece in reversed(spelled)]
    found = _places(turned, pieces, list(reversed(segments)), truncated)
    if found is None:
        return None
    lengths = [0 if segment is None else len(texts[segment]) for segment in segments]
    # tokens without characters have the span (0, 0)
    return [
        (length - end, length - start) if end > start else (0, 0)
        for length, (start, end) in zip(lengths, reversed(found), strict=True)
    ]


def _next_character(text: str, start: int) -> int:
    while start < len(text) and text[start].isspace():
        start += 1
    return start


def _joined(
    count: int,
    pieces: Sequence[str],
    spelled: Sequence[str | None],
    segments: Sequence[int | None],
    truncated: bool,
) -> TextView:
    texts, spans, words = [""] * count, [], []
    for token, (piece, segment) in enumerate(zip(spelled, segments, strict=True)):
        if segment is None or piece is None:
            spans.append((0, 0))
            continue
        start = len(texts[segment])
        texts[segment] += piece
        spans.append((start, len(texts[segment])))
        words.append(Word(segment, *spans[-1], (token,)))
    words.sort(key=lambda word: (word.segment, word.start))
    return TextView(tuple(texts), tuple(pieces), tuple(segments), tuple(spans), tuple(words), truncated)


def adds_by_itself(tokenizer: Any) -> bool:
    """Whether a tokenizer written in Python adds special tokens in a way of its own, and inherits the flags of another.

    The flags of the base class are then at other places than the tokens, or of another number.
    """
    kinds = type(tokenizer).__mro__
    adds, flags = (
        next((i for i, kind in enumerate(kinds) if name in vars(kind)), len(kinds))
        for name in ("build_inputs_with_special_tokens", "get_special_tokens_mask")
    )
    return adds < flags


def segments_of(
    special: Sequence[int], attended: Sequence[int], types: Sequence[int] | None, pair: bool
) -> list[Any]:
    """Which text each token belongs to, from what a tokenizer without offsets tells. ``None`` for special tokens.

    Args:
        special: ``T`` flags of special tokens.
        attended: ``T`` flags of tokens that are no padding.
        types: ``T`` token types, where the tokenizer gives them.
        pair: whether there are two texts.
    """
    if not pair:
        return [None if s or not a else 0 for s, a in zip(special, attended, strict=True)]
    if types is not None and any(types):
        return [None if s or not a else int(t) for s, a, t in zip(special, attended, types, strict=True)]
    found: list[Any] = []
    segment, seen = 0, False
    for s, a in zip(special, attended, strict=True):
        real = not s and bool(a)
        if s and a and seen:
            segment = 1  # a separator behind words: the second text begins
        seen = seen or real
        found.append(segment if real else None)
    return found
