"""Rows that come one after another, and how they are kept in memory."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from sidelight.errors import InputError, SidelightError
from sidelight.rows.row import Labelled, Rows, as_row, size_in_memory, unreadable

log = logging.getLogger(__name__)

#: A stream of more rows or bytes is not kept in memory.
MOST_ROWS, MOST_BYTES = 100_000, 2 * 1024**3


class SourceError(InputError):
    """A stream failed between two rows, and has no more of them."""


@dataclass(frozen=True)
class Stream:
    """Rows that come one after another, once.

    Attributes:
        rows: iterable, once.
        name: of the argument that the user gave.
        label_names: class names by the label's number, if the data have them.
    """

    rows: Iterable[Any]
    name: str
    label_names: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Any]:
        for row in self.attempts():
            if isinstance(row, SidelightError):
                raise row
            yield row

    def attempts(self) -> Iterator[Any]:
        """The rows. If one cannot be taken, the error takes its place.

        If the source itself fails, there are no more rows: :class:`SourceError` is the last.
        """
        rows, count = iter(self.rows), 0
        while True:
            try:
                row = next(rows)
            except StopIteration:
                return
            except Exception as error:  # noqa: BLE001 - of the source
                told = error if isinstance(error, SidelightError) else unreadable(count, self.name, error)
                ended = SourceError(f"{told} A source that failed gives no more rows.")
                ended.__cause__ = error
                yield ended
                return
            yield _taken(row)
            count += 1


class TakenStream(Stream):
    """Rows of another stream's :meth:`Stream.attempts`, which were taken and copied there already."""

    def attempts(self) -> Iterator[Any]:
        return iter(self.rows)


def _taken(row: Any) -> Any:
    try:
        return owned(as_row(row))
    except SidelightError as error:
        return error


def owned(row: Any) -> Any:
    """``row`` with arrays and tensors of its own. A reader of a camera or video gives each picture in the same memory."""
    if isinstance(row, np.ndarray):
        return row.copy()
    if isinstance(row, Tensor):
        return row.clone()
    if type(row) is dict:
        return {name: owned(value) for name, value in row.items()}
    return type(row)(map(owned, row)) if type(row) in (tuple, Labelled) else row


def collected(stream: Stream, most: int, most_bytes: int) -> Rows:
    """The rows of ``stream`` in a list, so that later epochs find them again."""
    rows: list[Any] = []
    size = 0
    for row in stream:
        if len(rows) >= most or size > most_bytes:
            raise InputError(
                f"{stream.name} is a stream of more than {len(rows):,} rows ({size / 2**20:.0f} MiB): a training reads "
                f"rows several times, so they are kept in memory, up to {most:,} rows and {most_bytes / 2**30:.0f} GiB. "
                "Take fewer: data.take(n) of a datasets stream, itertools.islice(data, n) of an iterator. "
                "Or give data that lie on disk: a datasets.Dataset, a table or a folder."
            )
        rows.append(row)
        size += size_in_memory(row)
    log.info("%s: a stream; its %d rows (%.1f MiB) are kept in memory", stream.name, len(rows), size / 2**20)
    return Rows(rows, stream.name, stream.label_names, cheap=True)
