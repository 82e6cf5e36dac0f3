"""Names of a command's files: never those of its inputs, nor of files that somebody else wrote."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidelight.core.pointers import told_of_pointer
from sidelight.core.safe_output import for_file_name
from sidelight.errors import BusyFolderError, CheckpointError, InputError

if TYPE_CHECKING:
    from sidelight.core.shown import Drawable
    from sidelight.explanations.explanation import Explanation

#: seconds that a process waits for another one that writes to the same folder
PATIENCE_SECONDS = 60.0
#: seconds between two attempts
PAUSE_SECONDS = 0.05
#: endings of the files that one explanation becomes
ENDINGS = (".png", ".json", ".html")
#: most bytes of a file that is read as one text
LARGEST_TEXT = 16 * 2**20
#: endings of tables, which are no single text
_TABLES = (".csv", ".tsv", ".parquet", ".jsonl")


def saved(
    explanation: Explanation, out: Path, wanted: str, reading: Drawable = "scores"
) -> tuple[Path, Path, Path]:
    """Write ``explanation`` as a picture, as data and as a page, under a name that is free (:func:`free_stem`).

    Raises:
        InputError: there is no such reading.
    """
    from sidelight.explanations.saving import write

    _require_folder(out)
    with _in_turn(out):  # another process must not choose the same name
        stem = free_stem(out, wanted, _origin(explanation.meta))
        picture, data = write(explanation, Path(f"{stem}.png"), Path(f"{stem}.json"), reading)
        return picture, data, explanation.save_html(Path(f"{stem}.html"), reading)


@contextmanager
def _in_turn(out: Path) -> Iterator[None]:
    """Wait until no other process writes to ``out``, and keep others out within the block."""
    from sidelight.core.locks import hold

    ends = time.monotonic() + PATIENCE_SECONDS
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(hold(out, "explain"))
                break
            except BusyFolderError:
                if time.monotonic() > ends:
                    raise
                time.sleep(PAUSE_SECONDS)
        yield


def _origin(meta: Mapping[str, Any]) -> list[Any]:
    """The input and the scorer of an explanation: two explanations of both are the same."""
    return [meta.get("source"), meta.get("scorer")]


def _require_folder(out: Path) -> None:
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise CheckpointError(f"--out {str(out)!r} is a file or a link; name a folder.")


def free_stem(out: Path, wanted: str, origin: list[Any]) -> Path:
    """A path without ending in ``out``, under which an explanation may be written.

    A name gets a number if it belongs to a file of somebody else, to the explanation of another input, or to the
    input itself. An earlier explanation of the same input is replaced.

    Args:
        out: folder. It need not exist.
        wanted: the name. Characters that a file name cannot have are replaced.
        origin: the input and the scorer, as in the explanation's ``meta``.
    """
    name = for_file_name(wanted)
    taken = {p.name.lower() for p in out.iterdir()} if out.is_dir() else set()
    for number in count(1):
        stem = out / (name if number == 1 else f"{name}-{number}")
        files = [Path(f"{stem}{ending}") for ending in ENDINGS]
        if not any(f.name.lower() in taken for f in files) or _is_of(files, origin):
            return stem
    raise AssertionError("numbers never end")


def _is_of(files: list[Path], origin: list[Any]) -> bool:
    """Whether ``files`` explain the same input by the same scorer, and none of them is the input."""
    from sidelight.core.ownership import may_replace

    if any(_same(file, part) for file in files for part in origin[0] or []):
        return False
    return all(may_replace(file) for file in files) and _origin_of(files[1]) == origin


def _same(file: Path, part: str) -> bool:
    try:
        return os.path.samefile(file, part)
    except (OSError, ValueError):
        return False


def _origin_of(data: Path) -> Any:
    try:
        return _origin(json.loads(data.read_text(encoding="utf-8"))["meta"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def read_text_file(path: Path) -> str:
    """The text in a file.

    Raises:
        InputError: the file is a table, too large, no UTF-8, or a pointer of Git LFS.
    """
    if path.suffix.lower() in _TABLES:
        raise InputError(
            f"{path} is a table; explain its rows with --{path.suffix[1:].lower().replace('tsv', 'csv')}."
        )
    if path.stat().st_size > LARGEST_TEXT:
        raise InputError(
            f"{path} has {path.stat().st_size / 2**20:.0f} MB; a text may have {LARGEST_TEXT // 2**20}."
        )
    if told := told_of_pointer(path, "text"):
        raise InputError(told)
    try:
        return path.read_text(encoding="utf-8-sig").strip("\r\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text in UTF-8 ({error.reason} at byte {error.start}).") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}.") from error
