"""The words of a text with their values, as a list that unfolds: touch screens and screen readers show no tooltip."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sidelight.inputs.view import CUT_MARKS
from sidelight.viz.highlight import told
from sidelight.viz.safe_text import visible

#: a list holds no more words than this, so that pages of long texts stay small
LISTED = 50
#: a longer word is cut in the list. The text above shows it whole
LETTERS = 40


@dataclass(frozen=True)
class WordList:
    """Words with their values, as people read them. Nothing in them hides, and nothing is escaped.

    Attributes:
        title: what they are, and how many are left out.
        lines: each word, and its value.
    """

    title: str
    lines: list[tuple[str, str]]


def listed_words(
    display: Sequence[str], values: np.ndarray, order: np.ndarray, signed: bool = False
) -> WordList | None:
    """The first words of ``order``, or nothing if there is no word. The arguments are those of :func:`word_list`.

    The mark of what was cut off is no word: the model never read it, so it has no score.
    """
    words = ["" if word in CUT_MARKS else " ".join(word.split()) for word in display]
    places = [i for i in np.argsort(-np.asarray(order), kind="stable").tolist() if words[i]]
    if not places:
        return None
    count = f", the first {LISTED} of {len(places)}" if len(places) > LISTED else ""
    title = f"Words and {'effects' if signed else 'scores'}{count}"
    return WordList(title, [(_short(words[i]), told(float(values[i]), signed)) for i in places[:LISTED]])


def word_list(display: Sequence[str], values: np.ndarray, order: np.ndarray, signed: bool = False) -> str:
    """A ``<details>`` with the first words of ``order``, or nothing if there is no word.

    Args:
        display: the words. White space around them is left out.
        values: a score, or with ``signed`` an effect, for each word.
        order: a number for each word. The highest comes first, and words with equal numbers keep their order.
    """
    found = listed_words(display, values, order, signed)
    if found is None:
        return ""
    # a word has its own direction, so that the number stays behind it, and no language, because the page does not know it
    lines = "".join(
        f'<li><bdi lang="">{html.escape(word, quote=True)}</bdi> {value}</li>' for word, value in found.lines
    )
    return (
        f'<details style="margin-top:6px;overflow-wrap:anywhere"><summary>{found.title}</summary>'
        f'<ol style="margin:4px 0;padding-left:3em">{lines}</ol></details>'
    )


def _short(word: str) -> str:
    return visible(word if len(word) <= LETTERS else word[: LETTERS - 1] + "…")
