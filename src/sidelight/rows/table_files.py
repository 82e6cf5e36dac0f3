"""The content of a path: of a table (CSV, TSV, JSON, JSONL, Parquet), or of a folder of pictures."""

from __future__ import annotations

import bz2
import gzip
import json
import logging
import lzma
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from sidelight.core.counted import counted
from sidelight.core.files import told_of_home
from sidelight.core.optional import optional
from sidelight.core.pointers import told_of_pointer
from sidelight.errors import InputError, InputTypeError, MissingPackageError, first_line
from sidelight.rows.columns import require_names_once
from sidelight.rows.row import Rows

log = logging.getLogger(__name__)

#: Endings of picture files: those of the formats that are opened.
PICTURES = (
    *(".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
    *(".jfif", ".jpe", ".mpo", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".avif", ".avifs"),
    *(".apng", ".dib", ".ico"),
)

#: Endings of pictures that are not opened.
UNREAD = (
    *(".heic", ".heif", ".jxl", ".svg", ".psd", ".eps", ".exr", ".hdr", ".xcf"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"),  # what cameras call raw
)

#: Names of files and folders that other programs keep for themselves begin so (``.ipynb_checkpoints``, ``__MACOSX``).
HIDDEN = (".", "__")

#: The column of a table beside pictures that names the file of each row.
FILE_COLUMN = "file_name"


def suffix(path: str) -> str:
    """The ending of a file's name in small letters, without that of a compression."""
    ends = [s.lower() for s in Path(path).suffixes]
    return ends[-2] if len(ends) > 1 and ends[-1] in (".gz", ".bz2", ".xz", ".zip") else (ends or [""])[-1]


def _if_text(path: str) -> str:
    """A sentence for messages if ``path`` may be a text that stands in the place of many."""
    texts = len(path.split()) > 1 and suffix(path) not in (*TABLES, *PICTURES)
    return " If it is a text, put it into a list with others: [text, ...]." if texts else ""


def read_path(path: str, name: str) -> tuple[Any, Path | None]:
    """The content of the table or folder at ``path``, as plain data, and the folder that names in it count from.

    Returns:
        Data that :mod:`sidelight.rows.sources` opens, and the folder of a table, or ``None`` if all paths are complete.

    Raises:
        InputError: nothing is there, it cannot be read, or it is no table and no folder of pictures.
    """
    place = Path(path)
    if not path.strip():
        raise InputError(
            f"{name} is an empty path; give that of a picture, of a table or of a folder of pictures."
        )
    if _exists(place) is False:
        if told := told_of_home(path):
            raise InputError(f"{name}: {path[:200]!r} {told}")
        raise InputError(
            f"{name}: {path[:200]!r} is neither a file nor a folder here. A data set of the Hugging Face hub is given as "
            f"'owner/name', 'owner/name@revision' or 'hf://datasets/name'.{_if_text(path)}"
        )
    if place.is_dir():
        return _folder(place, name)
    ending = suffix(path)
    if ending in TABLES:
        return _table(place, name), place.parent
    if ending in PICTURES:
        raise InputError(f"{name}: {path!r} is one picture; give a list of paths, or the folder they are in.")
    raise InputTypeError(
        f"{name}: {path!r} is no table that can be read ({', '.join(TABLES)}) and no folder. "
        "Read the file yourself and give rows in a list, or a data frame."
    )


def _exists(place: Path) -> bool:
    try:
        return place.exists()
    except (OSError, ValueError):  # too long for a name, or a null character in it
        return False


# -- tables ----------------------------------------------------------------------------------


def require_content(path: Path) -> None:
    """Raise :class:`InputError` if a pointer of Git LFS is in the place of the table at ``path``."""
    if told := told_of_pointer(path, "table"):
        raise InputError(told)


def _table(path: Path, name: str) -> Any:
    ending = suffix(str(path))
    require_content(path)
    try:
        return TABLES[ending](path)
    except (InputError, InputTypeError, MissingPackageError):
        raise
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name}: {str(path)!r} is no text in UTF-8 ({error.reason} at byte {error.start}). Save it as UTF-8."
        ) from error
    except Exception as error:
        raise InputError(
            f"{name}: cannot read {str(path)!r} as {ending[1:]} ({first_line(error)})."
        ) from error


