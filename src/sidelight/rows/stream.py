"""Rows that come one after another, and how they are kept in memory."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sidelight.errors import InputError, SidelightError
from sidelight.rows.row import Rows, as_row, size_in_memory, unreadable

log = logging.getLogger(__name__)

#: A stream of more rows or bytes is not kept in memory.
MOST_ROWS, MOST_BYTES = 100_000, 2 * 1024**3


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
        count = 0
        try:
            for row in self.rows:
                yield as_row(row)
                count += 1
        except SidelightError:
            raise
        except Exception as error:
            raise unreadable(count, self.name, error) from error


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
