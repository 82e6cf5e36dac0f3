"""Titles of figures, made of names that others chose: harmless, and whole on lines that fit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from sidelight.core.names import method_label
from sidelight.core.safe_output import short
from sidelight.viz import style as look
from sidelight.viz.direction import LEFT_TO_RIGHT, among_words, runs_left
from sidelight.viz.safe_text import visible
from sidelight.viz.text import broken_lines, glyph_width

#: points, and inches that each line of a title takes beyond the first
POINTS, LINE = 11, 0.19
#: between parts on one line
_BETWEEN = "   "
#: a longer name ends in three dots
_LONGEST = 120
#: ems of the widest name in a figure, and those that a line and the space beside it take in a legend
_WIDEST, _LINE = 22.0, 6.5


def one_line(name: str) -> str:
    """A name that others chose, harmless, on one line and not endless.

    Example:
        >>> one_line("cat\\n or  dog")
        'cat or dog'
    """
    return among_words(short(" ".join(visible(name).split()), _LONGEST))


def short_name(name: str) -> str:
    """A name in a figure: harmless, on one line, and not so wide that it leaves the figure no room.

    Example:
        >>> short_name("no   rescaling"), short_name("a" * 300)
        ('no rescaling', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...')
    """
    label = one_line(name)
    lengths = range(len(label), 3, -1)
    return look.literal(next((s for n in lengths if glyph_width(s := short(label, n)) <= _WIDEST), label))


def method_name(name: str) -> str:
    """:func:`short_name` of a method as people write it.

    Example:
        >>> method_name("rise")
        'RISE'
    """
    return short_name(method_label(name))


def legend_columns(labels: Iterable[str], inches: float, most: int, points: float = 8.5) -> int:
    """Columns of a legend, at most ``most``, so that it is no wider than ``inches``."""
    widest = max((glyph_width(label) for label in labels), default=0.0) + _LINE
    return max(1, min(most, int(72 * inches / points / widest)))


def fitted(parts: Iterable[str], inches: float, points: float = POINTS) -> list[str]:
    """``parts`` on lines of at most ``inches``. A part goes to a line of its own before it is cut, and is cut between words.

    Example:
        >>> fitted(["cat  97.0%", "map of dog"], inches=1.0)
        ['cat  97.0%', 'map of dog']
    """
    most = 72 * inches / points
    lines = [""]
    for part in parts:
        joined = f"{lines[-1]}{_BETWEEN}{part}" if lines[-1] else part
        if glyph_width(joined) <= most:
            lines[-1] = joined
        else:
            lines += _broken(part, most)
    return [line for line in lines if line]


def _broken(text: str, most: float) -> list[str]:
    """``text`` on lines of at most ``most`` ems, cut within a word only if the word is longer than a line."""
    # spaces of a figure are a little wider than those of a layout
    lines = broken_lines([(i, f"{word} ") for i, word in enumerate(text.split())], 0.97 * most)
    return [" ".join(word for *_, word in line) for line in lines]


def drawn(lines: Iterable[str]) -> str:
    """:func:`fitted` lines as a figure takes them: harmless, and from left to right even if a Hebrew name comes first."""
    return look.literal("\n".join(LEFT_TO_RIGHT + line if runs_left(line) else line for line in lines))


def room_of(figure: FigureBase) -> float:
    """Width in inches of a figure, or of a part of one."""
    own: Any = figure
    return float(own.bbox.width / own.dpi)


def title_figure(figure: FigureBase, lines: list[str]) -> None:
    """Write :func:`fitted` lines above everything in ``figure``."""
    figure.suptitle(drawn(lines), x=0.02, ha="left", fontsize=POINTS, color=look.INK)


def title_axes(ax: Axes, parts: Iterable[str], points: float) -> None:
    """Write ``parts`` above one panel, on lines that fit the room that it has now."""
    figure = ax.get_figure(root=True)
    inches = max(2.0, ax.get_window_extent().width / figure.dpi) if figure else 2.0
    ax.set_title(drawn(fitted(parts, inches, points)), fontsize=points)
