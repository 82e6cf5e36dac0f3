"""A warning for texts that are names of files, because whoever gave one probably meant what the file holds."""

from __future__ import annotations

import os

from sidelight.core.quiet import is_told, sample_name, warn
from sidelight.inputs.base import Batch
from sidelight.rows.table_files import TABLES, suffix

#: longer texts name no file
_LONGEST = 1024
#: begin the name of another machine, which is not asked
_OTHER_MACHINES = ("//", "\\\\")


class FileNameWarning(UserWarning):
    """A text is the name of a file. The name itself was read, and not what the file holds."""


def tell_file_names(batch: Batch) -> None:
    """Warn if a text of ``batch`` is the name of a file here.

    Never for texts that a stranger sent, because the warning says which files there are: a service has told it already
    (:func:`~sidelight.core.quiet.told_once`), so no file is looked for.

    Warns: FileNameWarning: see above.
    """
    if batch.texts is None or is_told(FileNameWarning):
        return
    named = [(i, part) for i, parts in enumerate(batch.texts.texts) for part in parts if _names_file(part)]
    if not named:
        return
    first, text = named[0]
    path = os.path.expanduser(text)
    others = f" So are {len(named) - 1} more texts that were read with it." if len(named) > 1 else ""
    rows = f"the rows of the file, call explainer.explain(Path({path!r}))"
    content = f"what the file holds, give that as the text, e.g. Path({path!r}).read_text()"
    warn(
        f"{sample_name(first)}, {text!r}, is the name of a file, and was read as a text: a string is always a text here."
        f"{others} To explain {rows if suffix(path) in TABLES else content}.",
        FileNameWarning,
        stacklevel=3,
    )


def _names_file(text: str) -> bool:
    """Whether ``text`` names a file that exists. A word without an ending is a word, whatever lies in the folder."""
    short = len(text) <= _LONGEST and "\n" not in text and not text.startswith(_OTHER_MACHINES)
    return short and "." in text and bool(suffix(text)) and os.path.isfile(os.path.expanduser(text))
