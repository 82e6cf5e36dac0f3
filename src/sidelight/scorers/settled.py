"""Reading of a folder that another process may write at the same time."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from sidelight.errors import CheckpointError

T = TypeVar("T")
#: so many times a folder is read that changes meanwhile
READS = 5


def settled(folder: Path, files: Sequence[str], read: Callable[[], T]) -> T:
    """What ``read`` gives. If it fails, and files of ``folder`` changed meanwhile, they are read again.

    A folder that is replaced while it is read gives files of two scorers, which look damaged together.

    Args:
        files: names that ``read`` opens.

    Raises:
        CheckpointError: ``read`` fails, or the files change each time.
    """
    for _ in range(READS):
        before = _states(folder, files)
        try:
            return read()
        except CheckpointError:
            if _states(folder, files) == before:
                raise
    raise CheckpointError(
        f"{folder} is written by another process while it is read. Call again when that is done."
    )


def _states(folder: Path, files: Sequence[str]) -> list[tuple[int, int, int] | None]:
    return [_state(folder / name) for name in files]


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
