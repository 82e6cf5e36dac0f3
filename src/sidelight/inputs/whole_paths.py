"""Samples that name a file, so that they can be read again in another working directory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from sidelight.core.columns import column_of


def working_directory() -> str | None:
    """The working directory, or ``None`` if it was removed."""
    with suppress(OSError):
        return os.getcwd()
    return None


def with_whole_path(sample: Any, folder: str | None) -> Any:
    """``sample`` with the whole path of its picture, if it names a file in ``folder``. Others unchanged.

    Args:
        sample: of a classifier that reads images: a picture, a pair ``(image, text)``, or a row.
        folder: from which the path counts, or ``None`` if it is gone.
    """
    if folder is None:
        return sample
    if isinstance(sample, Mapping):
        column = column_of(sample, "image")
        return sample if column is None else {**sample, column: _whole(sample[column], folder)}
    if type(sample) is tuple and sample:
        return (_whole(sample[0], folder), *sample[1:])
    return _whole(sample, folder)


def _whole(picture: Any, folder: str) -> Any:
    if not isinstance(picture, (str, os.PathLike)):
        return picture
    path = os.path.join(folder, os.fsdecode(picture))
    return path if os.path.isfile(path) else picture
