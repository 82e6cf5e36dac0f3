"""Words, exact offsets and highlighting: what a text explanation shows to people."""

from sidelight.text.display import Piece, partition, visible
from sidelight.text.highlight import to_ansi, to_html, to_latex, to_rich
from sidelight.text.view import TextView, TruncationWarning, Word, build_view
from sidelight.text.words import word_spans

__all__ = [
    "Piece",
    "TextView",
    "TruncationWarning",
    "Word",
    "build_view",
    "partition",
    "to_ansi",
    "to_html",
    "to_latex",
    "to_rich",
    "visible",
    "word_spans",
]
