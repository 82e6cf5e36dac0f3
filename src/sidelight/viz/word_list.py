"""The words of a text with their values, as a list that unfolds: touch screens and screen readers show no tooltip."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np

from sidelight.viz.highlight import told
from sidelight.viz.safe_text import visible

#: a list holds no more words than this, so that pages of long texts stay small
LISTED = 50
#: a longer word is cut in the list. The text above shows it whole
LETTERS = 40


def word_list(display: Sequence[str], values: np.ndarray, order: np.ndarray, signed: bool = False) -> str:
    """A ``<details>`` with the first words of ``order``, or nothing if there is no word.

    Args:
        display: the words. White space around them is left out.
        values: a score, or with ``signed`` an effect, for each word.
        order: a number for each word. The highest comes first, and words with equal numbers keep their order.
    """
    words = [" ".join(word.split()) for word in display]
    places = [i for i in np.argsort(-np.asarray(order), kind="stable").tolist() if words[i]]
    if not places:
        return ""
    lines = "".join(f"<li>{_short(words[i])} {told(float(values[i]), signed)}</li>" for i in places[:LISTED])
    count = f", the first {LISTED} of {len(places)}" if len(places) > LISTED else ""
    title = f"Words and {'effects' if signed else 'scores'}{count}"
    return (
        f'<details style="margin-top:6px;overflow-wrap:anywhere"><summary>{title}</summary>'
        f'<ol style="margin:4px 0;padding-left:3em">{lines}</ol></details>'
    )


def _short(word: str) -> str:
    shown = word if len(word) <= LETTERS else word[: LETTERS - 1] + "…"
    # its own direction, so that the number stays behind it, and no language, because the page does not know it
    return f'<bdi lang="">{html.escape(visible(shown), quote=True)}</bdi>'
