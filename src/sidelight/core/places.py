"""Places that models are loaded from: folders of this machine, or ids of the hub."""

from __future__ import annotations

import os
from pathlib import Path


def known_place(name: str, local: bool | None = None) -> str | None:
    """``name`` if models can be loaded from there, else ``None``.

    A name that looks like a path of this machine is never looked for on the hub.

    Args:
        name: folder, hub id, or the class name of a model that came from nowhere.
        local: whether it was a folder when it was written down. ``None`` if that is not known.
    """
    if not name or "\0" in name:
        return None
    if _is_folder(name):
        return name
    path_like = (
        name.startswith((".", "/", "~", "\\")) or name.count("/") > 1 or "\\" in name or os.path.isabs(name)
    )
    if local or path_like or _is_class_name(name):
        return None
    return name


def _is_folder(name: str) -> bool:
    try:
        return Path(name).is_dir()
    except OSError:  # e.g. a name that is too long
        return False


def _is_class_name(name: str) -> bool:
    """Whether ``name`` is that of a Python class. The few hub ids without an owner are written otherwise."""
    return name.isidentifier() and name[:1].isupper() and any(c.isupper() for c in name[1:])
