"""A saved explanation in the terminal: a small picture beside its map, and a text with coloured words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Group
from rich.style import Style
from rich.text import Text

from sidelight.explanations.explanation import Explanation
from sidelight.viz.image import heat, to_rgb

#: columns of a picture; the map beside it takes as many
COLUMNS = 36


def show(picture: Path) -> Group:
    """The explanation whose picture is saved at ``picture``, for a ``rich`` console."""
    explanation = Explanation.load(picture)
    shown = [Text(f"{explanation.label} ({explanation.probability:.1%})", Style(bold=True))]
    for modality, scores in explanation.scores.items():
        sample = explanation.inputs[modality]
        shown.append(_words(sample, scores) if isinstance(sample, list) else _pixels(sample, scores))
    return Group(*shown)


def _words(words: list[str], scores: np.ndarray) -> Text:
    """Each word on a background that is the more orange, the higher its score."""
    text = Text()
    for word, score in zip(words, scores.tolist(), strict=True):
        fade = round(255 * (1 - score))
        text.append(word, Style(color="black", bgcolor=f"rgb(255,{153 + fade * 102 // 255},{fade})"))
    return text


def _pixels(image: np.ndarray, scores: np.ndarray) -> Text:
    """The image and its map. Each character shows two pixels, its colour the upper one and its ground the lower."""
    rgb = np.concatenate([to_rgb(image), heat(image, scores)], axis=1)
    height = 2 * round(rgb.shape[0] / rgb.shape[1] * COLUMNS)
    small = Image.fromarray((rgb * 255).astype(np.uint8)).resize((2 * COLUMNS, height), Image.Resampling.BOX)
    text, rows = Text(), np.asarray(small).tolist()
    for upper, lower in zip(rows[::2], rows[1::2], strict=True):
        for over, under in zip(upper, lower, strict=True):
            text.append(
                "▀",
                Style(
                    color=f"rgb{tuple(over)}".replace(" ", ""), bgcolor=f"rgb{tuple(under)}".replace(" ", "")
                ),
            )
        text.append("\n")
    return text
