"""Cut any string into words, the same way whatever the tokenizer.

Tokenizers disagree about words (WordPiece splits off every punctuation mark, SentencePiece none), so words
are found in the text itself: runs of letters, digits and their combining marks. URLs, addresses, hashtags and
mentions in one piece. Each CJK character and each emoji (with its modifiers and joiners) on its own. Runs of
other punctuation together. White space belongs to no word.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

_URL = re.compile(
    r"(?:https?://|www\.)[^\s<>\"]*[^\s<>\".,;:!?)\]}'»”]",  # without the sentence's own punctuation
    re.IGNORECASE,
)
_URL_START = re.compile(r"https?://|www\.", re.IGNORECASE)
#: what stands before and after the sign of an e-mail address
_BEFORE_AT, _AFTER_AT = re.compile(r"[\w.+-]"), re.compile(r"[\w-]+(?:\.[\w-]+)+")
_CJK = (
    (0x3005, 0x3007),  # iteration mark, closing mark, zero
    (0x3040, 0x309F),  # Hiragana
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x323AF),
)
_EXTENDERS = {"\u200d", "\u200c", "\u20e3"}  # joiners and the keycap
_INNER = {"'", "’", "-", "‐", "·"}  # part of a word when letters stand on both sides
_INNER_NUMBER = {".", ",", ":"}  # part of a number when digits stand on both sides
#: characters between white space, and the words of those that are ASCII. Most texts hold little else, and expressions are
#: many times as fast as :func:`_word_end`, which gives the same words.
_RUN = re.compile(r"\S+")
_PLAIN = re.compile(
    r"[#@]?\w+(?:(?:['-]|(?<=[0-9])[.,:](?=[0-9]))\w+)*"
    r"|[!-/:-@\[-^`{-~][!\"$-/:-?\[-^`{-~]*"  # punctuation, and more of it but for # and @
    r"|[\x00-\x08\x0e-\x1b\x7f]",
    re.ASCII,
)


@lru_cache(maxsize=65536)
def _kind(char: str) -> str:
    """One of ``space``, ``word``, ``cjk``, ``emoji``, ``flag``, ``extend``, ``punct``, ``control``."""
    code = ord(char)
    category = unicodedata.category(char)
    if char in _EXTENDERS or 0x1F3FB <= code <= 0x1F3FF or 0xE0020 <= code <= 0xE007F:
        return "extend"
    if char.isspace():
        return "space"
    if any(low <= code <= high for low, high in _CJK):
        return "cjk"
    if 0x1F1E6 <= code <= 0x1F1FF:
        return "flag"
    if category[0] == "M":
        return "extend"
    if category[0] in "LN" or char == "_":
        return "word"
    if category == "So" or (category == "Cn" and code >= 0x1F000):
        return "emoji"
    return "punct" if category[0] in "PS" else "control"


def word_spans(text: str) -> list[tuple[int, int]]:
    """Character spans ``(start, end)`` of the words of ``text``, in order, never overlapping.

    Every character that is not white space lies in exactly one span.

    Example:
        >>> text = "Don't miss #NLProc 👍🏽!"
        >>> [text[a:b] for a, b in word_spans(text)]
        ["Don't", 'miss', '#NLProc', '👍🏽', '!']
    """
    spans: list[tuple[int, int]] = []
    position = 0
    for start, end in _whole_spans(text):
        spans += _scan(text, position, start)
        spans.append((start, end))
        position = end
    return spans + _scan(text, position, len(text))


def _whole_spans(text: str) -> Iterator[tuple[int, int]]:
    """Spans of URLs and e-mail addresses, in order. Of two that overlap the one that begins first.

    The end of a URL is looked for only once it is the next, so that no character is read more than a few times.
    """
    url, address = _url_start(text, 0), _next_address(text, 0)
    while url >= 0 or address is not None:
        is_url = url >= 0 and (address is None or url <= address[0])
        match = _URL.match(text, url) if is_url else None
        span = match.span() if match is not None else address
        if is_url and match is None:
            url = _url_start(text, url + 1)
            continue
        assert span is not None  # the loop goes on only while there is one of the two
        yield span
        url = _url_start(text, span[1]) if 0 <= url < span[1] else url
        overlaps = address is not None and address[0] < span[1]
        address = _next_address(text, span[1]) if overlaps else address


def _url_start(text: str, start: int) -> int:
    match = _URL_START.search(text, start)
    return -1 if match is None else match.start()


def _next_address(text: str, first: int) -> tuple[int, int] | None:
    """The next e-mail address from ``first`` on, found by its sign: a search from the left takes quadratic time."""
    sign = text.find("@", first)
    while sign >= 0:
        start = sign
        while start > first and _BEFORE_AT.match(text[start - 1]):
            start -= 1
        match = _AFTER_AT.match(text, sign + 1) if start < sign else None
        if match is not None:
            return start, match.end()
        first = sign + 1
        sign = text.find("@", first)
    return None


def _scan(text: str, start: int, stop: int) -> list[tuple[int, int]]:
    if text.isascii():
        return [found.span() for found in _PLAIN.finditer(text, start, stop)]
    spans: list[tuple[int, int]] = []
    for run in _RUN.finditer(text, start, stop):
        plain = run.group().isascii()
        own = (m.span() for m in _PLAIN.finditer(text, *run.span())) if plain else _walk(text, *run.span())
        spans += own
    return spans


def _walk(text: str, start: int, stop: int) -> list[tuple[int, int]]:
    """Spans of the words in any text, character by character."""
    spans = []
    position = start
    while position < stop:
        if _kind(text[position]) == "space":
            position += 1
            continue
        end = _word_end(text, position, stop)
        spans.append((position, end))
        position = end
    return spans


def _word_end(text: str, start: int, stop: int) -> int:
    """End of the word that begins at ``start``."""
    kind = _kind(text[start])
    end = start + 1
    if text[start] in "#@＃＠" and end < stop and _kind(text[end]) == "word":
        kind = "word"
    while end < stop:
        char, following = text[end], _kind(text[end])
        glued = text[end - 1] == "\u200d" and following != "space"
        if following == "extend" or glued or _continues(text, end, stop, kind):
            end += 1
        elif kind == following == "flag":
            # Two regional indicators are one flag; a third one begins the next.
            return end + 1
        elif kind == following == "punct" and char not in "#@＃＠":
            end += 1
        else:
            break
    return end


def _continues(text: str, at: int, stop: int, kind: str) -> bool:
    """Whether the character ``at`` goes on with a word of letters and digits."""
    if kind != "word":
        return False
    if _kind(text[at]) == "word":
        return True
    if at + 1 >= stop or _kind(text[at + 1]) != "word":
        return False
    inner_number = text[at] in _INNER_NUMBER and text[at - 1].isdigit() and text[at + 1].isdigit()
    return text[at] in _INNER or inner_number
