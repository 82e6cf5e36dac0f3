"""A table or folder of many samples, a bad line of which is an error of its row only, and whether it is still the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sidelight.core.columns import column_of, holds_modality, naming
from sidelight.core.registry import nearest
from sidelight.errors import InputError, InputTypeError
from sidelight.rows.beside import FilesBeside, found_beside, may_be_named
from sidelight.rows.row import Rows
from sidelight.rows.table_blocks import csv_rows, jsonl_rows, parquet_rows
from sidelight.rows.table_files import (
    FILE_COLUMN,
    first_row,
    require_content,
    tables_and_pictures,
)

#: a folder with one of these files is a data set, not only pictures
_DATA_SETS = ("dataset_info.json", "dataset_dict.json", "metadata.csv", "metadata.jsonl", "metadata.parquet")


def open_source(source: Path, kind: str, out: Path) -> Rows:
    """The rows of a table, or the pictures of a folder.

    A malformed line is an error of its row only, raised when the row is read.

    Args:
        source: the table or folder.
        kind: "csv", "parquet", "jsonl" or "folder".
        out: its files are left out if it lies in the folder.

    Raises:
        InputError: ``source`` is missing, cannot be read, has no rows, or is a pointer of Git LFS.
    """
    wanted = source.is_dir() if kind == "folder" else source.is_file()
    if not wanted:
        raise InputError(f"--{kind}: there is no {'folder' if kind == 'folder' else 'file'} {str(source)!r}.")
    if kind != "folder":
        require_content(source)
    rows = _FORMATS[kind](source) if kind != "folder" else _folder(source, out)
    if len(rows) == 0:
        raise InputError(f"{source} has no {'pictures' if kind == 'folder' else 'rows'}.")
    return rows


def _folder(source: Path, out: Path) -> Rows:
    from sidelight.rows.sources import rows_of

    if any((source / name).is_file() for name in _DATA_SETS):
        return rows_of(source, "the folder")
    apart = os.path.realpath(out)
    pictures = [p for p in tables_and_pictures(source)[1] if not _is_below(os.path.realpath(p), apart)]
    return Rows([{"image": str(p)} for p in pictures], "the folder", cheap=True)


def _is_below(path: str, folder: str) -> bool:
    return os.path.commonpath([path, folder]) == folder


_FORMATS: dict[str, Callable[[Path], Rows]] = {"csv": csv_rows, "jsonl": jsonl_rows, "parquet": parquet_rows}


# -- columns ------------------------------------------------------------------------------


class Row(dict[str, Any]):
    """A row of a table, and the sample in it."""

    def __init__(self, row: Mapping[str, Any], sample: Any) -> None:
        super().__init__(row)
        self.sample = sample


class _Chosen:
    """Rows with a sample made of some columns."""

    def __init__(self, rows: Rows, columns: Sequence[str], folder: Path | None) -> None:
        self.rows, self.columns = rows, list(columns)
        self.found = None if folder is None else FilesBeside(folder)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> Row:
        row = self.rows[number]
        missing = [c for c in self.columns if c not in row]
        if missing:
            raise InputError(f"row {number} of {self.rows.name} has no column {missing[0]!r}.")
        first, *others = (row[c] for c in self.columns)
        if self.found is not None and isinstance(first, str) and first:
            first = self.found(first)
        values = (first, *others)
        return Row(row, values if len(values) > 1 else values[0])


def folder_of(source: Path) -> Path:
    """The folder from which paths in a table, or in the table of a folder, may count."""
    return source if source.is_dir() else source.parent


def with_columns_chosen(rows: Rows, columns: Sequence[str], folder: Path | None) -> Rows:
    """``rows`` as :class:`Row` with a sample made of ``columns``, or without columns as they are.

    Args:
        rows: of the table.
        columns: the picture first, if the classifier reads pictures.
        folder: of the table, from which paths of pictures may count, or ``None`` if there are no pictures.
    """
    return Rows(_Chosen(rows, columns, folder), rows.name) if columns else rows


def require_columns(source: Path | str, head: Mapping[str, Any] | None, columns: Sequence[str]) -> None:
    """Raise :class:`InputError` if a named column is missing."""
    for name in columns if head is not None else ():
        if name not in head:  # type: ignore[operator]
            raise _missing(source, head, f"has no column {name!r}", nearest(name, map(str, head or ())))


def require_sample(
    source: Path | str,
    head: Mapping[str, Any] | None,
    read: Callable[[list[Any]], Any],
    modalities: Iterable[str],
) -> None:
    """Raise :class:`InputError` if no column has a name of the classifier's samples.

    Args:
        source: the table, or the name of the argument that holds the rows.
        head: its first row.
        read: takes rows, and raises an error if it finds no samples in them.
        modalities: that the classifier reads.
    """
    if head is None:
        return
    picture = column_of(head, "image")
    filled = {name: b"x" if name == picture else "x" for name in head}  # a bad value is an error of its row
    try:
        read([filled])
    except InputError as error:
        wanted = tuple(modalities)
        if isinstance(source, Path) and source.is_dir() and set(head) == {"image"}:
            raise InputError(
                f"{source} holds pictures alone, and this classifier reads {' and '.join(wanted)}. Give a table with a column "
                "for each."
            ) from error
        lacking = [m for m in wanted if not holds_modality(head, m)] or wanted
        what = f"has no column that is known to hold the {' and '.join(lacking)}"
        raise _missing(source, head, what, advice=_named_each(wanted, head)) from error


def require_column_each(
    head: Mapping[str, Any] | None,
    columns: Sequence[str],
    read: Callable[[list[Any]], Any],
    modalities: Iterable[str],
) -> None:
    """Raise :class:`InputError` if one column is named for several modalities, and it holds no whole sample.

    Args:
        head: the first row.
        columns: that were named.
        read: takes samples, and raises an error of type if one is none.
        modalities: that the classifier reads.
    """
    wanted = tuple(modalities)
    value = head.get(columns[0]) if head is not None and len(columns) == 1 < len(wanted) else None
    if value is None or isinstance(value, (tuple, Mapping)):  # a bad pair is an error of its row
        return
    try:
        read([value])
    except InputTypeError as error:
        raise InputError(
            f"this classifier reads {' and '.join(wanted)}, and one column is named, {columns[0]!r}.{_named_each(wanted, head)}"
        ) from error
    except InputError:
        return


def _named_each(modalities: Sequence[str], head: Mapping[str, Any] | None) -> str:
    """How columns are named, as a sentence for messages."""
    if len(modalities) == 1:
        how = naming(head or {}, pair=modalities[0] == "text")
        return f" Name it: {how} (as an option of the command: --column NAME, twice for two)."
    names = [name.upper() for name in modalities]
    options = " ".join(f"--column {name}" for name in names)
    return f" Name a column for each, in this order: columns={names} (as options of the command: {options})."


def _missing(
    source: Path | str,
    head: Mapping[str, Any] | None,
    what: str,
    hint: str = "",
    advice: str = "",
) -> InputError:
    told = advice or _named_each(["text"], head)
    return InputError(f"{source} {what}; it has {', '.join(map(str, head or ()))}.{hint}{told}")


# -- is it the same source? ------------------------------------------------------------------


def content_of(source: Path, rows: Rows, column: str) -> dict[str, Any]:
    """A record that changes if the rows do: hashes of the table, and of the pictures' names, sizes and times.

    Answers of earlier versions hold it too, so its form stays.

    Args:
        source: the table or folder.
        rows: those of ``source``.
        column: names the pictures.
    """
    from sidelight.core.ownership import feed_file

    digest = hashlib.blake2b(digest_size=16)
    if source.is_file():
        feed_file(digest.update, source)
    pictures = _pictures(rows, column, folder_of(source))
    return {"rows": len(rows), "table": digest.hexdigest(), "pictures": pictures}


def _pictures(rows: Rows, column: str, folder: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    head = first_row(rows) or {}
    if column not in head:
        column = column_of(head, "image") or column
    first = head.get(column, head.get(FILE_COLUMN))
    named = isinstance(first, str)
    looked_at = may_be_named(first) and not {column, FILE_COLUMN}.isdisjoint(head)
    for number in range(len(rows)) if looked_at else ():
        digest.update(_about(rows, number, column, folder) or _absent(number, named))
    return digest.hexdigest()


def _absent(number: int, named: bool) -> bytes:
    """What stands for a picture that is not there. Earlier versions looked at none if the first row names none."""
    return f"{number} is not there\n".encode() if named else b""


def _about(rows: Rows, number: int, column: str, folder: Path) -> bytes:
    try:
        row = rows[number]
        name = row.get(column, row.get(FILE_COLUMN))
        found = os.stat(found_beside(name, folder))
        return f"{name!r} {found.st_size} {found.st_mtime_ns}\n".encode()
    except (InputError, OSError, ValueError, TypeError, AttributeError):
        return b""
