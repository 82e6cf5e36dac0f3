"""What pages write can be read: contrasts by the formula of WCAG 2, on light and on dark ground."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import sidelight.lab.report
from sidelight.viz.highlight import AGAINST, HIGHLIGHT, to_html
from sidelight.viz.page import whole_page

#: what WCAG asks of texts of usual size
ENOUGH = 4.5
CSS = (Path(sidelight.lab.report.__file__).parent / "templates" / "report.css").read_text("utf-8")
#: blocks of colours: light, dark, print
LIGHT, DARK, PRINT = (
    dict(re.findall(r"--([\w-]+): (#[0-9a-f]+)", block)) for block in re.findall(r":root \{([^}]*)\}", CSS)
)
GROUNDS = ("bg", "tint", "control", "r4")


def rgb(code: str) -> np.ndarray:
    digits = code.lstrip("#")
    digits = "".join(2 * d for d in digits) if len(digits) == 3 else digits
    return np.array([int(digits[i : i + 2], 16) for i in (0, 2, 4)], dtype=float)


def luminance(colour: np.ndarray) -> float:
    share = colour / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: np.ndarray, other: np.ndarray) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK, PRINT], ids=["light", "dark", "print"])
@pytest.mark.parametrize("ink", ["ink", "muted", "faint", "accent"])
def test_a_report_is_readable(colours: dict[str, str], ink: str) -> None:
    colours = {**LIGHT, **colours}
    grounds = GROUNDS if ink in ("ink", "muted") else GROUNDS[:3]
    found = {ground: contrast(rgb(colours[ink]), rgb(colours[ground])) for ground in grounds}
    assert min(found.values()) >= ENOUGH, found


@pytest.mark.parametrize("colours", [LIGHT, DARK, PRINT], ids=["light", "dark", "print"])
@pytest.mark.parametrize(("rank", "ink"), [("r1", "r1-ink"), ("r2", "ink"), ("r3", "ink"), ("r4", "muted")])
def test_the_small_words_of_a_rank_are_readable(colours: dict[str, str], rank: str, ink: str) -> None:
    colours = {**LIGHT, **colours}
    own = re.search(rf"\.{rank} small \{{ opacity: ([\d.]+)", CSS) or re.search(
        r"\.rank small \{ opacity: ([\d.]+)", CSS
    )
    assert own is not None
    share, ground = float(own[1]), rgb(colours[rank])
    shown = share * rgb(colours[ink]) + (1 - share) * ground
    assert contrast(shown, ground) >= ENOUGH


@pytest.mark.parametrize(
    ("ink", "ground", "least"), [("#1c2027", "#fff", ENOUGH), ("#e8eaee", "#121418", 4.0)]
)
@pytest.mark.parametrize("colour", [HIGHLIGHT, AGAINST])
def test_marked_words_are_readable(ink: str, ground: str, least: float, colour: tuple[int, int, int]) -> None:
    """On a dark page no ink reaches 4.5 on every mark, since the mark passes from dark to light."""
    sign = 1.0 if colour == HIGHLIGHT else -1.0
    for strength in np.linspace(0.005, 1, 200):
        span = to_html("word", [(0, 4, sign * strength)], strongest=1.0)
        own = re.search(r";color:(#\w+)", span)
        mark = strength * np.array(colour, dtype=float) + (1 - strength) * rgb(ground)
        assert contrast(rgb(own[1] if own else ink), mark) >= least, strength


def test_a_small_page_is_dark_for_readers_of_dark_pages() -> None:
    """Marked words are readable on both grounds (above), and the page lets the browser choose."""
    page = whole_page("a < b", to_html("great film", [(0, 5, 1.0)]))
    assert '<meta name="color-scheme" content="light dark">' in page
    assert "<title>a &lt; b</title>" in page
