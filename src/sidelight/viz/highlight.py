"""A scored text as HTML, for a terminal, and as LaTeX. Nothing in the text is ever run.

All three take the same arguments: the original string and ``(start, end, score)`` spans
with scores in [0, 1], e.g. from :meth:`sidelight.text.TextView.spans`.
"""

from __future__ import annotations

import html
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sidelight.viz.safe_text import Piece, ScoredSpan, partition, visible

if TYPE_CHECKING:
    from rich.text import Text

#: red, green and blue of a score of 1; a score of 0 is the background
HIGHLIGHT = (255, 153, 0)
#: colour of the line under known evidence
EVIDENCE = "#00b8d9"
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    # The braces keep LaTeX from reading a following "[" or "*" as the break's argument.
    "\n": "\\leavevmode\\\\{}\n",
    "\t": r"\quad{}",
}
_LATEX_TABLE = str.maketrans(_LATEX)


def to_html(
    text: str, spans: Iterable[ScoredSpan], titles: bool = True, evidence: Iterable[tuple[int, int]] = ()
) -> str:
    """One ``<div>`` with every scored span on a background as strong as its score.

    The text is escaped, its direction is left to the browser (``dir="auto"``), and
    control characters are shown instead of obeyed.

    Args:
        text: the original string.
        spans: ``(start, end, score)``, scores in [0, 1] or ``None`` (never seen by the model).
        titles: whether hovering shows the score.
        evidence: ``(start, end)`` of known evidence; spans that touch it are underlined.
    """
    known, position, body = list(evidence), 0, ""
    for piece in partition(text, spans):
        end = position + len(piece.text)
        marked = bool(piece.text.strip()) and any(a < end and position < b for a, b in known)
        body += _html_piece(piece, titles, marked)
        position = end
    style = "white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.7"
    return f'<div class="sidelight-text" dir="auto" style="{style}">{body}</div>'


def _html_piece(piece: Piece, titles: bool, marked: bool) -> str:
    content = html.escape(visible(piece.text), quote=True)
    if marked:
        content = f'<span style="border-bottom:2px solid {EVIDENCE}">{content}</span>'
    if piece.unread:
        title = ' title="not read by the model"' if titles else ""
        return f'<span style="opacity:.5;text-decoration:underline dotted"{title}>{content}</span>'
    if piece.score is None:
        return content
    r, g, b = HIGHLIGHT
    score = _unit(piece.score)
    title = f' title="{score:.2f}"' if titles else ""
    style = f"background-color:rgba({r},{g},{b},{score:.3f});border-radius:.2em"
    if score >= 0.7:  # a dark page writes in white, which such a background does not bear
        style += ";color:#1c2027"
    return f'<span style="{style}"{title}>{content}</span>'


def to_rich(text: str, spans: Iterable[ScoredSpan]) -> Text:
    """A ``rich`` text with coloured backgrounds; escape sequences in ``text`` are shown, not sent."""
    from rich.style import Style
    from rich.text import Text

    out = Text()
    for piece in partition(text, spans):
        if piece.unread:
            style = Style(dim=True, underline=True)
        elif piece.score is None:
            style = Style.null()
        else:
            style = Style(color="rgb(0,0,0)", bgcolor=f"rgb({','.join(map(str, _blend(piece.score)))})")
        out.append(visible(piece.text), style)
    return out


def to_ansi(text: str, spans: Iterable[ScoredSpan], width: int = 100) -> str:
    """The text with ANSI colour codes, wrapped at ``width`` columns."""
    from rich.console import Console

    buffer = io.StringIO()
    console = Console(file=buffer, force_terminal=True, color_system="truecolor", width=width)
    console.print(to_rich(text, spans), soft_wrap=False)
    return buffer.getvalue()


def to_latex(text: str, spans: Iterable[ScoredSpan]) -> str:
    r"""A LaTeX paragraph of ``\colorbox``es; needs the packages ``xcolor`` and ``textcomp``.

    Characters outside the document's fonts (CJK, emoji) are passed through, for LuaLaTeX
    or XeLaTeX with a fitting font.
    """
    body = "".join(_latex_piece(piece) for piece in partition(text, spans))
    return "{\\setlength{\\fboxsep}{1pt}\\raggedright\n" + body + "\\par}\n"


def _latex_piece(piece: Piece) -> str:
    content = escape_latex(visible(piece.text))
    if piece.score is not None:
        # A box cannot be broken across lines.
        content = escape_latex(visible(piece.text).replace("\n", " "))
    if piece.unread:
        return f"\\textcolor{{gray}}{{{content}}}"
    if piece.score is None:
        return content
    rgb = ",".join(f"{channel / 255:.3f}" for channel in _blend(piece.score))
    return f"\\colorbox[rgb]{{{rgb}}}{{\\strut {content}}}"


def escape_latex(text: str) -> str:
    """``text`` with LaTeX's special characters escaped and line breaks kept."""
    return text.translate(_LATEX_TABLE)


def _unit(score: float) -> float:
    # NaN compares false with everything and would print as a colour name.
    return min(1.0, max(0.0, score)) if score == score else 0.0


def _blend(score: float) -> tuple[int, int, int]:
    """Colour of ``score`` between white and :data:`HIGHLIGHT`."""
    s = _unit(score)
    r, g, b = (round(255 + (channel - 255) * s) for channel in HIGHLIGHT)
    return r, g, b
