"""Tables on disk whose rows are read in blocks, so that memory does not grow with a table."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from sidelight.errors import InputError, MissingPackageError, first_line
from sidelight.rows.beside import beside
from sidelight.rows.columns import pandas_rows, require_names_once
from sidelight.rows.row import Rows
from sidelight.rows.table_files import (
    declared_separator,
    open_text,
    read_frame,
    require_closed_quotes,
    require_header,
    require_lines,
    separator_of,
    suffix,
)

#: rows of a table in memory
BLOCK = 256
#: the longest cell of a table in which some lines have too many cells. The csv module has a limit of its own for the process
LONGEST_CELL = 2**31 - 1
_LIMIT = threading.Lock()


class BlockRows(Sequence[Any]):
    """Rows by number, of which one block is in memory. They are best read in their order.

    Args:
        begin: gives the blocks from the first one on. An error stands for a row that cannot be read.
        length: number of rows.
    """

    def __init__(self, begin: Callable[[], Iterator[Sequence[Any]]], length: int) -> None:
        self._begin_again, self._length = begin, length
        self._blocks: Iterator[Sequence[Any]] = iter(())
        self._rows: Sequence[Any] = ()
        # number of the first row in memory, and of the first row of the next block
        self._begin, self._next = 0, 0

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, number: Any) -> Any:
        if not 0 <= number < self._length:
            raise IndexError(number)
        if number < self._begin:
            self._blocks, self._rows, self._begin, self._next = iter(()), (), 0, 0
        while number >= self._next:
            if self._next == 0:
                self._blocks = self._begin_again()
            self._rows = next(self._blocks)
            self._begin, self._next = self._next, self._next + len(self._rows)
        found = self._rows[number - self._begin]
        if isinstance(found, Exception):
            raise found
        return found


# -- Parquet ---------------------------------------------------------------------------------


def parquet_rows(source: Path) -> Rows:
    """The rows of a Parquet file. Raises :class:`InputError` if it cannot be read, or two columns have one name."""
    try:
        rows = Rows(ParquetRows(source), "the table", cheap=True)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"cannot read {source} as Parquet ({first_line(error)}).") from error
    return beside(rows, source.parent)


class ParquetRows(BlockRows):
    """The rows of a Parquet file.

    Args:
        path: of the file.
        block: rows in memory.
    """

    def __init__(self, path: Path, block: int = BLOCK) -> None:
        from pyarrow.parquet import ParquetFile

        self.path, self.block = path, block
        with ParquetFile(path) as file:
            require_names_once(file.schema_arrow.names, str(path))
            length = int(file.metadata.num_rows)
        super().__init__(self._read, length)

    def _read(self) -> Iterator[Sequence[Any]]:
        from pyarrow.parquet import ParquetFile

        with ParquetFile(self.path, memory_map=True) as file:
            yield from (batch.to_pylist() for batch in file.iter_batches(self.block))


# -- JSON lines ------------------------------------------------------------------------------


def jsonl_rows(source: Path) -> Rows:
    """The rows of a file of JSON lines, which may be compressed. A line that is no JSON is an error of its row only.

    Raises:
        InputError: the file cannot be read, or is one JSON value over several lines.
    """
    try:
        require_lines(next(_lines(source), ""), source)
        length = sum(1 for _ in _lines(source))
    except InputError:
        raise
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"cannot read {source} as JSON lines ({first_line(error)}).") from error
    rows = BlockRows(lambda: _in_blocks(_parsed(_lines(source))), length)
    return beside(Rows(rows, "the table", cheap=True), source.parent)


def _lines(source: Path) -> Iterator[str]:
    with open_text(source) as file:
        yield from (line for line in file if line.strip())


def _parsed(lines: Iterable[str]) -> Iterator[Any]:
    for number, line in enumerate(lines):
        try:
            yield json.loads(line)
        except (ValueError, RecursionError) as error:
            yield InputError(f"row {number} of the table is no JSON ({first_line(error)}).")


def _in_blocks(rows: Iterable[Any], size: int = BLOCK) -> Iterator[Sequence[Any]]:
    left = iter(rows)
    while block := list(islice(left, size)):
        yield block


# -- CSV -------------------------------------------------------------------------------------


def csv_rows(source: Path) -> Rows:
    """The rows of a CSV or TSV file. A line with too many cells is an error of its row only.

    Raises:
        InputError: the file cannot be read, is no text in UTF-8, or has a quote that is never closed.
        MissingPackageError: pandas is not installed.
    """
    separator = "\t" if suffix(str(source)) == ".tsv" else ","
    try:
        separator = separator_of(source, separator)
        require_header(source, separator)
        rows: Rows = _frames(source, separator)
    except (InputError, MissingPackageError):
        raise
    except UnicodeDecodeError as error:
        raise InputError(
            f"{source} is no text in UTF-8 ({error.reason} at byte {error.start}). Save it as UTF-8."
        ) from error
    except Exception as error:
        require_closed_quotes(source, separator, BLOCK)
        found = _uneven(source, separator)
        if found is None:
            raise InputError(f"cannot read {source} as a table ({first_line(error)}).") from error
        rows = found
    return beside(rows, source.parent)


def _frames(source: Path, separator: str) -> Rows:
    def begin() -> Iterator[Any]:
        with read_frame(
            source, separator, chunksize=BLOCK
        ) as frames:  # closed with the generator, even half-way
            yield from frames

    # a table that cannot be read is known before the first pass
    length = sum(len(frame) for frame in begin())
    blocks = BlockRows(lambda: (list(pandas_rows(frame, "the table")) for frame in begin()), length)
    return Rows(blocks, "the table", cheap=True)


def _uneven(source: Path, separator: str) -> Rows | None:
    """The rows of a table in which some lines have too many cells, or ``None`` if it cannot be read at all."""
    try:
        names = list(read_frame(source, separator, nrows=0).columns)
        length = sum(1 for _ in _cells(source, separator)) - 1
    except (OSError, ValueError, csv.Error, StopIteration, EOFError):
        return None

    def begin() -> Iterator[Sequence[Any]]:
        lines = islice(_cells(source, separator), 1, None)
        return _in_blocks(_named(names, number, line) for number, line in enumerate(lines))

    return Rows(BlockRows(begin, length), "the table", cheap=True) if length > 0 else None


def _cells(source: Path, separator: str) -> Iterator[list[str]]:
    """The header and the rows. Blank lines are none, also above the header, as pandas reads a table."""
    blank = " \t\r\n".replace(separator, "")
    taken: list[str] = []  # lines of the file that make one row: several if a cell holds line breaks
    with open_text(source, newline="") as file:
        if declared_separator(source) is not None:
            file.readline()
        lines = csv.reader(_noted(file, taken), delimiter=separator)
        while (line := _next_line(lines)) is not None:
            if "".join(taken).strip(blank):
                yield line
            taken.clear()


def _noted(lines: Iterable[str], taken: list[str]) -> Iterator[str]:
    for line in lines:
        taken.append(line)
        yield line


def _next_line(lines: Iterator[list[str]]) -> list[str] | None:
    """The next line, whose cells may be of any length, or ``None``. The limit of the process stays what it was."""
    with _LIMIT:
        before = csv.field_size_limit(LONGEST_CELL)
        try:
            return next(lines, None)
        finally:
            csv.field_size_limit(before)


def _named(names: Sequence[str], number: int, line: list[str]) -> Any:
    if len(line) > len(names):
        return InputError(
            f"row {number} of the table has {len(line)} cells, and the header has {len(names)}. Put cells with separators "
            "in quotes, and end no row with a separator."
        )
    return dict(zip(names, line + [""] * (len(names) - len(line)), strict=True))
