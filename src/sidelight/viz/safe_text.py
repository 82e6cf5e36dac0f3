"""From scored spans to pieces that print safely."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

#: ``(start, end, score)``. The score is ``None`` if the model never saw the characters.
ScoredSpan = tuple[int, int, "float | None"]

# Characters that reorder or hide their neighbours. Joiners stay: emoji and
# several scripts are spelled with them. So do the harmless direction marks.
_DECEPTIVE = {chr(c) for c in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x2028, 0x2029)}
_INVISIBLE = {"\u00ad", "\u200b", "\u2060", "\ufeff"}


@dataclass(frozen=True)
class Piece:
    """A stretch of text with one score in [0, 1].

    ``score`` is ``None`` in gaps (white space) and for text that the model never saw, which is ``unread``.
    """

    text: str
    score: float | None = None
    unread: bool = False


def partition(text: str, spans: Iterable[ScoredSpan]) -> list[Piece]:
    """Cut ``text`` at the spans' borders. The pieces join to ``text`` exactly.

    If spans overlap (byte pieces of one character), the highest score counts. Spans
    are clipped to the text, and empty ones are ignored.
    """
    clipped = [(max(0, a), min(len(text), b), s) for a, b, s in spans]
    clipped = sorted(((a, b, s) for a, b, s in clipped if a < b), key=lambda span: span[:2])
    pieces: list[Piece] = []
    position = 0
    for start, end, group in _disjoint(clipped):
        if start > position:
            pieces.append(Piece(text[position:start]))
        known = [s for s in group if s is not None]
        pieces.append(Piece(text[start:end], max(known, default=None), unread=not known))
        position = end
    if position < len(text):
        pieces.append(Piece(text[position:]))
    return pieces


def _disjoint(spans: list[ScoredSpan]) -> list[tuple[int, int, list[float | None]]]:
    """Sorted spans as disjoint ranges, each with the scores of the spans that cover it."""
    ranges: list[tuple[int, int, list[float | None]]] = []
    group: list[ScoredSpan] = []
    reach = 0
    for span in spans:
        if group and span[0] >= reach:
            ranges += _cut(group)
            group = []
        group.append(span)
        reach = max(reach, span[1]) if len(group) > 1 else span[1]
    return ranges + (_cut(group) if group else [])


def _cut(group: list[ScoredSpan]) -> list[tuple[int, int, list[float | None]]]:
    borders = sorted({edge for start, end, _ in group for edge in (start, end)})
    return [(a, b, [s for start, end, s in group if start <= a and b <= end]) for a, b in pairwise(borders)]


@lru_cache(maxsize=65536)
def visible_char(char: str) -> str:
    """``char``, or a visible stand-in if it would hide, reorder text, or steer a terminal.

    Example:
        >>> visible_char("\\x1b"), visible_char("\\u202e"), visible_char("a"), visible_char("\\n")
        ('␛', '[U+202E]', 'a', '\\n')
    """
    code = ord(char)
    if char in "\n\t":
        return char
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    hidden = char in _DECEPTIVE or char in _INVISIBLE
    noncharacter = code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
    if hidden or noncharacter or unicodedata.category(char) in ("Cc", "Cs"):
        return f"[U+{code:04X}]"
    return char


def visible(text: str) -> str:
    """``text`` with :func:`visible_char` applied to each character."""
    return "".join(map(visible_char, text))
