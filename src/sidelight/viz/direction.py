"""The order of words on a line with scripts that run from right to left: Hebrew, Arabic and others.

A browser does this by itself. In pictures the font library turns the letters of each word, and this module the words of a line:
the main rules of the Unicode Bidirectional Algorithm (UAX 9), at the level of words. Embedded marks of direction have no effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from unicodedata import bidirectional

#: bidirectional classes of letters
_RIGHT_TO_LEFT, _LEFT_TO_RIGHT = ("R", "AL"), ("L",)

#: ``(index into the words, x in ems, text)``
Placed = tuple[int, float, str]


def runs_left(text: str) -> bool | None:
    """Whether the first letter of ``text`` belongs to a script from right to left. ``None`` if there is no letter.

    Example:
        >>> runs_left("(1) שלום"), runs_left("peace"), runs_left("12.")
        (True, False, None)
    """
    kinds = (bidirectional(letter) for letter in text)
    return next(
        (kind in _RIGHT_TO_LEFT for kind in kinds if kind in (*_RIGHT_TO_LEFT, *_LEFT_TO_RIGHT)), None
    )


def in_reading_order(
    line: Sequence[Placed], extents: Sequence[float], width: float, leftward: bool
) -> list[Placed]:
    """The words of a line in the places where a reader expects them.

    Args:
        line: words from left to right, in the order of the text.
        extents: width of each, in ems.
        width: of the line, in ems.
        leftward: whether the paragraph runs from right to left. Its lines end at the right border.

    Returns:
        The same words in the order of the text, with other ``x``.
    """
    ends = [0.0, *(x + extent for (_, x, _), extent in zip(line, extents, strict=True))]
    gaps = [x - end for (_, x, _), end in zip(line, ends, strict=False)]
    order = _from_the_left([runs_left(text) for _, _, text in line], leftward)
    x = width - ends[-1] if leftward else 0.0
    places: dict[int, float] = {}
    for before, place in zip([None, *order], order, strict=False):
        x += 0.0 if before is None else gaps[max(before, place)]
        places[place] = x
        x += extents[place]
    return [(index, places[place], text) for place, (index, _, text) in enumerate(line)]


def _from_the_left(directions: Sequence[bool | None], leftward: bool) -> list[int]:
    """Places of the words, as they stand from left to right."""
    found: list[int] = []
    for against, run in groupby(
        enumerate(_settled(directions, leftward)), key=lambda one: one[1] != leftward
    ):
        places = [place for place, _ in run]
        found += places[::-1] if against else places
    return found[::-1] if leftward else found


def _settled(directions: Sequence[bool | None], leftward: bool) -> list[bool]:
    """Words without a letter run with their neighbours if these agree, else with the paragraph (rules N1 and N2)."""
    found: list[bool] = []
    for place, direction in enumerate(directions):
        before = next((d for d in reversed(directions[:place]) if d is not None), leftward)
        after = next((d for d in directions[place:] if d is not None), leftward)
        neighbours = before if before == after else leftward
        found.append(neighbours if direction is None else direction)
    return found
