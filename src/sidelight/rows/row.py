"""Rows by number, each with its place in the user's data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from sidelight.core.columns import SAMPLE_COLUMNS
from sidelight.errors import InputError, SidelightError, first_line

#: columns that hold a label, in the order they are looked for
LABEL_COLUMNS = ("label", "labels")
#: what is longer is no row of a data frame but a column
MOST_COLUMNS = 1000


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
                return list(fetch(numbers))
            except Exception:  # noqa: BLE001  read one by one, the row to blame is found
                pass
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


def as_row(value: Any) -> Any:
    """A row of a table that knows the names of its columns, as a mapping. Others unchanged.

    Rows are those of pandas (``iloc``, ``apply``, ``iterrows``, ``itertuples``, ``to_records``), other named tuples, records
    of NumPy, and rows of databases.
    """
    if isinstance(value, tuple) and len(value) == 2 and _is_series(value[1]):
        value = value[1]  # of iterrows, with its place in front
    named = _named_values(value)
    return named if SAMPLE_COLUMNS.intersection(map(str, named)) else value


def _named_values(value: Any) -> dict[Any, Any]:
    """The values of a row by the names of their columns. Empty if ``value`` is no such row."""
    if _is_series(value):
        return dict(value.to_dict())
    if isinstance(value, np.void):
        return {name: plain(value[name]) for name in value.dtype.names or ()}
    if hasattr(value, "_fields") and hasattr(value, "_asdict"):
        return dict(value._asdict())
    if type(value).__name__ == "Row" and hasattr(value, "keys"):  # of sqlite3, which is no Mapping
        return dict(zip(value.keys(), value, strict=True))
    return {}


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
