"""Maps on text: the stronger a word counted, the stronger its background.

Pictures are drawn with outlines of glyphs, so the text scales with its panel. They are for papers and grids.
Emoji, and letters that our font lacks, look right in the HTML alone, which the browser typesets.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import Collection, LineCollection, PathCollection, PolyCollection
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.figure import FigureBase
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import text_to_path

from sidelight.core.quiet import ignored_warnings
from sidelight.errors import InputError
from sidelight.viz import style as look
from sidelight.viz.base import RENDERERS, Renderer
from sidelight.viz.direction import Placed, in_reading_order, runs_left, turned
from sidelight.viz.export import MISSING_GLYPHS
from sidelight.viz.highlight import EVIDENCE, HIGHLIGHT, to_html
from sidelight.viz.safe_text import visible
from sidelight.viz.signed import SIGNED, effects_bar, strengths, strongest
from sidelight.viz.word_list import word_list

#: inches of the full view and of a grid cell
WIDTH, CELL_WIDTH = 6.4, 2.6
#: points
FONT, CELL_FONT = 10.0, 7.0
#: a grid cell shows no more lines than this
CELL_LINES = 9
#: characters for each em of a line that are measured at once. Narrow ones take a quarter
MEASURED = 4
#: whether matplotlib itself draws words of Hebrew and Arabic from right to left
TURNS_LETTERS = matplotlib.__version_info__ >= (3, 11)
_LEADING = 1.65
#: place of the legend below a text
_BAR: dict[str, Any] = {
    "orientation": "horizontal",
    "shrink": 0.25,
    "anchor": (0.0, 1.0),
    "aspect": 30,
}
#: inches between a text and its legend. As a share of the height, the room would grow with the text
_ABOVE_BAR = 0.025
_COLOURS = LinearSegmentedColormap.from_list("highlight", ["white", "#{:02x}{:02x}{:02x}".format(*HIGHLIGHT)])


class TextRenderer(Renderer):
    """Draws one score per string. The strings, white space included, join to the text."""

    styles = ("highlight",)
    input_apart = False
    panel_width = 680
    colours = "full colour: a score of 1"

    def check(self, scores: Any, display: Any) -> tuple[np.ndarray, list[str]]:
        values = np.asarray(scores, dtype=np.float32)
        if isinstance(display, str) or not all(isinstance(word, str) for word in display):
            raise InputError("a text to show must be a list of strings, one for each score.")
        if values.shape != (len(display),):
            raise InputError(
                f"text scores must be [{len(display)}] like their words; got shape {values.shape}."
            )
        return values, list(display)

    def size(self, display: Any) -> tuple[float, float]:
        lines = len(layout(tuple(display), WIDTH * 72 / FONT))
        return WIDTH + 0.2, 0.55 + lines * _LEADING * FONT / 72

    def cell_size(self, display: Any) -> tuple[float, float]:
        lines = min(CELL_LINES, len(layout(tuple(display), CELL_WIDTH * 72 / CELL_FONT)))
        return CELL_WIDTH, lines * _LEADING * CELL_FONT / 72

    def draw(
        self, figure: FigureBase, scores: np.ndarray, display: Any, truth: np.ndarray | None = None
    ) -> None:
        with look.house_style():
            ax = figure.subplots()
            self._show(ax, display, scores, truth, WIDTH * 72 / FONT)
            bar = figure.colorbar(ScalarMappable(Normalize(0, 1), _COLOURS), ax=ax, **_bar(figure))
            bar.set_ticks([0, 0.5, 1])
            bar.outline.set_visible(False)

    def draw_effects(self, figure: FigureBase, effects: np.ndarray, display: Any) -> None:
        with look.house_style():
            ax = figure.subplots()
            self.draw_effect_map(ax, effects, display, WIDTH * 72 / FONT, None)
            effects_bar(figure, ax, effects, **_bar(figure))

    def draw_effect_map(
        self,
        ax: Axes,
        effects: np.ndarray,
        display: Any,
        width: float = CELL_WIDTH * 72 / CELL_FONT,
        max_lines: int | None = CELL_LINES,
    ) -> None:
        self._show(ax, display, (1 + strengths(effects)) / 2, None, width, max_lines, SIGNED)

    def effects_html(self, effects: np.ndarray, display: Any, alt: str = "") -> str:
        spans = word_borders(display)
        scored = [(a, b, float(value)) for (a, b), value in zip(spans, effects, strict=True)]
        return to_html("".join(display), scored, strongest=strongest(effects))

    def list_html(self, values: np.ndarray, display: Any, order: np.ndarray, signed: bool = False) -> str:
        return word_list(display, values, order, signed)

    def draw_input(self, ax: Axes, display: Any, truth: np.ndarray | None = None) -> None:
        self._show(ax, display, None, truth, CELL_WIDTH * 72 / CELL_FONT, CELL_LINES)

    def draw_map(
        self,
        ax: Axes,
        scores: np.ndarray,
        display: Any,
        style: str | None = None,
        truth: np.ndarray | None = None,
    ) -> None:
        self._check_style(style)
        self._show(ax, display, scores, truth, CELL_WIDTH * 72 / CELL_FONT, CELL_LINES)

    def html(
        self,
        scores: np.ndarray | None,
        display: Any,
        style: str | None = None,
        truth: np.ndarray | None = None,
        alt: str = "",
    ) -> str:
        self._check_style(style)
        text, spans = "".join(display), word_borders(display)
        scored = [] if scores is None else [(a, b, float(s)) for (a, b), s in zip(spans, scores, strict=True)]
        marked = [] if truth is None else [span for span, on in zip(spans, truth, strict=True) if on]
        if scores is None:
            scored = [(a, b, 0.0) for a, b in marked]
        return to_html(text, scored, titles=scores is not None, evidence=marked)

    def _check_style(self, style: str | None) -> None:
        if style is not None and style not in self.styles:
            raise InputError(f"unknown style {style!r} for text; choose from {', '.join(self.styles)}.")

    def _show(
        self,
        ax: Axes,
        display: Sequence[str],
        scores: np.ndarray | None,
        truth: np.ndarray | None,
        width: float,
        max_lines: int | None = None,
        colours: Colormap = _COLOURS,
    ) -> None:
        """Draw in units of the font size: ``width`` ems to the line."""
        lines = layout(tuple(display), width)
        shown = lines[:max_lines]
        boxes: list[Any] = []
        fills: list[Any] = []
        marks: list[Any] = []
        words: list[Path] = []
        for row, line in enumerate(shown):
            base = (row + 0.5) * _LEADING + 0.35
            for index, x, text in line:
                end = x + glyph_width(text)
                if scores is not None:
                    boxes.append(_box(x - 0.08, end + 0.08, base - 1.0, base + 0.36))
                    fills.append(colours(float(scores[index])))
                if truth is not None and truth[index]:
                    marks.append([(x, base + 0.42), (end, base + 0.42)])
                words.append(glyphs(text, x, base))
        _add(ax, PolyCollection(boxes, facecolors=fills, linewidths=0))
        _add(ax, LineCollection(marks, colors=EVIDENCE, linewidths=1.2, capstyle="butt"))
        _add(ax, PathCollection(words, facecolors=look.INK, linewidths=0))
        ax.set_xlim(-0.2, width + 0.2)
        ax.set_ylim(max(1, len(shown)) * _LEADING, 0)
        ax.set_aspect("equal", anchor="NW")
        # not set_axis_off(), which would hide the label below with the prediction of a grid
        ax.set(xticks=[], yticks=[], frame_on=False)


def _bar(figure: Any) -> dict[str, Any]:
    return {**_BAR, "pad": _ABOVE_BAR * figure.dpi / figure.bbox.height}


def _box(left: float, right: float, top: float, bottom: float) -> list[tuple[float, float]]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _add(ax: Axes, parts: Collection) -> None:
    """Show ``parts`` without asking for their extent: they lie within the limits, and a long text has thousands."""
    parts.set_in_layout(False)
    ax.add_artist(parts)  # add_collection would measure them for the limits


def word_borders(display: Sequence[str]) -> list[tuple[int, int]]:
    """Character span of each string in the joined text, without the white space around it."""
    spans, position = [], 0
    for word in display:
        start = position + len(word) - len(word.lstrip())
        spans.append((start, max(start, position + len(word.rstrip()))))
        position += len(word)
    return spans


@lru_cache(maxsize=256)
def layout(display: tuple[str, ...], width: float) -> list[list[Placed]]:
    """Break words into lines.

    Args:
        display: strings with the white space that begins words and ends lines.
        width: of a line, in ems.

    Returns:
        Lines of ``(index into display, x in ems, text)``. A word longer than a line is cut, and so is one that runs both
        ways.
    """
    lines: list[list[Placed]] = []
    for paragraph in _paragraphs(display):
        broken = broken_lines(paragraph, width)
        if any(runs_left(word) for _, word in paragraph):
            leftward = bool(runs_left("".join(word for _, word in paragraph)))
            broken = in_reading_order(broken, glyph_width, width, leftward)
        lines += broken
    return lines


def _paragraphs(display: Sequence[str]) -> list[list[tuple[int, str]]]:
    """Words with their indices, up to the ends of lines that the text has itself."""
    found: list[list[tuple[int, str]]] = [[]]
    for index, word in enumerate(display):
        found[-1].append((index, word))
        if "\n" in _split_space(word)[2] and index < len(display) - 1:
            found.append([])
    return found


def broken_lines(words: Sequence[tuple[int, str]], width: float) -> list[list[Placed]]:
    """Words with their indices on lines, from left to right in the order of the text."""
    lines: list[list[Placed]] = [[]]
    x = space = 0.0
    for index, word in words:
        before, body, after = _split_space(word)
        space = max(space, 0.3 if before else 0.0)
        for part in _cut(visible(body).replace("\t", " "), width):
            extent = glyph_width(part)
            if lines[-1] and x + space + extent > width:
                lines.append([])
            x = x + space if lines[-1] else 0.0
            lines[-1].append((index, x, part))
            x, space = x + extent, 0.0
        space = 0.3 if after else 0.0
    return lines


def _split_space(word: str) -> tuple[str, str, str]:
    body = word.strip()
    start = len(word) - len(word.lstrip())
    return word[:start], " ".join(body.split()), word[start + len(body) :]


def _cut(text: str, width: float) -> list[str]:
    parts = []
    while text:
        # measuring all that is left for each line would take time that grows with the square of its length
        head = text[: int(MEASURED * width) + 1]
        while (extent := glyph_width(head)) > width and len(head) > 1:
            head = head[: max(1, int(len(head) * width / extent) - 1)]
        parts.append(head)
        text = text[len(head) :]
    return parts


def _font() -> FontProperties:
    return FontProperties(family=look.RC["font.family"], size=1.0)


def _no_missing_glyphs(text: str) -> AbstractContextManager[None]:
    """No warning of letters that our font lacks. It has those of ASCII, and a filter for each word takes time."""
    plain = text.isascii() and text.isprintable()
    return nullcontext() if plain else ignored_warnings(*MISSING_GLYPHS)


@lru_cache(maxsize=16384)
def glyph_width(text: str) -> float:
    """Advance width of ``text`` in ems."""
    with _no_missing_glyphs(text):
        return float(text_to_path.get_text_width_height_descent(text, _font(), ismath=False)[0])


def glyphs(text: str, x: float, base: float) -> Path:
    """Outlines of ``text`` in ems, with ``y`` pointing down. A dollar sign starts no mathematics."""
    vertices, codes = _outlines(text)
    return Path(vertices * [1, -1] + [x, base], codes) if len(vertices) else Path(np.zeros((0, 2)))


@lru_cache(maxsize=1024)
def _outlines(text: str) -> tuple[np.ndarray, Any]:
    """Points of the outlines in ems, and what joins them. Words come again and again in a text."""
    if not TURNS_LETTERS and runs_left(text):
        text = turned(text)
    with _no_missing_glyphs(text):
        vertices, codes = text_to_path.get_text_path(_font(), text, ismath=False)
    return np.asarray(vertices, dtype=float) / text_to_path.FONT_SCALE, codes


RENDERERS.add("text", TextRenderer())
