"""Figures that a notebook shows, although nothing here touches pyplot's list of open figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from sidelight.core.ownership import MARK
from sidelight.core.quiet import ignored_warnings

#: what matplotlib says of glyphs that the font lacks; they are drawn as boxes
MISSING_GLYPHS = (r"Glyph ", r"Matplotlib currently does not support")
#: where files of a kind hold the mark of who made them
MARKS = {"png": "Software", "pdf": "Creator", "svg": "Title"}


class ShownFigure(Figure):
    """A figure that the last line of a notebook's cell shows as a picture.

    Letters that the font lacks are drawn as boxes. Matplotlib would warn of each one at each drawing.
    """

    def _repr_png_(self) -> bytes:
        from sidelight.viz.export import to_png

        return to_png(self)

    def draw(self, renderer: Any) -> None:
        with ignored_warnings(*MISSING_GLYPHS):
            super().draw(renderer)

    def savefig(self, fname: Any, **kwargs: Any) -> None:
        """As of matplotlib; the file says that sidelight made it, so that a later call may replace it."""
        kind = str(kwargs.get("format") or Path(str(fname)).suffix[1:] or "png").lower()
        if kind in MARKS and "metadata" not in kwargs:
            kwargs["metadata"] = {MARKS[kind]: MARK}
        with ignored_warnings(*MISSING_GLYPHS):
            super().savefig(fname, **kwargs)
