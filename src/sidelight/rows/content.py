"""A hash of the content of rows, by which two trainings know whether they saw the same data.

Pictures count by their pixels, paths of files by the file, tensors and arrays by their values. The order of rows counts.
Pictures are not decoded if the hash can do without: a ``datasets.Dataset`` is read from its table, a path from its file.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sidelight.core.columns import is_stored_picture
from sidelight.core.ownership import feed_file
from sidelight.rows.row import Rows

#: Of a sequence that computes its rows one by one (reads, decodes), at most so many are hashed, evenly spaced.
MOST_COMPUTED_ROWS = 5_000
#: Of longer lists, only every n-th picture, array and file is read. Texts, labels and sizes of all rows are.
MOST_PICTURES = 20_000
#: Longer strings name no file.
LONGEST_PATH = 1024


@dataclass(frozen=True)
class Content:
    """The content of a data set.

    Attributes:
        rows: how many.
        digest: of their content. ``None`` if it changes from one look to the next (random augmentation).
        looked_at: how many rows the digest covers.
    """

    rows: int
    digest: str | None
    looked_at: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"rows": self.rows, "digest": self.digest, "looked_at": self.looked_at}


def content_of(rows: Any) -> Content:
    """The content of ``rows``, any sequence of rows or samples.

    All rows are covered, or :data:`MOST_COMPUTED_ROWS` evenly spaced ones of a longer sequence that computes its rows.
    """
    count = len(rows)
    cheap = isinstance(rows, Rows) and rows.cheap
    rows = rows.whole() if isinstance(rows, Rows) else rows
    table = _table_of(rows)
    if table is not None:
        return Content(count, table, count)
    if isinstance(rows, (Tensor, np.ndarray)):
        return Content(count, value_digest(rows), count)
    stored = cheap or isinstance(rows, (list, tuple))
    picks: Sequence[int] = range(count)
    if not stored and count > MOST_COMPUTED_ROWS:
        picks = [round(i * (count - 1) / (MOST_COMPUTED_ROWS - 1)) for i in range(MOST_COMPUTED_ROWS)]
    if not stored and value_digest(rows[0]) != value_digest(rows[0]):
        return Content(count, None, 0)
    every = max(1, -(-count // MOST_PICTURES))
    hasher = _Hasher()
    if getattr(rows, "label_names", ()):  # the meaning of label numbers
        hasher.feed(rows.label_names)
    for index in picks:
        hasher.light = bool(index % every)
        hasher.feed(rows[index])
    return Content(count, hasher.hexdigest() if hasher.known else None, len(picks))


def value_digest(value: Any) -> str:
    """Hash of one value."""
    hasher = _Hasher()
    hasher.feed(value)
    return hasher.hexdigest()


def _table_of(rows: Any) -> str | None:
    """Hash of a ``datasets.Dataset`` from its table, without decoding, or ``None`` for other rows."""
    if not (hasattr(rows, "with_format") and hasattr(rows, "features") and hasattr(rows, "format")):
        return None
    hasher = _Hasher()
    own = rows.format
    hasher.feed([own.get("type"), own.get("columns"), str(rows.features)])
    if own.get("type") == "custom":  # a transform of the user's own
        from datasets.fingerprint import Hasher

        hasher.feed(Hasher.hash(own.get("format_kwargs")))
    plain = rows.with_format("arrow")
    every = max(1, -(-len(rows) // MOST_PICTURES))
    for start in range(0, len(plain), 1000):
        table = plain[start : start + 1000]
        for name in sorted(table.column_names):
            hasher.feed(name)
            for offset, value in enumerate(table[name].to_pylist()):
                hasher.light = bool((start + offset) % every)
                hasher.feed(value)
    return hasher.hexdigest()


class _Hasher:
    """Feeds values to a hash, each with its kind and length, so that different values never look alike.

    Attributes:
        light: take only the size of pictures, arrays and files.
        known: false after a value whose content cannot be hashed.
    """

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self.light, self.known = False, True

    def hexdigest(self) -> str:
        """The hash so far."""
        return self._hash.hexdigest()

    def feed(self, value: Any) -> None:
        """Take ``value`` in."""
        if value is None or isinstance(value, (bool, int, float, complex, np.generic)):
            self._scalar(value)
        elif isinstance(value, (str, os.PathLike)):
            self._text(os.fspath(value), isinstance(value, os.PathLike))
        elif isinstance(value, (bytes, bytearray, memoryview)):
            self._part("bytes", value)
        elif isinstance(value, Mapping):
            self._mapping(value)
        elif isinstance(value, (list, tuple)):
            self._head(type(value).__name__ if type(value) in (list, tuple) else "tuple", len(value))
            for item in value:
                self.feed(item)
        elif isinstance(value, Image.Image):
            self._picture(value)
        elif isinstance(value, Tensor):
            self._tensor(value)
        elif isinstance(value, np.ndarray) or hasattr(value, "__array__"):
            self._array(np.asarray(value))
        else:
            self._object(value)

    def _head(self, kind: str, size: Any) -> None:
        self._hash.update(f"{kind}|{size}|".encode())

    def _part(self, kind: str, content: Any) -> None:
        view = memoryview(content)
        self._head(kind, view.nbytes)
        if not (self.light and view.nbytes > 4096):
            self._hash.update(view)

    def _scalar(self, value: Any) -> None:
        plain = value.item() if isinstance(value, np.generic) else value
        self._hash.update(f"{type(plain).__name__}|{plain!r}|".encode())

    def _text(self, text: str, is_path: bool) -> None:
        may_be = is_path or (0 < len(text) <= LONGEST_PATH and "." in text and "\n" not in text)
        with suppress(OSError, ValueError):  # a string that names no file is a text
            if may_be and os.path.isfile(text):
                self._file(text)
                return
        self._part("text", text.encode("utf-8", "surrogatepass"))

    def _file(self, path: str) -> None:
        if self.light:
            self._head("file", os.path.getsize(path))
            return
        digest = hashlib.blake2b(digest_size=16)
        feed_file(digest.update, Path(path))
        self._part("file", digest.digest())

    def _mapping(self, value: Mapping[Any, Any]) -> None:
        if is_stored_picture(value) and value["bytes"] is not None:
            self._part("bytes", value["bytes"])
            return
        self._head("mapping", len(value))
        for key in sorted(value, key=str):
            self.feed(str(key))
            self.feed(value[key])

    def _picture(self, image: Image.Image) -> None:
        self._head("picture", (image.mode, image.size, image.info.get("transparency")))
        if self.light:
            return
        with suppress(
            OSError, SyntaxError, ValueError
        ):  # a broken picture: whoever prepares it says which one it is
            if image.mode in ("P", "PA"):  # with alpha, if the palette has it
                self._part("palette", bytes(image.getpalette(None) or []))
            self._part("pixels", image.tobytes())
            # the orientation of the camera, only now, because reading it may decode a picture
            self._scalar(image.getexif().get(0x0112, 1))

    def _tensor(self, value: Tensor) -> None:
        plain = value.detach().to_dense() if value.layout is not torch.strided else value.detach()
        self._head("tensor", (tuple(plain.shape), plain.dtype))
        flat = plain.cpu().contiguous().reshape(-1)
        self._part("values", flat.view(torch.uint8).numpy() if flat.numel() else b"")

    def _array(self, value: np.ndarray) -> None:
        if value.dtype == object:
            self.feed(value.tolist())
            return
        self._head("array", (value.shape, value.dtype.str))
        self._part("values", np.ascontiguousarray(value).reshape(-1).view(np.uint8) if value.size else b"")

    def _object(self, value: Any) -> None:
        if isinstance(value, io.BytesIO):
            self._part("bytes", value.getbuffer())
        elif isinstance(value, Sequence):
            self.feed(list(value))
        elif hasattr(value, "to_list"):
            self.feed(value.to_list())
        else:
            self._pickled(value)

    def _pickled(self, value: Any) -> None:
        try:
            self._part(type(value).__qualname__, pickle.dumps(value))
        except Exception:  # noqa: BLE001 - whatever a user's class raises
            self.known = False
