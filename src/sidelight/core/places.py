"""Places that models are loaded from: folders of this machine, or ids of the hub."""

from __future__ import annotations

import os
import re
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
    if local or _is_path_like(name) or _is_class_name(name):
        return None
    return name


def name_elsewhere(name: str, local: bool | None = None) -> str:
    """``name`` for readers on other machines: of a path only the last part, because the rest is nobody's business.

    Args:
        name, local: as in :func:`known_place`.

    Example:
        >>> name_elsewhere("/home/me/models/vit"), name_elsewhere("me/vit")
        ('vit', 'me/vit')
    """
    if local or is_path(name):
        return re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    return name


def is_path(name: str) -> bool:
    """Whether ``name`` is a folder of this machine, or looks like one of some machine."""
    return _is_path_like(name) or _is_folder(name)


def _is_path_like(name: str) -> bool:
    return (
        name.startswith((".", "/", "~", "\\")) or name.count("/") > 1 or "\\" in name or os.path.isabs(name)
    )


def _is_folder(name: str) -> bool:
    try:
        return Path(name).is_dir()
    except OSError:  # e.g. a name that is too long
        return False


def _is_class_name(name: str) -> bool:
    """Whether ``name`` is that of a Python class. The few hub ids without an owner are written otherwise."""
    return name.isidentifier() and name[:1].isupper() and any(c.isupper() for c in name[1:])
