"""Rows of data that are given by column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from sidelight.core.counted import an, repeated
from sidelight.errors import InputError
from sidelight.rows.row import LABEL_COLUMNS, Rows, plain, scalar


class Columns(Sequence[Any]):
    """Columns of one length as rows. Each row is a mapping if the columns have names, else a tuple.

    Args:
        columns: sequences by name, or in a list.
    """

    def __init__(self, columns: Mapping[Any, Any] | Sequence[Any]) -> None:
        named = columns.items() if isinstance(columns, Mapping) else enumerate(columns)
        self.columns = {key: positional(column) for key, column in named}
        self.named = isinstance(columns, Mapping)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, index: Any) -> Any:
        row = {key: plain(column[index]) for key, column in self.columns.items()}
        return row if self.named else tuple(row.values())


class Column(Sequence[Any]):
    """One column as samples. Whole numbers count places."""

    def __init__(self, values: Any) -> None:
        self.values = positional(values)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Any) -> Any:
        return plain(self.values[index])


def positional(column: Any) -> Any:
    """``column`` so that whole numbers count places. A column of pandas looks them up among its labels.

    A mapping of columns is a column of rows.
    """
    if isinstance(column, Mapping):
        return Columns(column)
    return column.array if hasattr(column, "iloc") else column


def column_rows(data: Any, name: str) -> Rows:
    """One column as rows."""
    return Rows(Column(data), name, cheap=True)


def pandas_rows(data: Any, name: str) -> Rows:
    """The rows of a data frame of pandas. Raises :class:`InputError` if two columns have one name."""
    names = list(data.columns)
    require_names_once(names, name)
    return _named({n: data[n] for n in names}, name)


def require_names_once(names: Sequence[Any], name: str) -> None:
    """Raise :class:`InputError` if two columns of the table ``name`` have one name. A row would hold the last of them alone."""
    twice = sorted(map(str, repeated(names)))
    if twice:
        raise InputError(f"{name} has several columns {', '.join(twice)}: name each column once.")


def polars_rows(data: Any, name: str) -> Rows:
    """The rows of a data frame of polars."""
    return _named({n: data[n].to_list() for n in data.columns}, name)


def mapping_rows(data: Mapping[Any, Any], name: str) -> Rows:
    """The rows of columns by name. Raises :class:`InputError` if a value is no column, or lengths differ."""
    if not data:
        raise InputError(f"{name} is empty: give at least one row.")
    if not are_columns(data):
        odd = next(k for k, v in data.items() if not _is_column(v))
        raise InputError(
            f"{name} is a mapping whose {odd!r} is no column but {an(type(data[odd]).__name__)}. Give columns "
            "{'text': [...], 'label': [...]}, or put rows in a list: [{'text': ..., 'label': ...}, ...]."
        )
    _require_one_length(data, name)
    return _named(data, name)


def zipped_rows(columns: Sequence[Any], name: str) -> Rows:
    """The rows of columns without names, such as ``(samples, labels)``, which must be of one length.

    A data frame of samples is a column of rows. One of labels is a column of numbers, or of flags of independent labels.
    """
    samples, *labels = columns
    samples = pandas_rows(samples, name) if _is_frame(samples) else samples
    held = Columns([samples, *(_flags(column) if _is_frame(column) else column for column in labels)])
    called = (
        ("samples", "labels") if len(columns) == 2 else [f"column {place}" for place in range(len(columns))]
    )
    _require_one_length(dict(zip(called, held.columns.values(), strict=True)), name)
    return Rows(held, name, cheap=True)


def are_columns(data: Mapping[Any, Any]) -> bool:
    """Whether every value is a column. A row may hold lists too, but beside a text or a number."""
    return bool(data) and all(_is_column(v) for v in data.values())


def are_samples_and_labels(data: tuple[Any, ...] | list[Any]) -> bool:
    """Whether ``data`` is ``(samples, labels)``, two columns, and not two rows. A batch of a loader has them in a list."""
    if len(data) != 2:
        return False
    samples, labels = data
    if isinstance(data, list):
        # of pairs a loader gives the firsts and the seconds, which are no samples
        listed = isinstance(samples, (list, tuple)) and not any(isinstance(s, (list, tuple)) for s in samples)
        several = listed or (isinstance(samples, Tensor) and samples.ndim > 3)
        numbers = isinstance(labels, Tensor) and labels.ndim == 1 and not labels.is_floating_point()
        return several and (numbers or _are_flags(labels, samples))
    many = isinstance(samples, (Tensor, np.ndarray)) and samples.ndim >= 3
    # texts, paths or pictures in an array, as a split of scikit-learn gives them
    many = many or (isinstance(samples, np.ndarray) and samples.ndim == 1 and samples.dtype.kind in "OUT")
    flat = getattr(labels, "ndim", 1) == 1 and isinstance(labels, (Tensor, np.ndarray, list, tuple))
    flat = flat or _are_flags(labels, samples)
    listed = isinstance(samples, list) and len(samples) > 2
    return bool((many or listed or hasattr(samples, "iloc")) and (flat or hasattr(labels, "iloc")))


def require_rows(data: Sequence[Any], name: str) -> None:
    """Refuse a list of samples and labels, whose two columns would be read as two rows. A tuple of them is taken.

    Raises:
        InputError: see above.
    """
    if (
        not isinstance(data, list)
        or len(data) != 2
        or not all(map(_is_column, data))
        or any(map(_is_frame, data))
    ):
        return
    samples, labels = map(positional, data)
    if len(samples) != len(labels) or len(samples) < 4:  # a pair of texts, perhaps with a label, is shorter
        return
    first, label = scalar(samples[0]), scalar(labels[0])
    named = isinstance(label, str) and not isinstance(first, str)
    if (named or type(label) in (bool, int)) and not isinstance(first, (int, float)):
        raise InputError(
            f"{name} is a list of two columns with {len(samples)} values each. Samples and labels are given as a tuple, "
            "(samples, labels), or as a dictionary of columns, {'text': [...], 'label': [...]} (or 'image')."
        )


def _are_flags(labels: Any, samples: Any) -> bool:
    """Whether ``labels`` has a row of flags for each of ``samples``. Beside three axes it may be a second picture."""
    return isinstance(labels, (Tensor, np.ndarray)) and labels.ndim == 2 and getattr(samples, "ndim", 1) != 3


def _is_frame(column: Any) -> bool:
    return hasattr(column, "iloc") and hasattr(column, "columns")


def _flags(labels: Any) -> Any:
    """A data frame of labels as a column: its only one, or a row of flags for each sample."""
    return labels.iloc[:, 0] if labels.shape[1] == 1 else labels.to_numpy()


def _named(data: Mapping[Any, Any], name: str) -> Rows:
    columns = Columns(data)
    labels = next((columns.columns[c] for c in LABEL_COLUMNS if c in columns.columns), None)
    return Rows(columns, name, labels=labels, cheap=True)


def _require_one_length(columns: Mapping[Any, Any], name: str) -> None:
    lengths = {key: len(column) for key, column in columns.items()}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{n} of {key!r}" for key, n in lengths.items())
        raise InputError(f"the columns of {name} differ in length: {counts}. Give one value a row.")


def _is_column(value: Any) -> bool:
    if isinstance(value, (Tensor, np.ndarray)):
        return bool(value.ndim >= 1)
    sized = hasattr(value, "__len__") and hasattr(value, "__getitem__")
    return sized and not isinstance(value, (str, bytes, Mapping))