def first_row(rows: Rows) -> Mapping[str, Any] | None:
    """The first row that can be read, if it has columns."""
    for number in range(min(len(rows), 100)):
        try:
            row = rows[number]
        except InputError:
            continue
        return row if isinstance(row, Mapping) else None
    return None


def _read_csv(path: Path, separator: str = ",") -> Any:
    found = separator_of(path, separator)
    try:
        require_header(path, found)
        return read_frame(path, found)
    except Exception:
        require_closed_quotes(path, found, 1_000)
        raise


def read_frame(path: Path, separator: str, **options: Any) -> Any:
    """A table as a data frame of pandas, every cell as it is written, because "NA" and "007" may be texts."""
    pd = optional("pandas", "reading a CSV file")
    before = 0 if declared_separator(path) is None else 1
    return pd.read_csv(path, sep=separator, skiprows=before, dtype=str, keep_default_na=False, **options)


def separator_of(path: Path, separator: str = ",") -> str:
    """What stands between the cells of a table: ``separator``, or what its first line or its only header says instead."""
    declared = declared_separator(path)
    if declared is not None:
        return declared
    columns = list(read_frame(path, separator, nrows=0).columns) if separator == "," else []
    header = str(columns[0]) if len(columns) == 1 else ""
    return next((s for s in (";", "\t") if s in header), separator)


def declared_separator(path: Path) -> str | None:
    """The separator that a line ``sep=;`` before the header names. Excel writes and reads it. ``None`` without one."""
    with (
        suppress(OSError, EOFError, ValueError),
        open_text(path) as file,
    ):  # what is no text is told by its reader
        found = re.fullmatch(r'"?sep=(.)"?\s*', str(file.readline(20)), re.IGNORECASE)
        return found[1] if found else None
    return None


def require_header(path: Path, separator: str) -> None:
    """Raise an error of pandas if the first row has more cells than the header.

    Else pandas would take the first cells of all rows for names of the rows, and so move the others by one column.
    """
    read_frame(path, separator, nrows=2, header=None)


def require_closed_quotes(path: Path, separator: str, block: int) -> None:
    """Raise :class:`InputError` if a quote is never closed, because all rows after it would be one cell.

    Args:
        block: rows in memory. Rows with too many cells are skipped.
    """
    try:
        with read_frame(path, separator, chunksize=block, on_bad_lines="skip") as frames:
            for _ in frames:
                pass
    except Exception as error:
        if "EOF inside string" in str(error):
            raise InputError(
                f'cannot read {path} as a table: a cell begins with a quote (") that is never closed ({first_line(error)}). '
                "Close it. A quote that belongs to a text is written twice, and the whole text stands in quotes."
            ) from error


def _read_parquet(path: Path) -> Any:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        require_names_once(file.schema_arrow.names, str(path))
    return pyarrow.parquet.read_table(path)


def _read_json(path: Path) -> Any:
    text = read_text(path)
    try:
        found = json.loads(text)
    except ValueError:
        return _json_lines(text, path)
    if isinstance(found, dict) and len(found) == 1 and isinstance(next(iter(found.values())), list):
        only = next(iter(found.values()))
        return only if only and isinstance(only[0], dict) else found
    return (
        [found] if isinstance(found, dict) and not any(isinstance(v, list) for v in found.values()) else found
    )


def require_lines(first: str, path: Path) -> None:
    """Raise :class:`InputError` if ``first``, the first line of a file of JSON lines, begins one value of several rows."""
    begin = first.strip()
    whole = begin in ("[", "{")
    if not whole and begin.startswith("["):
        with suppress(ValueError, RecursionError):  # a line that is no JSON is an error of its row
            rows = json.loads(begin)
            whole = bool(rows) and all(isinstance(row, dict) for row in rows)
    if whole:
        raise InputError(
            f"{path} holds one JSON value, and no JSON lines. Write each row on a line of its own, without brackets and "
            "commas around them, e.g. by frame.to_json(path, orient='records', lines=True)."
        )


def _json_lines(text: str, path: Path) -> list[Any]:
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            rows += [json.loads(line)] if line.strip() else []
        except (ValueError, RecursionError) as error:
            raise InputError(f"line {number} of {str(path)!r} is no JSON ({first_line(error)}).") from error
    return rows


def _read_lines(path: Path) -> list[Any]:
    text = read_text(path)
    require_lines(text.lstrip().partition("\n")[0], path)
    return _json_lines(text, path)


def read_text(path: Path) -> str:
    """The text of a file, which may be compressed."""
    with open_text(path) as file:
        return str(file.read())


