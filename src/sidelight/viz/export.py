"""Figures that notebooks show, figures as bytes, and bytes on disk without ever leaving half a file."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from sidelight.core.files import file_path, replace_file
from sidelight.core.ownership import MARK, require_free
from sidelight.core.quiet import ignored_warnings
from sidelight.viz import style

#: matplotlib's warnings about glyphs that the font lacks, which are drawn as boxes
MISSING_GLYPHS = (r"Glyph ", r"Matplotlib currently does not support")
#: the metadata field that holds our mark, by kind of file
MARKS = {"png": "Software", "pdf": "Creator", "svg": "Title"}


class ShownFigure(Figure):
    """A figure that the last line of a notebook's cell shows as a picture.

    Letters that the font lacks are drawn as boxes. Matplotlib would warn of each one at each drawing.
    """

    def _repr_png_(self) -> bytes:
        return to_png(self)

    def draw(self, renderer: Any) -> None:
        with ignored_warnings(*MISSING_GLYPHS):
            super().draw(renderer)

    def savefig(self, fname: Any, **kwargs: Any) -> None:
        """As in matplotlib. The file carries our mark, so that a later call may replace it."""
        kind = str(kwargs.get("format") or Path(str(fname)).suffix[1:] or "png").lower()
        if kind in MARKS and "metadata" not in kwargs:
            kwargs["metadata"] = {MARKS[kind]: MARK}
        with ignored_warnings(*MISSING_GLYPHS):
            super().savefig(fname, **kwargs)


def to_png(figure: Figure, dpi: int = style.DPI) -> bytes:
    """The figure as PNG bytes.

    Args:
        figure: drawn by matplotlib, e.g. by ``explanation.plot()``.
        dpi: pixels per inch of the figure's size.

    Example:
        >>> picture = to_png(Figure((2, 1)), dpi=50)  # 2 by 1 inches
        >>> Image.open(io.BytesIO(picture)).size
        (100, 50)
    """
    buffer = io.BytesIO()
    with style.house_style():
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": MARK})
    return buffer.getvalue()


def to_pdf(figure: Figure) -> bytes:
    """The figure as PDF bytes, with embedded fonts. The same figure gives the same bytes.

    Args:
        figure: drawn by matplotlib, e.g. by ``explanation.plot()``.

    Example:
        >>> to_pdf(Figure())[:5]
        b'%PDF-'
    """
    buffer = io.BytesIO()
    with style.house_style(pdf__fonttype=42):
        figure.savefig(buffer, format="pdf", metadata={"CreationDate": None, "Creator": MARK})
    return buffer.getvalue()


def to_svg(figure: Figure) -> str:
    """The figure as an SVG document. The same figure gives the same text.

    Args:
        figure: drawn by matplotlib, e.g. by ``explanation.plot()``.

    Example:
        >>> 'width="144pt" height="72pt"' in to_svg(Figure((2, 1)))  # an inch has 72 points
        True
    """
    buffer = io.StringIO()
    # Text stays text, so that a page can restyle it and a reader can search it.
    with style.house_style(svg__fonttype="none", svg__hashsalt="sidelight"):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Title": MARK})
    return buffer.getvalue()


def to_inline_svg(figure: Figure, prefix: str, label: str) -> str:
    """An ``<svg>`` element for use inside HTML: it follows the page's font, text colour and width.

    Args:
        figure: drawn with the ink of :mod:`sidelight.viz.style`.
        prefix: makes ids unique on the page, e.g. ``"curves-1-"``.
        label: of the picture, for readers who cannot see it (escaped here).
    """
    svg = to_svg(figure)
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}", svg)
    for ink, css in style.INK_TO_CSS.items():
        svg = svg.replace(ink, css)
    svg = re.sub(r"(font(?:-family)?: [^;\"]*?)'DejaVu Sans'[^;\"]*", r"\1var(--font, sans-serif)", svg)
    # The figure scales with the column but never beyond its natural size.
    svg = re.sub(r'width="([\d.]+)pt" height="[\d.]+pt"', r'style="width:100%;max-width:\1pt"', svg, count=1)
    escaped = label.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escaped}" ', 1)


def to_data_uri(content: Figure | bytes, mime: str = "image/png") -> str:
    """``data:`` URI of a figure (as PNG) or of encoded bytes, so that a page needs no second file.

    Args:
        content: a figure of matplotlib, or the bytes of a file.
        mime: kind of the bytes, e.g. ``"image/svg+xml"``. A figure becomes a PNG, so leave it out there.

    Example:
        >>> to_data_uri(b"a", "text/plain")  # YQ== is a in base 64
        'data:text/plain;base64,YQ=='
    """
    raw = to_png(content) if isinstance(content, Figure) else content
    return f"data:{mime};base64,{base64.b64encode(raw).decode('ascii')}"


def pixels_to_uri(pixels: np.ndarray, longest: int = 224) -> str:
    """``data:`` URI of ``[H, W, 3]`` floats in [0, 1], at most ``longest`` pixels a side.

    Small pictures stay lossless at their own size, and a page enlarges them pixel by pixel.
    Large ones become JPEG, which keeps a page of a hundred maps small.
    """
    image = Image.fromarray((np.clip(pixels, 0, 1) * 255).round().astype(np.uint8))
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    lossless = max(image.size) <= 96
    buffer = io.BytesIO()
    if lossless:
        image.save(buffer, "PNG", optimize=True)
        return to_data_uri(buffer.getvalue(), "image/png")
    image.save(buffer, "JPEG", quality=88, subsampling=0)
    return to_data_uri(buffer.getvalue(), "image/jpeg")


def write_atomic(files: Mapping[Path, bytes]) -> None:
    """Write every file beside its destination first, then move all into place.

    A failure while writing (disk full, no permission) leaves every old file as it was.

    Raises:
        CheckpointError: a file could not be written. No temporary file is left behind.
        ForeignFileError: a file of others has the name of one of them. Nothing is written.
    """
    require_free(file_path(path) for path in files)
    with ExitStack() as stack:
        temporary = {path: stack.enter_context(replace_file(path)) for path in files}
        for path, content in files.items():
            temporary[path].write_bytes(content)
