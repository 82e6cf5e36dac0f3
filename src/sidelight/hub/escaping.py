"""Words of others in Markdown: they show as they are, and make no link, picture, heading or HTML."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence

from sidelight.core.safe_output import short

#: signs that mean nothing in Markdown, wherever they stand in a line
_PLAIN = re.compile(r"[A-Za-z0-9 ,;%/()'.-]")


def escape(value: object, longest: int = 200) -> str:
    """``value`` as Markdown that shows it literally, on one line.

    Every sign with a meaning becomes an entity. Control characters are left out, as are those that turn the direction of
    the text.

    Example:
        >>> escape("<b>[x](http://a)</b>|")
        '&#60;b&#62;&#91;x&#93;(http&#58;//a)&#60;/b&#62;&#124;'
    """
    text = short(" ".join(_visible(str(value)).split()), longest)
    found = "".join(c if _PLAIN.match(c) or ord(c) > 127 else f"&#{ord(c)};" for c in text)
    return re.sub(
        r"(?i)\bwww\.", lambda match: f"{match[0][:-1]}&#46;", found
    )  # which GitHub makes a link of


def plain(value: object, longest: int = 200) -> str:
    """``value`` on one line without control characters, for values of the metadata block."""
    return short(" ".join(_visible(str(value)).split()), longest)


def _visible(text: str) -> str:
    kept = (c if not unicodedata.category(c).startswith("C") or c in "\t\n\r" else "\ufffd" for c in text)
    return "".join(kept)


def code_block(text: str, language: str = "") -> str:
    """``text`` in a fence that is longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def table(heading: Sequence[str], rows: Iterable[Sequence[str]], numbers: Collection[int] = ()) -> str:
    """A Markdown table of cells that are escaped already. The columns ``numbers`` stand at the right."""
    ruler = ["---:" if column in numbers else "---" for column in range(len(heading))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [heading, ruler, *rows])
