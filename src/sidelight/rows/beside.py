"""Pictures that a table names by their files, which may lie beside the table."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sidelight.core.columns import column_of, is_stored_picture
from sidelight.rows.row import Rows
from sidelight.rows.table_files import FILE_COLUMN, first_row

log = logging.getLogger(__name__)


def beside(rows: Rows, folder: Path) -> Rows:
    """``rows`` with paths of pictures that count from ``folder`` if they do not count from the working directory."""
    head = first_row(rows)
    if head is None:
        return rows
    named = column_of(head, "image")
    if named is None and FILE_COLUMN not in head:
        return rows
    if named is not None and not may_be_named(head[named]):
        return rows  # pictures themselves
    return Rows(PicturesBeside(rows, folder), rows.name, rows.label_names, rows.labels(), cheap=True)


class PicturesBeside:
    """Rows of a table that names files which lie beside it.

    Args:
        column: names them. Default: the first of the usual names. The path of a file name is put under ``image``.
    """

    def __init__(self, rows: Rows, folder: Path, column: str | None = None) -> None:
        self.rows, self.column, self.found = rows, column, FilesBeside(folder)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        row = self.rows[index]
        if not isinstance(row, Mapping):
            return row
        column = self.column or column_of(row, "image")
        named = _path_in(row.get(column or FILE_COLUMN))
        if is_stored_picture(named):  # with its bytes
            return row
        if isinstance(named, str):
            named = self.found(named) if named else None
        return {**row, column or "image": named}


class FilesBeside:
    """Finds the files that a table names: in the working directory, else in ``folder``.

    A warning tells once if a name is that of a file in each of them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._told = False

    def __call__(self, name: str) -> str:
        """``name`` itself, or its path in the folder if the file is only there."""
        beside = self.folder / name
        if not self._told and _both(name, beside):
            self._told = True
            log.warning(
                "the picture %.200r of a table lies in the working directory (%s) and beside the table (%s). The one in the "
                "working directory is read, and so of each name that is in both. If that is wrong, write whole paths into the "
                "table, or work in another directory.",
                name,
                os.getcwd(),
                self.folder.absolute(),
            )
        return found_beside(name, self.folder)


def found_beside(name: str, folder: Path) -> str:
    """``name`` itself, or its path in ``folder`` if the file is only there."""
    beside = folder / name
    return str(beside) if not os.path.isfile(name) and beside.is_file() else name


def _both(name: str, beside: Path) -> bool:
    return os.path.isfile(name) and beside.is_file() and not os.path.samefile(name, beside)


def may_be_named(value: Any) -> bool:
    """Whether a column that begins with the picture ``value`` may name files. Those with bytes may stand before others."""
    return value is None or isinstance(value, str) or is_stored_picture(value)


def _path_in(value: Any) -> Any:
    """The path in a picture as ``datasets`` keeps it in a table, if the table does not hold its bytes. Others unchanged."""
    if is_stored_picture(value) and value["bytes"] is None and isinstance(value["path"], str):
        return value["path"]
    return value
