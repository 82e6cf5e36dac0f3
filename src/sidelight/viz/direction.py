"""The order of words and signs on a line with scripts that run from right to left: Hebrew, Arabic and others.

A browser does this by itself. In pictures the font library turns the letters of each word, and this module all else: the rules of
the Unicode Bidirectional Algorithm (UAX 9) for one paragraph. Embedded marks of direction have no effect.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from unicodedata import bidirectional, category, lookup, mirrored, name

#: bidirectional classes of letters
_RIGHT_TO_LEFT, _LEFT_TO_RIGHT = ("R", "AL"), ("L",)
#: one sign for each bidirectional class that the rules of weak types tell apart. All others are neutral
_SIGNS = {"L": "L", "R": "R", "AL": "A", "EN": "1", "AN": "2", "ES": "+", "CS": ",", "ET": "%"}
_SIGNS |= {"NSM": "m", "BN": "m", "": "L"}
_NEUTRAL = "n"
#: an invisible letter that runs from left to right
LEFT_TO_RIGHT = "\N{LEFT-TO-RIGHT MARK}"
#: brackets within brackets
_DEEPEST = 63
_SWAPPED = {"LEFT": "RIGHT", "RIGHT": "LEFT", "LESS": "GREATER", "GREATER": "LESS"}

#: ``(index into the words, x in ems, text)``
Placed = tuple[int, float, str]
#: ``(index into the words, or None for a space, level, width in ems, text)``
_Part = tuple["int | None", int, float, str]


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


def among_words(name: str) -> str:
    """``name`` with marks about it if it has letters from right to left, so that what is written beside it keeps its place.

    Without them, "שלום 97%" has its number on the left, where it looks as if it belonged to the word before.

    Example:
        >>> len(among_words("שלום")), among_words("peace")
        (6, 'peace')
    """
    turning = any(bidirectional(letter) in _RIGHT_TO_LEFT for letter in name)
    return f"{LEFT_TO_RIGHT}{name}{LEFT_TO_RIGHT}" if turning else name


def in_reading_order(
    lines: Sequence[Sequence[Placed]], measure: Callable[[str], float], width: float, leftward: bool
) -> list[list[Placed]]:
    """The words of a paragraph's lines in the places where a reader expects them.

    Args:
        lines: words from left to right, in the order of the text.
        measure: gives the width of a text in ems.
        width: of a line, in ems.
        leftward: whether the paragraph runs from right to left. Its lines end at the right border.

    Returns:
        The same words in the order of the text, with other ``x``. A word that runs both ways is in several parts. Signs
        without letters that run to the left are turned and mirrored, because the font library would not do so.
    """
    spaced = [_with_spaces(line, measure) for line in lines]
    levels = iter(levels_of(" ".join("".join(word for word, _ in line) for line in spaced), leftward))
    found = []
    for line, words in zip(lines, spaced, strict=True):
        parts = [
            part
            for (index, _, text), (word, gap) in zip(line, words, strict=True)
            for part in _parts(index, text, gap, [next(levels) for _ in word], measure)
        ]
        found.append(_placed(parts, width, leftward))
        next(levels, None)
    return found


def _with_spaces(line: Sequence[Placed], measure: Callable[[str], float]) -> list[tuple[str, float]]:
    """The words of a line, with a space before those that stand apart from the word before, and the room before each."""
    ends = [0.0, *(x + measure(text) for _, x, text in line)]
    gaps = [x - end for (_, x, _), end in zip(line, ends, strict=False)]
    return [(f" {text}" if gap > 1e-6 else text, gap) for (_, _, text), gap in zip(line, gaps, strict=True)]


def _parts(
    index: int, text: str, gap: float, levels: Sequence[int], measure: Callable[[str], float]
) -> Iterator[_Part]:
    """The stretches of one level of a word, and before them that of the space before it if there is one."""
    if len(levels) > len(text):
        yield None, levels[0], gap, ""
    letters = zip(levels[len(levels) - len(text) :], text, strict=True)
    for level, run in groupby(letters, key=lambda letter: letter[0]):
        part = "".join(char for _, char in run)
        shown = turned(part) if level % 2 and runs_left(part) is None else part
        yield index, level, measure(shown), shown


def _placed(parts: Sequence[_Part], width: float, leftward: bool) -> list[Placed]:
    """One line."""
    x = width - sum(extent for _, _, extent, _ in parts) if leftward else 0.0
    places: dict[int, float] = {}
    for place in from_the_left([level for _, level, _, _ in parts]):
        places[place] = x
        x += parts[place][2]
    return [(index, places[at], text) for at, (index, _, _, text) in enumerate(parts) if index is not None]


def from_the_left(levels: Sequence[int]) -> list[int]:
    """Places in the text as they stand from left to right (rule L2).

    Example:
        >>> from_the_left([1, 1, 2, 2, 1])
        [4, 2, 3, 1, 0]
    """
    order = list(range(len(levels)))
    for lowest in range(max(levels, default=0), 0, -1):
        runs = groupby(order, key=lambda place: levels[place] >= lowest)
        order = [place for high, run in runs for place in (list(run)[::-1] if high else run)]
    return order


def levels_of(text: str, leftward: bool) -> list[int]:
    """The level of each character of a paragraph. Odd ones run to the left (rules W1 to I2).

    Example:
        >>> levels_of("טוב 100%", True)
        [1, 1, 1, 1, 2, 2, 2, 2]
    """
    border = "R" if leftward else "L"
    signs = border + "".join(_SIGNS.get(bidirectional(char), _NEUTRAL) for char in text) + border
    signs = re.sub("([^m])m+", lambda m: m[1] * len(m[0]), signs)
    signs = re.sub("A[^LRA]*", lambda m: m[0].replace("1", "2"), signs).replace("A", "R")
    signs = re.sub("(?<=1)[+,](?=1)", "1", signs)
    signs = re.sub("(?<=2),(?=2)", "2", signs)
    signs = re.sub("%*1[1%]*", lambda m: "1" * len(m[0]), signs)
    signs = re.sub("[+,%]", _NEUTRAL, signs)
    signs = re.sub("L[^LR]*", lambda m: m[0].replace("1", "L"), signs)
    signs = _with_brackets(text, signs, border)
    signs = re.sub("(?<=L)n+(?=L)", lambda m: "L" * len(m[0]), signs)
    signs = re.sub("(?<=[R12])n+(?=[R12])", lambda m: "R" * len(m[0]), signs)
    signs = signs.replace(_NEUTRAL, border)
    by_sign = {"L": 2 if leftward else 0, "R": 1, "1": 2, "2": 2}
    return [by_sign[sign] for sign in signs[1:-1]]


def _with_brackets(text: str, signs: str, border: str) -> str:
    """Both brackets of a pair run in one direction: that of what they hold, or of what is before (rule N0)."""
    other = "L" if border == "R" else "R"
    for opening, closing in _pairs(text, signs):
        inside = {_runs(sign) for sign in set(signs[opening + 2 : closing + 1])}
        if not inside & {"L", "R"}:
            continue
        before = max("LR12", key=lambda sign: signs.rfind(sign, 0, opening + 1))
        runs = other if border not in inside and _runs(before) == other else border
        for place in (opening, closing):
            signs = signs[: place + 1] + runs + signs[place + 2 :]
    return signs


def _runs(sign: str) -> str:
    """The direction of a sign. Numbers count as letters from right to left."""
    return "R" if sign in "12" else sign


def _pairs(text: str, signs: str) -> list[tuple[int, int]]:
    """Places of brackets that belong together, by the place of the opening one."""
    open_ones: list[tuple[str, int]] = []
    found = []
    for place, char in enumerate(text):
        if signs[place + 1] != _NEUTRAL or not mirrored(char):
            continue
        if category(char) == "Ps" and len(open_ones) < _DEEPEST:
            open_ones.append((mirror_of(char), place))
        elif char in (closing for closing, _ in open_ones):
            while open_ones[-1][0] != char:
                open_ones.pop()
            found.append((open_ones.pop()[1], place))
    return sorted(found)


def turned(text: str) -> str:
    """``text`` as it looks from left to right if it runs to the left (rules L3 and L4).

    Example:
        >>> turned("!(")
        ')!'
    """
    clusters: list[str] = []
    for char in text:
        if clusters and _SIGNS.get(bidirectional(char)) == "m":
            clusters[-1] += char
        else:
            clusters.append(mirror_of(char))
    return "".join(reversed(clusters))


@lru_cache(maxsize=1024)
def mirror_of(char: str) -> str:
    """The sign that looks like ``char`` in a mirror, if there is one.

    Example:
        >>> mirror_of("("), mirror_of("«"), mirror_of("a")
        (')', '»', 'a')
    """
    if not mirrored(char):
        return char
    other = re.sub("LEFT|RIGHT|LESS|GREATER", lambda m: _SWAPPED[m[0]], name(char, ""))
    try:
        return lookup(other)
    except KeyError:
        return char
