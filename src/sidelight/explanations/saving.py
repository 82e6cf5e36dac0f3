"""Which files a saved explanation becomes: a picture of the kind that a name asks for, and the data beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sidelight.core.files import as_utf8, file_path, path_text
from sidelight.core.shown import Drawable, Shown
from sidelight.errors import InputError

if TYPE_CHECKING:  # matplotlib is slow to import and most callers never plot
    from matplotlib.figure import Figure

#: ending of the data, and of the picture if none is named
DATA, PICTURE = ".json", ".png"
#: name of the files in a folder that is given instead of a name
IN_FOLDER = "explanation"
#: endings of kinds of files that sidelight does not write
_NOT_WRITTEN = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".gif",
        ".webp",
        ".bmp",
        ".tif",
        ".tiff",
        ".eps",
        ".ps",
        ".svgz",
        ".pgf",
        ".txt",
        ".md",
        ".csv",
        ".tsv",
        ".xlsx",
        ".parquet",
        ".npy",
        ".npz",
        ".pt",
        ".pkl",
        ".pickle",
        ".safetensors",
        ".yaml",
        ".yml",
        ".jsonl",
        ".docx",
        ".tex",
    ]
)


class Drawn(Shown, Protocol):
    """What can be saved: it draws itself and gives its values."""

    def plot(self, *, reading: Drawable = "scores") -> Figure: ...

    def to_dict(self) -> dict[str, Any]: ...


def _png(explanation: Drawn, reading: Drawable) -> bytes:
    from sidelight.viz.export import to_png

    return to_png(explanation.plot(reading=reading))


def _svg(explanation: Drawn, reading: Drawable) -> bytes:
    from sidelight.viz.export import to_svg

    return to_svg(explanation.plot(reading=reading)).encode("utf-8")


def _pdf(explanation: Drawn, reading: Drawable) -> bytes:
    from sidelight.viz.export import to_pdf

    return to_pdf(explanation.plot(reading=reading))


def _html(explanation: Drawn, reading: Drawable) -> bytes:
    from sidelight.viz.explanation import explanation_page

    return as_utf8(explanation_page(explanation, reading))


#: ending -> what makes the content of such a picture
PICTURES: Mapping[str, Callable[[Drawn, Drawable], bytes]] = {
    ".png": _png,
    ".svg": _svg,
    ".pdf": _pdf,
    ".html": _html,
    ".htm": _html,
}


def places(path: str | os.PathLike[str]) -> tuple[Path, Path]:
    """The picture and the data that ``path`` stands for.

    Args:
        path: a name that ends in one of :data:`PICTURES` or ``.json``, a name without such an ending, or a folder: one
            that exists, or a name that ends in a slash.

    Raises:
        CheckpointError: it names no file.
        InputError: it ends like a kind of file that is not written.
    """
    stem, ending = _stem(path)
    return Path(f"{stem}{ending}"), Path(f"{stem}{DATA}")


def data_to_read(path: str | os.PathLike[str]) -> Path:
    """The data of the explanation that was saved as ``path``. Raises as :func:`places`."""
    if path_text(path, "the path of an explanation") and os.path.isdir(path):
        beside = Path(f"{Path(path)}{DATA}")  # where earlier versions put it
        inside = Path(path) / f"{IN_FOLDER}{DATA}"
        return beside if beside.is_file() and not inside.is_file() else inside
    return places(path)[1]


def as_json(explanation: Drawn) -> bytes:
    """The data of an explanation as the content of a JSON file."""
    content = json.dumps(explanation.to_dict(), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return as_utf8(content)


def write(explanation: Drawn, picture: Path, data: Path, reading: Drawable = "scores") -> tuple[Path, Path]:
    """Write both files, complete or not at all. The ending of ``picture`` says of which kind it is.

    Raises:
        InputError: there is no such reading.
        CheckpointError: the disk refused. Earlier files are left as they were.
        ForeignFileError: a file that sidelight did not write has one of these names. Nothing is written.
    """
    from sidelight.viz.export import write_atomic

    drawn = PICTURES[picture.suffix.lower()](explanation, reading)
    write_atomic({picture: drawn, data: as_json(explanation)})
    return picture, data


def _stem(path: str | os.PathLike[str]) -> tuple[str, str]:
    text = path_text(path, "the path of a file")
    if _is_folder(text):
        return str(Path(text) / IN_FOLDER), PICTURE
    name = file_path(text)
    ending = name.suffix.lower()
    if ending in _NOT_WRITTEN:
        raise InputError(
            f"an explanation cannot be saved as {text!r}: no {ending} files are written. Use a name that ends in "
            f"{', '.join(e for e in PICTURES if e != '.htm')} or {DATA}, or one without an ending."
        )
    if ending in PICTURES or ending == DATA:
        return str(name.with_suffix("")), PICTURE if ending == DATA else name.suffix
    return str(name), PICTURE


def _is_folder(text: str) -> bool:
    separators = tuple(s for s in (os.sep, os.altsep) if s)
    named = text.endswith(separators) and Path(text).name not in ("", ".", "..")
    return named or (Path(text).name not in ("", ".", "..") and "\0" not in text and os.path.isdir(text))