def open_text(path: Path, newline: str | None = None) -> Any:
    """A text file, which may be compressed, open for reading. ``newline`` is as in :func:`open`."""
    openers: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    return openers.get(path.suffix.lower(), open)(path, "rt", encoding="utf-8-sig", newline=newline)


TABLES: dict[str, Callable[[Path], Any]] = {
    ".csv": _read_csv,
    ".tsv": lambda path: _read_csv(path, "\t"),
    ".json": _read_json,
    ".jsonl": _read_lines,
    ".ndjson": _read_lines,
    ".parquet": _read_parquet,
}


# -- folders ---------------------------------------------------------------------------------


def visible(folder: Path) -> list[Path]:
    """Entries of ``folder`` whose names do not begin with ``.`` or ``__``, in order."""
    try:
        return sorted(p for p in folder.iterdir() if not p.name.startswith(HIDDEN))
    except OSError as error:
        raise InputError(f"cannot look into the folder {str(folder)!r} ({first_line(error)}).") from error


def _pictures(folder: Path, endings: Sequence[str] = PICTURES) -> list[Path]:
    """Pictures in ``folder`` and below, in the order of their paths, without those of folders that are hidden."""
    found: list[Path] = []
    for top, below, files in os.walk(folder):
        below[:] = [name for name in below if not name.startswith(HIDDEN)]
        found += [Path(top) / name for name in files]
    return sorted(p for p in found if suffix(p.name) in endings and not p.name.startswith("."))


def _tell_unread(folder: Path, name: str) -> None:
    """Warn of pictures in ``folder`` and below that are left out because their formats are not opened."""
    unread = _pictures(folder, UNREAD)
    if unread:
        log.warning(
            "%s: left out of the folder %r: %s of a format that is not opened (%s). Save them as PNG or JPEG.",
            name,
            str(folder),
            counted(len(unread), "picture"),
            ", ".join(sorted({suffix(p.name) for p in unread})),
        )


def tables_and_pictures(folder: Path) -> tuple[list[Path], list[Path]]:
    """Tables in ``folder``, and pictures in it and below."""
    tables = [p for p in visible(folder) if p.is_file() and suffix(p.name) in TABLES]
    return tables, _pictures(folder)


def _folder(folder: Path, name: str) -> tuple[Any, Path | None]:
    if (folder / "dataset_info.json").is_file() or (folder / "dataset_dict.json").is_file():
        return _from_disk(folder, name), None
    entries = visible(folder)
    tables = [p for p in entries if p.is_file() and suffix(p.name) in TABLES]
    flat = [p for p in entries if p.is_file() and suffix(p.name) in PICTURES]
    classes = {p.name: _pictures(p) for p in entries if p.is_dir()}
    classes = {n: found for n, found in classes.items() if found}
    if len(tables) == 1 and (tables[0].stem == "metadata" or not (flat or classes)):
        return _table(tables[0], name), folder
    if flat and classes:
        raise InputError(
            f"{name}: the folder {str(folder)!r} holds pictures and folders of pictures. Give pictures alone, or "
            "one folder a class."
        )
    _tell_unread(folder, name)
    if flat:
        return [{"image": str(p)} for p in flat], None
    if classes:
        rows = [{"image": str(p), "label": c} for c, found in classes.items() for p in found]
        return Rows(rows, name, labels=[r["label"] for r in rows], cheap=True), None
    raise InputError(
        f"{name}: the folder {str(folder)!r} holds no pictures ({', '.join(PICTURES)}), no folders of pictures, and "
        f"{_tables_told(folder, tables)}."
    )


def _tables_told(folder: Path, tables: Sequence[Path]) -> str:
    """What tables there are in a folder that is no single table, and how they are given."""
    whole = "all Parquet files at once are pyarrow.dataset.dataset(FOLDER, partitioning='hive')"
    if tables:
        return f"several tables: give one of them; {whole}"
    deeper = any(suffix(p.name) in TABLES for p in folder.rglob("*"))
    return f"tables in folders only: give one of them; {whole}" if deeper else "no table"


def _from_disk(folder: Path, name: str) -> Any:
    datasets = optional("datasets", "reading a data set from a folder")
    try:
        return datasets.load_from_disk(str(folder))
    except Exception as error:
        raise InputError(
            f"{name}: cannot load the data set saved in {str(folder)!r} ({first_line(error)})."
        ) from error
