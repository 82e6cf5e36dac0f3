"""Short captions about coloured shapes, with the character spans of the words that decide.

There are three kinds. A caption about the picture ("there is a red circle") is right for some pictures and wrong
for others. A general statement ("a square is a circle", "a red shape is red") is right or wrong by its words
alone. A caption of either kind claims nothing if its deciding words are blanked out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

Spans = list[tuple[int, int]]

#: number of corners of each shape that has some; "no corners" would read like a negation
CORNERS = {"triangle": "three", "square": "four"}

_MARK = re.compile(r"\[([^\]]*)\]")
_WORD = re.compile(r"\S+")

_PRESENT = (
    "there is a {thing}",
    "a {thing} can be seen",
    "the picture shows a {thing}",
    "we see a {thing}",
    "one of the shapes is a {thing}",
)
_ABSENT = (
    "there is [no] {thing}",
    "[no] {thing} can be seen",
    "the picture shows [no] {thing}",
    "we see [no] {thing}",
    "[none] of the shapes is a {thing}",
)
_OPENINGS = ("", "", "", "look , ", "here ", "in short , ", "as you see , ")

_GENERAL = ("a {one} {verb} {two}", "any {one} {verb} {two}", "by definition a {one} {verb} {two}")
_NEGATIONS = {
    "is": ("is", "is always", "is also"),
    "has": ("has", "always has", "also has"),
    "is not": ("is [not]", "is [never]"),
    "has not": ("[never] has", "does [not] have"),
}


def marked(text: str) -> tuple[str, Spans]:
    """Remove the brackets from ``text`` and give the spans of the words that were in them.

    Example:
        >>> marked("there is a [red] [circle]")
        ('there is a red circle', [(11, 14), (15, 21)])
    """
    plain, spans, last = "", [], 0
    for found in _MARK.finditer(text):
        plain += text[last : found.start()]
        spans.append((len(plain), len(plain) + len(found[1])))
        plain += found[1]
        last = found.end()
    return plain + text[last:], spans


def picture_caption(
    rng: Any, colour: str | None, shape: str | None, negated: bool = False
) -> tuple[str, Spans]:
    """A caption that claims that such a thing is, or is not, in the picture.

    Args:
        rng: numpy generator that picks the wording.
        colour: of the thing, or ``None`` for any.
        shape: of the thing, or ``None`` for any.
        negated: whether the caption claims that there is none.

    Returns:
        The caption, and ``(start, end)`` of the colour, the shape and the negation in it.
    """
    if colour is None:
        thing = f"[{shape}]"
    elif shape is None:
        thing = _pick(rng, (f"[{colour}] shape", f"shape that is [{colour}]"))
    else:
        thing = _pick(
            rng, (f"[{colour}] [{shape}]", f"[{colour}] [{shape}]", f"[{shape}] that is [{colour}]")
        )
    sentence = _pick(rng, _ABSENT if negated else _PRESENT).format(thing=thing)
    return marked(_pick(rng, _OPENINGS) + sentence)


def general_statement(
    rng: Any, colours: Sequence[str], shapes: Sequence[str], true: bool, negated: bool = False
) -> tuple[str, Spans]:
    """A general statement on shapes or colours, true or false for every picture.

    Args:
        rng: numpy generator that picks the statement and its wording.
        true: whether it shall be true.
        negated: whether it shall hold a negation.

    Returns:
        The statement, and ``(start, end)`` of the words it compares and of its negation.
    """
    same = true != negated
    subject = _pick(rng, ("shape", "colour", "corners"))
    if subject == "colour":
        one, other = _couple(rng, colours, same)
        return _statement(rng, f"[{one}] {_pick(rng, ('shape', *shapes))}", "is", f"[{other}]", negated)
    if subject == "shape":
        one, other = _couple(rng, shapes, same)
        return _statement(rng, f"[{one}]", "is", f"a [{other}]", negated)
    one, other = _couple(rng, [s for s in shapes if s in CORNERS], same)
    return _statement(rng, f"[{one}]", "has", f"[{CORNERS[other]}] corners", negated)


def blanked(text: str, spans: Spans, blank: str, gone: Sequence[bool]) -> tuple[str, Spans]:
    """``text`` with ``blank`` in place of some words, and the new places of the words of ``spans`` that are left.

    Args:
        text: words, each a run of characters without spaces.
        spans: of the whole words that decide.
        blank: the word that replaces others.
        gone: a flag for each word, whether it is replaced.

    Example:
        >>> blanked("there is a red circle", [(11, 14), (15, 21)], "[PAD]", [True, False, False, False, True])
        ('[PAD] is a red [PAD]', [(11, 14)])
    """
    found, kept, last = "", [], 0
    for word, replaced in zip(_WORD.finditer(text), gone, strict=True):
        found += text[last : word.start()]
        if not replaced and word.span() in spans:
            kept.append((len(found), len(found) + len(word[0])))
        found += blank if replaced else word[0]
        last = word.end()
    return found + text[last:], kept


def decides(text: str, spans: Spans) -> list[bool]:
    """For each word of ``text``, whether it is one of ``spans``."""
    return [word.span() in spans for word in _WORD.finditer(text)]


def caption_words(colours: Sequence[str], shapes: Sequence[str]) -> list[str]:
    """Every word and mark that captions about these colours and shapes may hold."""
    wordings = [
        *_PRESENT,
        *_ABSENT,
        *_OPENINGS,
        *_GENERAL,
        *(w for found in _NEGATIONS.values() for w in found),
    ]
    text = " ".join([re.sub(r"\{\w+\}|[\[\]]", " ", w) for w in wordings])
    rest = f"shape that corners {' '.join(CORNERS.values())}"
    return sorted({*text.split(), *rest.split(), *colours, *shapes})


def _statement(rng: Any, one: str, verb: str, two: str, negated: bool) -> tuple[str, Spans]:
    phrase = _pick(rng, _NEGATIONS[f"{verb} not" if negated else verb])
    return marked(_pick(rng, _GENERAL).format(one=one, verb=phrase, two=two))


def _couple(rng: Any, words: Sequence[str], same: bool) -> tuple[str, str]:
    one = _pick(rng, words)
    return one, one if same else _pick(rng, [w for w in words if w != one])


def _pick(rng: Any, choices: Sequence[str]) -> str:
    return choices[int(rng.integers(len(choices)))]
