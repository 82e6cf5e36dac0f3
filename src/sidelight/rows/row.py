"""Rows by number, each with its place in the user's data."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
from torch import Tensor

from sidelight.core.columns import SAMPLE_COLUMNS
from sidelight.core.counted import repeated
from sidelight.errors import InputError, SidelightError, first_line

#: columns that hold a label, in the order they are looked for
LABEL_COLUMNS = ("label", "labels")
#: what is longer is no row of a data frame but a column
MOST_COLUMNS = 1000


class Labelled(tuple[Any, Any]):
    """A sample and its label, where it is known that the second is the label and not the second text of a pair."""

    __slots__ = ()


class Rows(Sequence[Any]):
    """A data set by row number.

    Args:
        base: has a length and takes whole numbers.
        name: of the argument that the user gave it as, for messages.
        label_names: class names by the label's number, if the data have them.
        labels: the labels, if they can be read without the rows.
        cheap: whether reading a row opens no file and computes nothing.
        numbers: of the rows of ``base`` to show. Default: all, in their order.
    """

    def __init__(
        self,
        base: Any,
        name: str = "train",
        label_names: Sequence[str] = (),
        labels: Any = None,
        cheap: bool = False,
        numbers: Sequence[int] | None = None,
    ) -> None:
        self.base, self.name, self.cheap = base, name, cheap
        self.label_names = tuple(str(n) for n in label_names)
        self._labels = labels
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self.base) if self._numbers is None else len(self._numbers)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self.pick(range(len(self))[index])
        return self._read(self.number(index))

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Several rows at once, which a ``datasets.Dataset`` reads in one go."""
        numbers = [self.number(i) for i in indices]
        fetch = getattr(self.base, "__getitems__", None)
        if fetch is not None:
            try:
                found = fetch(numbers)
            except Exception:  # noqa: BLE001  read one by one, the row to blame is found
                found = None
            if isinstance(found, (list, tuple)) and len(found) == len(numbers):  # else it is no list of rows
                return list(found)
        return [self._read(number) for number in numbers]

    def number(self, index: int) -> int:
        """Which row of the user's data the row ``index`` is, counted from 0."""
        position = range(len(self))[index]
        return position if self._numbers is None else int(self._numbers[position])

    def pick(self, indices: Sequence[int]) -> Rows:
        """The rows ``indices`` of these. Each keeps its number."""
        numbers = [self.number(i) for i in indices]
        return Rows(self.base, self.name, self.label_names, self._labels, self.cheap, numbers)

    def whole(self) -> Any:
        """The original tensor, list or ``datasets.Dataset`` of these rows if there is one, else the rows."""
        if self._numbers is None and isinstance(self.base, (Tensor, np.ndarray, list, tuple)):
            return self.base
        if hasattr(self.base, "with_format") and hasattr(self.base, "select"):
            return self.base if self._numbers is None else self.base.select(self._numbers)
        return self

    def labels(self) -> list[Any] | None:
        """The labels of all rows if they can be read without the rows, else ``None``."""
        if self._labels is None:
            return None
        values = list(self._labels[:])  # a column of a data set reads a slice at once
        return values if self._numbers is None else [values[n] for n in self._numbers]

    def _read(self, number: int) -> Any:
        try:
            return as_row(self.base[number])
        except SidelightError:
            raise
        except Exception as error:
            raise unreadable(number, self.name, error) from error


def unreadable(number: int, name: str, error: Exception) -> InputError:
    """The error for row ``number`` of the argument ``name``, which could not be read."""
    return InputError(f"row {number} of {name} cannot be read ({type(error).__name__}: {first_line(error)}).")


@dataclass(frozen=True)
class Numbered:
    """A row on its way to the model, with its place in the user's data."""

    row: Any
    number: int
    name: str


