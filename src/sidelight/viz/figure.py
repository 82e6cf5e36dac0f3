"""Figures that a notebook shows, although nothing here touches pyplot's list of open figures."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from sidelight.quiet import ignored_warnings

#: what matplotlib says of glyphs that the font lacks; they are drawn as boxes
MISSING_GLYPHS = (r"Glyph ", r"Matplotlib currently does not support")


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

    def savefig(self, *args: Any, **kwargs: Any) -> None:
        with ignored_warnings(*MISSING_GLYPHS):
            super().savefig(*args, **kwargs)
