"""Texts of others, made harmless for a terminal, a table or the name of a file.

Labels, file names, column names and texts come from users, data sets and hubs. Printed raw they may move the cursor,
change the title of a window, start a formula in a spreadsheet, or leave the folder.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

#: the longest name of a file that we make, in bytes, so that endings still fit
LONGEST_NAME = 120
#: names that Windows keeps for devices
_DEVICES = re.compile(r"^(con|prn|aux|nul|com\d|lpt\d)$", re.IGNORECASE)
#: endings that writers of ours would take for the kind of file
_ENDINGS = re.compile(r"\.(png|svg|pdf|html?|json)$", re.IGNORECASE)
#: Spreadsheets take these for the beginning of a formula, in some countries the full-width signs too.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def short(text: str, longest: int = 80) -> str:
    """``text``, or its beginning with three dots if it has more than ``longest`` characters."""
    return text if len(text) <= longest else text[: longest - 3] + "..."


def is_utf8(text: str) -> bool:
    """Whether UTF-8 can hold ``text``. It cannot hold lone surrogates, with which Python reads other names of files."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def encodable(text: str) -> str:
    """``text`` with U+FFFD in place of each lone surrogate, so that tokenizers and files can take it.

    One character for one, so offsets stay true to the original.
    """
    if is_utf8(text):
        return text
    return "".join("\ufffd" if 0xD800 <= ord(c) <= 0xDFFF else c for c in text)


def for_csv(value: Any) -> Any:
    """A cell of a table that no spreadsheet takes for a formula: a text that begins like one gets an apostrophe.

    Numbers, flags and ``None`` stay as they are. Lone surrogates, which UTF-8 cannot hold, become U+FFFD.
    """
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = str(value).replace("\x00", "\ufffd")
    if not text.isascii():
        text = "".join("\ufffd" if 0xD800 <= ord(c) <= 0xDFFF else c for c in text)
    return "'" + text if text.startswith(_FORMULA) and not _is_number(text) else text


def csv_of(frame: Any) -> str:
    """A data frame as CSV without its index, its texts and headings made harmless (:func:`for_csv`)."""
    texts = [name for name in frame.columns if frame[name].dtype.kind not in "biufc"]
    safe = frame.assign(**{name: frame[name].map(for_csv, na_action="ignore") for name in texts})
    return str(safe.rename(columns=for_csv).to_csv(index=False))


def csv_of_records(columns: Sequence[str], records: Iterable[Mapping[str, Any]]) -> str:
    """Records as CSV under ``columns``, each value made harmless (:func:`for_csv`); a missing one is empty."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: for_csv(value) for key, value in record.items()} for record in records)
    return out.getvalue()


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", text) is not None


def for_file_name(text: Any, instead: str = "input") -> str:
    """A name for a file, without an ending, made of ``text``: no separators, no control characters, not too long.

    Args:
        text: any text, e.g. the stem of another file.
        instead: the name if nothing is left of it.
    """
    plain = re.sub(r"[^\w .()\[\]-]", "_", unicodedata.normalize("NFC", str(text)))
    plain = _ENDINGS.sub(r"_\1", plain).strip(" .")
    while len(plain.encode("utf-8")) > LONGEST_NAME:
        plain = plain[:-1]
    return f"_{plain}" if _DEVICES.match(plain) else plain or instead
