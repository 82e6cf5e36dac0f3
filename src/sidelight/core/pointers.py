"""Pointers of Git LFS: what a clone that was made without Git LFS has in place of its large files."""

from __future__ import annotations

import os
from pathlib import Path

_HEAD = b"version https://git-lfs.github.com/"


def is_lfs_pointer(path: Path) -> bool:
    """Whether the file at ``path`` is a pointer of Git LFS."""
    try:
        with path.open("rb") as handle:
            return handle.read(len(_HEAD)) == _HEAD
    except OSError:
        return False


def told_of_pointer(place: str | os.PathLike[str], what: str = "content") -> str:
    """What to say of a pointer at ``place``, or of the first pointer in the folder ``place``. Empty if there is none.

    Args:
        place: a file or folder. A hub id is neither.
        what: the pointer stands for.
    """
    found = Path(place)
    try:
        files = sorted(p for p in found.iterdir() if p.is_file()) if found.is_dir() else [found]
    except OSError:
        return ""
    pointer = next((file for file in files if is_lfs_pointer(file)), None)
    if pointer is None:
        return ""
    return (
        f"{pointer} is a pointer of Git LFS in place of the {what}, because the repository was cloned without it. Run "
        "`git lfs pull` in the repository."
    )
