"""Colours of values with a sign: orange speaks for a class, and blue against it."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import FigureBase

from sidelight.viz.highlight import AGAINST, HIGHLIGHT

#: maps with more values are drawn up to this share of their strengths, so that a few pixels do not hide the others
MANY, SHARE = 1000, 0.995


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


#: strengths from -1 to 1, of which 0 is white
SIGNED = LinearSegmentedColormap.from_list("signed", [_hex(AGAINST), "white", _hex(HIGHLIGHT)])


def strongest(effects: np.ndarray) -> float:
    """The size of an effect that gets the full colour, above 0.

    Example:
        >>> strongest(np.array([0.1, -0.4, 0.2]))
        0.4
    """
    sizes = np.abs(np.asarray(effects, dtype=np.float64))
    found = float(np.quantile(sizes, SHARE)) if sizes.size > MANY else float(sizes.max(initial=0.0))
    return found or float(sizes.max(initial=0.0)) or 1.0


def strengths(effects: np.ndarray) -> np.ndarray:
    """Effects as shares of the :func:`strongest` one, in [-1, 1], float32."""
    return np.clip(np.asarray(effects, dtype=np.float64) / strongest(effects), -1.0, 1.0).astype(np.float32)


def effects_bar(figure: FigureBase, ax: Axes, effects: np.ndarray, **where: Any) -> None:
    """The legend: how much of the probability the full colours stand for."""
    most = strongest(effects)
    bar = figure.colorbar(ScalarMappable(Normalize(-most, most), SIGNED), ax=ax, **where)
    ends = (f"\N{MINUS SIGN}{most:.2g}", f"+{most:.2g}") if np.any(effects) else ("", "")
    bar.set_ticks([-most, 0.0, most], labels=[ends[0], "0", ends[1]])
    bar.outline.set_visible(False)