class NumberedRows(Sequence[Numbered]):
    """``rows`` as :class:`Numbered`, for a loader that shuffles them."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return Numbered(self.rows[index], self.rows.number(index), self.rows.name)

    def __getitems__(self, indices: Sequence[int]) -> list[Numbered]:
        found = self.rows.__getitems__(indices)
        return [
            Numbered(row, self.rows.number(i), self.rows.name) for row, i in zip(found, indices, strict=True)
        ]


def plain(value: Any) -> Any:
    """A number of NumPy as a number of Python. Other values are returned unchanged."""
    return value.item() if isinstance(value, np.generic) else value


def as_row(value: Any, columns: Sequence[str] = ()) -> Any:
    """A row of a table that knows the names of its columns, as a mapping. Others unchanged.

    Rows are those of pandas (``iloc``, ``apply``, ``iterrows``, ``itertuples``, ``to_records``), other named tuples, records
    of NumPy, data classes, scalars of Arrow, and rows of databases.

    Args:
        columns: of the samples, if their names are not the usual ones.

    Raises:
        InputError: two columns of samples or labels have one name.
    """
    value = value.as_py() if hasattr(type(value), "as_py") else value
    if isinstance(value, (str, bytes, Mapping)):
        return value
    row = value[1] if _is_numbered_series(value) else value
    named = _named_values(row)
    known = SAMPLE_COLUMNS.union(columns)
    if not known.intersection(str(name) for name, _ in named) and not _must_be_named(row, named):
        return value  # such as samples with a column of labels, or a pair of texts with names of its own
    names = [str(name) for name, _ in named]
    twice = [n for n in repeated(names) if n in known.union(LABEL_COLUMNS)]
    if twice:
        raise InputError(f"a row has several columns {', '.join(twice)}: name each column once.")
    others = [v for name, v in named if name not in LABEL_COLUMNS]
    if isinstance(row, tuple) and len(named) == 2 and len(others) == 1 and not known.intersection(names):
        return Labelled((others[0], next(v for name, v in named if name in LABEL_COLUMNS)))
    return dict(named)


def _named_values(row: Any) -> list[tuple[Any, Any]]:
    """The values of ``row`` with the names of their columns. Empty if there are no names."""
    if _is_series(row):
        return list(row.items())
    if _is_record(row):
        return list(zip(row.dtype.names, row.tolist(), strict=True))
    if isinstance(row, tuple):
        return list(row._asdict().items()) if hasattr(row, "_asdict") and hasattr(row, "_fields") else []
    if is_dataclass(row) and not isinstance(row, type):
        return [(field.name, getattr(row, field.name)) for field in fields(row)]
    return list(zip(row.keys(), row, strict=True)) if _is_database_row(row) else []


def _must_be_named(row: Any, named: Sequence[tuple[str, Any]]) -> bool:
    """Whether ``row`` would be misread by the places of its values.

    So would rows of a data frame or of a database, and named tuples whose label is not behind the sample, or is a text.
    """
    if not isinstance(row, tuple):
        return _is_record(row) or _is_database_row(row)
    if len(named) < 2:
        return False
    of_table = type(row).__name__ == "Pandas" or named[0][0] == "Index" or hasattr(row, "_mapping")
    labels = [(place, value) for place, (name, value) in enumerate(named) if name in LABEL_COLUMNS]
    return of_table or any(place < len(named) - 1 or isinstance(value, str) for place, value in labels)


def _is_record(value: Any) -> bool:
    """Whether ``value`` is a record of NumPy with names, which may be masked."""
    single = isinstance(value, np.void) or (isinstance(value, np.ndarray) and value.ndim == 0)
    return single and bool(value.dtype.names)


def _is_database_row(value: Any) -> bool:
    """Whether ``value`` is a row of sqlite3, asyncpg or psycopg2: a sequence of values that has ``keys`` but is no mapping."""
    kind = type(value)
    return (
        all(callable(getattr(kind, name, None)) for name in ("keys", "__getitem__", "__len__", "__iter__"))
        and ("Row" in kind.__name__ or "Record" in kind.__name__)
        and not isinstance(value, Mapping)
    )


def _is_numbered_series(value: Any) -> bool:
    """Whether ``value`` is a row of ``iterrows`` or ``items``: its place in front, and not a column of samples."""
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and isinstance(value[0], Hashable)
        and _is_series(value[1])
    )


def _is_series(value: Any) -> bool:
    """Whether ``value`` is a ``Series`` that may be a row. A column is one, too: numbers or names of rows are its labels."""
    return hasattr(value, "iloc") and getattr(value, "ndim", 0) == 1 and len(value) <= MOST_COLUMNS


def are_records(value: Any) -> bool:
    """Whether ``value`` is an array of NumPy whose elements are rows with names for their columns."""
    return isinstance(value, np.ndarray) and value.ndim > 0 and bool(value.dtype.names)


def scalar(value: Any) -> Any:
    """The number in a tensor or array of one element. Other values are as of :func:`plain`."""
    one = isinstance(value, (Tensor, np.ndarray)) and np.prod(value.shape) == 1
    return plain(value.item() if one else value)


def size_in_memory(row: Any) -> int:
    """About how many bytes ``row`` takes: its texts, bytes, arrays, tensors and pictures."""
    if isinstance(row, Mapping):
        return sum(size_in_memory(v) for v in row.values())
    if isinstance(row, (tuple, list)):
        return sum(size_in_memory(v) for v in row)
    if isinstance(row, (str, bytes)):
        return len(row)
    if isinstance(row, (np.ndarray, Tensor)):
        return int(row.nbytes)
    if hasattr(row, "getbands"):
        return int(row.width * row.height * len(row.getbands()))
    return 8
