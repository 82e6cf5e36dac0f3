"""Data that hold several splits, and which of them is taken."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sidelight.errors import InputError
from sidelight.rows.table_files import TABLES, suffix, visible

log = logging.getLogger(__name__)

#: names of splits: for training, and for validation
TRAINING, VALIDATION = ("train", "training"), ("validation", "valid", "val", "dev", "eval")
SPLITS = (*TRAINING, *VALIDATION, "test", "testing")


def splits_of(data: Any) -> dict[str, Any]:
    """The splits of a ``DatasetDict``, of a mapping with such names, or of a folder. Empty if there are none."""
    if isinstance(data, (str, os.PathLike)) and data and os.path.isdir(data):
        return _places(Path(data))
    if not isinstance(data, Mapping) or not data:
        return {}
    names = all(isinstance(k, str) and k.lower() in SPLITS for k in data)
    sets = all(kinds(v).keys() & {"datasets.Dataset", "datasets.IterableDataset"} for v in data.values())
    return dict(data) if names or sets else {}


def split_named(data: Any, names: Sequence[str]) -> Any:
    """The split of ``data`` that has one of the ``names``, or ``None``."""
    splits = {str(k).lower(): v for k, v in splits_of(data).items()}
    return next((splits[n] for n in names if n in splits), None)


def chosen_split(data: Any, splits: Mapping[str, Any], name: str) -> Any:
    """The one of the ``splits`` of ``data`` that the argument ``name`` means.

    Raises:
        InputError: none of several has a name that fits.
    """
    wanted = VALIDATION if name in ("eval", "validation") else TRAINING
    found = split_named(data, wanted)
    if found is None and len(splits) == 1:
        found = next(iter(splits.values()))
    first = next((key for key, one in splits.items() if one is not found), "")
    argument = f"{name}=" if name.isidentifier() else ""
    advice = f"give it by itself: its own folder or table, or in Python {argument}data[{str(first)!r}]"
    held = ", ".join(map(str, splits))
    if found is None:
        raise InputError(f"{name} holds the splits {held}. Choose one, e.g. {first}, and {advice}.")
    if name not in ("train", "eval", "validation") and len(splits) > 1:
        log.warning(
            "%s holds the splits %s: only the training split is read. To read %s, %s.",
            name,
            held,
            first,
            advice,
        )
    return found


def kinds(data: Any) -> dict[str, None]:
    """``package.Class`` of each class that ``data`` is of, the nearest first."""
    # by name, so that no library is imported to learn whether something is of it
    return dict.fromkeys(f"{c.__module__.split('.')[0]}.{c.__name__}" for c in type(data).__mro__)


def _places(folder: Path) -> dict[str, str]:
    """Paths of the folders or tables ``train``, ``validation``, ``test`` in ``folder``. Empty if there are others."""
    entries = [p for p in visible(folder) if p.is_dir() or suffix(p.name) in TABLES]
    places = {p.name.split(".")[0].lower(): str(p) for p in entries}
    known = bool(places) and len(places) == len(entries) and set(places) <= set(SPLITS)
    return places if known and set(places) & set(TRAINING) else {}
