"""One place for colours, fonts and resolution.

The palette keeps its order for readers with any colour vision deficiency (hues are
separated by lightness too, and lines also differ in dash). Our own method always has the
accent colour, and trivial maps are always grey.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

import matplotlib

from sidelight.core.names import is_control, is_ours, ordered

ACCENT = "#e8590c"
CONTROL = "#8b93a1"
TRUTH = "#00b8d9"
RIVALS = (
    "#2f6db5",
    "#1b9e77",
    "#8f63c7",
    "#c19a1d",
    "#56a9e0",
    "#b34d87",
    "#7c9a3d",
    "#6f7fa3",
)
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))

#: Perceptually uniform: black for a score of 0, light for 1.
HEAT = "inferno"
DPI = 150

# Two inks that a page may replace by its own text colours (see ``to_inline_svg``): they
# occur nowhere else, so a plain substitution in the SVG is safe.
INK, INK_SOFT = "#20242b", "#6b7481"
INK_TO_CSS = {INK: "currentColor", INK_SOFT: "var(--muted, #6b7481)"}

RC: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9.0,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK_SOFT,
    "axes.linewidth": 0.7,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": INK_SOFT,
    "ytick.color": INK_SOFT,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "grid.color": INK_SOFT,
    "grid.alpha": 0.22,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "white",
}


def house_style(**extra: Any) -> AbstractContextManager[None]:
    """Draw in the house style inside a ``with`` block. The caller's settings come back after it."""
    # ``Any``: the stubs type the keys as one long literal.
    settings: Any = {**RC, **{key.replace("__", "."): value for key, value in extra.items()}}
    return matplotlib.rc_context(settings)


def literal(text: str) -> str:
    """``text`` for a figure: dollar signs start no mathematics."""
    return text.replace("$", r"\$")


def method_styles(methods: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Line properties of each method: ``color``, ``linestyle``, ``linewidth``, ``zorder``.

    Baseline methods take colours in alphabetical order, so figures of one run agree whatever order
    their tables come in.
    """
    names = ordered(methods)
    rivals = sorted(m for m in names if not is_ours(m) and not is_control(m))
    controls = sorted(m for m in names if is_control(m))
    styles: dict[str, dict[str, Any]] = {}
    for name in names:
        if is_ours(name):
            styles[name] = {"color": ACCENT, "linestyle": "-", "linewidth": 2.6, "zorder": 5}
        elif is_control(name):
            dash = DASHES[1 + controls.index(name) % (len(DASHES) - 1)]
            styles[name] = {"color": CONTROL, "linestyle": dash, "linewidth": 1.2, "zorder": 2}
        else:
            index = rivals.index(name)
            dash = DASHES[index // len(RIVALS) % len(DASHES)]
            color = RIVALS[index % len(RIVALS)]
            styles[name] = {"color": color, "linestyle": dash, "linewidth": 1.4, "zorder": 3}
    return styles
