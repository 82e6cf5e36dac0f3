"""A scored text as HTML. Nothing in the text is ever run."""

from __future__ import annotations

import html
from collections.abc import Iterable

from sidelight.viz.safe_text import Piece, ScoredSpan, partition, visible

#: Red, green and blue of a score of 1, and of the strongest effect for a class. A score of 0 is the background.
HIGHLIGHT = (255, 153, 0)
#: of the strongest effect against a class. Readers who cannot tell red from green can tell these two
AGAINST = (77, 166, 255)
#: From this strength on, words are black. A dark page writes in white, which is hard to read on a strong background
STRONG = {HIGHLIGHT: 0.57, AGAINST: 0.64}
#: colour of the line under known evidence
EVIDENCE = "#00b8d9"


def to_html(
    text: str,
    spans: Iterable[ScoredSpan],
    titles: bool = True,
    evidence: Iterable[tuple[int, int]] = (),
    strongest: float | None = None,
) -> str:
    """One ``<div>`` with every scored span on a background as strong as its score.

    The text is escaped, its direction is left to the browser (``dir="auto"``), and
    control characters are shown instead of obeyed.

    Args:
        spans: ``(start, end, score)``, scores in [0, 1] or ``None`` (never seen by the model). With ``strongest`` they are
            effects with a sign.
        titles: whether hovering shows the score.
        evidence: ``(start, end)`` of known evidence. Spans that touch it are underlined.
        strongest: size of an effect that gets the full colour, above 0.
    """
    known, position, body = list(evidence), 0, ""
    for piece in partition(text, spans):
        end = position + len(piece.text)
        marked = bool(piece.text.strip()) and any(a < end and position < b for a, b in known)
        body += _html_piece(piece, titles, marked, strongest)
        position = end
    # without the last two, browsers print words and leave out what is behind them
    style = (
        "white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.7;"
        "-webkit-print-color-adjust:exact;print-color-adjust:exact"
    )
    return f'<div class="sidelight-text" dir="auto" lang="" style="{style}">{body}</div>'


def _html_piece(piece: Piece, titles: bool, marked: bool, strongest: float | None) -> str:
    content = html.escape(visible(piece.text), quote=True)
    if marked:
        content = f'<span style="border-bottom:2px solid {EVIDENCE}">{content}</span>'
    if piece.unread:
        title = ' title="not read by the model"' if titles else ""
        return f'<span style="opacity:.6;text-decoration:underline dotted"{title}>{content}</span>'
    if piece.score is None:
        return content
    r, g, b = HIGHLIGHT if strongest is None or piece.score > 0 else AGAINST
    score = _unit(piece.score if strongest is None else abs(piece.score) / strongest)
    title = f' title="{told(piece.score, signed=strongest is not None)}"' if titles else ""
    style = f"background-color:rgba({r},{g},{b},{score:.3f});border-radius:.2em"
    if score >= STRONG[r, g, b]:
        style += ";color:#000"
    return f'<span style="{style}"{title}>{content}</span>'


def told(value: float, signed: bool) -> str:
    """A score, or with ``signed`` an effect, as it is written for people.

    Example:
        >>> told(0.5, signed=False), told(0.034, signed=True)
        ('0.50', '+0.034')
    """
    return f"{value:+.2g}".replace("-", "\N{MINUS SIGN}") if signed else f"{_unit(value):.2f}"


def _unit(score: float) -> float:
    # NaN compares false with everything and would print as a colour name.
    return min(1.0, max(0.0, score)) if score == score else 0.0
