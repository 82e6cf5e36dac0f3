"""Data sets of the Hugging Face hub: by id, or as a folder that is laid out like a repository of the hub."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from sidelight.core.optional import optional
from sidelight.core.places import known_place
from sidelight.errors import InputError, first_line
from sidelight.rows.splits import SPLITS, splits_of
from sidelight.rows.table_files import PICTURES, TABLES, suffix, visible

#: before an id, for one without an owner, e.g. ``hf://datasets/imdb``
PREFIX = "hf://datasets/"
_ID = re.compile(r"[\w][\w.-]*(?:/[\w][\w.-]*)?")
#: ``train-00000-of-00001.parquet`` and the like
_SHARD = re.compile(rf"(?:{'|'.join(SPLITS)})(?:[-_.].*)?", re.IGNORECASE)


def fetched(data: Any, name: str) -> Any:
    """``data``, or the splits of the data set if it is an id of the hub or such a folder.

    Args:
        data: whatever a user gave. ``"owner/name"``, ``"owner/name@revision"`` and ``"hf://datasets/name"`` are ids, unless
            a file or folder has this name.
        name: of the argument, for messages.

    Raises:
        InputError: the hub has no such data set, it cannot be reached, or the data set has several configurations.
        MissingPackageError: the package ``datasets`` is not installed.
    """
    if not isinstance(data, (str, os.PathLike)):
        return data
    text = os.fspath(data)
    if not isinstance(text, str):
        return data
    if is_hub_folder(text):
        return _loaded(text, None, name)
    found = hub_id(text) if isinstance(data, str) else None
    return data if found is None else _loaded(found[0], found[1], name)


def split_of_hub(place: str, split: str, name: str) -> Any:
    """The split called ``split`` of the data set that ``place`` names. ``name`` is that of the argument.

    Raises:
        InputError: it has no such split, or see :func:`fetched`.
    """
    splits = splits_of(fetched(place, name))
    if split not in splits:
        held = f"It has: {', '.join(map(str, splits))}." if splits else "It has none."
        raise InputError(f"{name}: {place!r} has no split {split!r}. {held}")
    return splits[split]


def hub_id(text: str) -> tuple[str, str | None] | None:
    """The id of a data set and its revision, or ``None`` if ``text`` is a path or something else.

    Example:
        >>> hub_id("me/tweets@v2"), hub_id("tweets.csv"), hub_id("hf://datasets/imdb")
        (('me/tweets', 'v2'), None, ('imdb', None))
    """
    place, _, revision = text.removeprefix(PREFIX).partition("@")
    marked = text.startswith(PREFIX)
    if not _ID.fullmatch(place) or (not marked and place.count("/") != 1):
        return None
    if not marked and (os.path.exists(text) or known_place(place) is None):
        return None
    if not marked and suffix(place) in (*TABLES, *PICTURES):
        return None
    return place, revision or None


def is_hub_folder(text: str) -> bool:
    """Whether a folder holds the tables of a data set as the hub keeps them: ``data/train-00000-of-00001.parquet``."""
    if not text or "\0" in text or not os.path.isdir(text) or splits_of(text):
        return False
    folder = Path(text)
    inner = folder / "data"
    places = [folder, *([inner] if inner.is_dir() else [])]
    tables = [p for place in places for p in visible(place) if p.is_file() and suffix(p.name) in TABLES]
    return bool(tables) and all(_SHARD.fullmatch(p.name) for p in tables)


def _loaded(place: str, revision: str | None, name: str) -> Any:
    datasets = optional("datasets", "reading a data set of the hub")
    try:
        return datasets.load_dataset(place, revision=revision)
    except Exception as error:  # datasets and its transport have many kinds of errors
        raise InputError(
            f"{name}: {place!r} is neither a file nor a folder here, and the hub gives no data set of this name "
            f"({first_line(error)}). Check the name and the connection. If the data set has several configurations, or is "
            f"private, load it yourself: {name}=datasets.load_dataset({place!r}, ...)."
        ) from error
