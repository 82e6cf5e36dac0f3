"""The places of data sets, and how their files are opened."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from sidelight.errors import ConfigError, InputError
from sidelight.rows.columns import require_names_once
from sidelight.rows.data_sets import class_names
from sidelight.rows.labels import is_whole, normal

log = logging.getLogger(__name__)

#: Environment variable naming the folder that holds ``<data set>/<split>.parquet``.
DATA_VARIABLE = "SIDELIGHT_DATA"


def find_folder(name: str, data_dir: str | None, *others: str) -> Path | None:
    """The local folder of data set ``name`` (or one of its ``others``), or ``None``.

    Args:
        data_dir: the folder that must hold it (default: ``$SIDELIGHT_DATA``, ``data``, then ``../shared/data``).
        others: names that it may have instead.

    Raises:
        InputError: ``data_dir`` is given and does not hold it.
    """
    places = [data_dir] if data_dir is not None else [os.environ.get(DATA_VARIABLE), "data", "../shared/data"]
    for place in places:
        found = [Path(place) / n for n in (name, *others) if (Path(place) / n).is_dir()] if place else []
        if found:
            return found[0]
    if data_dir is not None:
        raise InputError(f"no folder {name!r} in data_dir {data_dir!r}; expected {Path(data_dir) / name}.")
    return None


def split_file(folder: Path, split: str) -> Path:
    """``<split>.parquet`` in ``folder``. Raises :class:`InputError` if it is missing."""
    path = folder / f"{split}.parquet"
    if not path.is_file():
        raise InputError(f"no {path.name} in {folder}; it holds {sorted(p.name for p in folder.iterdir())}.")
    return path


def local_rows(name: str, split: str, data_dir: str | None, columns: Sequence[str], *others: str) -> Any:
    """Rows of ``<name>/<split>.parquet``, a data set that exists as a local copy only.

    Args:
        columns: that it must have.
        others: names that its folder may have instead.

    Raises:
        InputError: there is no such folder or file, or it lacks a column.
    """
    folder = find_folder(name, data_dir, *others)
    if folder is None:
        raise InputError(
            f"data set {name!r} is read from a local folder, and there is none. Set the environment "
            f"variable {DATA_VARIABLE}, or data.data_dir in the config, to a folder that holds {name}/{split}.parquet with the columns {', '.join(columns)}."
        )
    path = split_file(folder, split)
    rows = from_file(path)
    require_columns(rows, path, columns)
    return rows


def require_columns(rows: Any, path: Path, columns: Sequence[str]) -> None:
    """Raise :class:`InputError` if ``rows``, which were read from ``path``, lack one of the ``columns``."""
    missing = [c for c in columns if c not in rows.column_names]
    if missing:
        raise InputError(f"{path} lacks the column(s) {missing}; it has {rows.column_names}.")


def from_file(path: Path) -> Any:
    """A parquet file as a data set that stays on disk. Raises :class:`InputError` if it cannot be read."""
    import datasets
    import pyarrow.parquet

    try:
        names = pyarrow.parquet.read_schema(path).names
    except Exception as error:
        raise InputError(f"cannot read {path} as parquet ({error}); it may be truncated.") from error
    require_names_once(names, str(path))
    try:
        return datasets.Dataset.from_parquet(str(path))
    except Exception as error:
        raise InputError(f"cannot read {path} as parquet ({error}); it may be truncated.") from error


def from_hub(name: str, hub_id: str, split: str | None) -> Any:
    """A split of a data set on the hub. Raises :class:`InputError` if it cannot be had."""
    import datasets

    try:
        return datasets.load_dataset(hub_id, split=split)
    except Exception as error:
        raise InputError(
            f"data set {name!r} is neither in a local folder nor on the hub as {hub_id!r} ({error}). "
            f"Set {DATA_VARIABLE} or data.data_dir to a folder that holds {name}/{split or 'train'}.parquet."
        ) from error


def sample_rows(rows: Any, count: int | None, seed: int) -> Any:
    """``count`` rows drawn without replacement, in a fixed order for a seed."""
    if count is not None and count < 1:
        raise ConfigError(f"count must be at least 1; got {count}.")
    if count is None or count >= len(rows):
        return rows
    picks = np.random.default_rng(seed).permutation(len(rows))[:count]
    return rows.select(picks.tolist()) if hasattr(rows, "select") else [rows[int(i)] for i in picks]


def require_rows(rows: Any, name: str, split: str) -> None:
    """Refuse what the function of data set ``name`` returned for ``split`` if it is no sequence of rows, or an empty one.

    Raises:
        InputError: see above.
    """
    table = hasattr(rows, "iloc") or isinstance(rows, (Mapping, str, bytes))
    if not table and hasattr(rows, "__len__") and hasattr(rows, "__getitem__"):
        if len(rows) == 0:
            raise InputError(
                f"data set {name!r} has no rows in its split {split!r}. A run needs rows to train on (train), to check the "
                "training (validation) and to measure on (test), at least one of each."
            )
        return
    advice = " Of a data frame give frame.to_dict('records')." if hasattr(rows, "iloc") else ""
    raise InputError(
        f"the function of data set {name!r} must return a list of rows, [{{'image': ..., 'label': 0}}, ...]; got "
        f"{type(rows).__name__}.{advice}"
    )


def require_order(rows: Any, classes: Sequence[str], name: str) -> None:
    """Refuse rows that bring names for their label numbers (``datasets.ClassLabel``) and number ``classes`` otherwise.

    Raises:
        InputError: a name that both know has two numbers.
    """
    own = class_names(rows)
    known = {normal(n): number for number, n in enumerate(classes)}
    moved = [n for number, n in enumerate(own) if known.get(normal(n), number) != number]
    if moved:
        raise InputError(
            f"data set {name!r} is registered with the classes {', '.join(classes)}, but its rows number them in another "
            f"order: {', '.join(own)} ({moved[0]!r} is {own.index(moved[0])} in the rows, {known[normal(moved[0])]} in the "
            f"registration). Register the classes in the order of the rows, or number the rows as it was registered."
        )
    if own and not any(_alike(a, b) for a in map(normal, own) for b in known):
        _tell_other_names(name, own, tuple(classes))


def _alike(own: str, registered: str) -> bool:
    """Whether the name ``own`` may mean the class ``registered``: a number may mean any, and ``neg`` means ``negative``."""
    return is_whole(own) or own.startswith(registered) or registered.startswith(own)


@lru_cache  # a run reads its rows at each step
def _tell_other_names(name: str, own: tuple[str, ...], classes: tuple[str, ...]) -> None:
    log.warning(
        "the rows of data set %r name their classes %s, and it is registered with the classes %s. Label numbers are taken as they "
        "are, so results bear names that are not those of the rows. If these are rows of your own, register them as a data set "
        "with their classes (docs/extend/data-set.md).",
        name,
        ", ".join(own[:12]),
        ", ".join(classes[:12]),
    )
