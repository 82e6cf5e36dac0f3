"""What columns of data sets are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: columns that hold a picture, in the order in which they are looked for
PICTURE_COLUMNS = ("image", "img", "picture", "photo")


def column_of(row: Mapping[str, Any], modality: str) -> str | None:
    """The column of ``row`` that holds ``modality``, if there is one. Pictures have several usual names.

    Example:
        >>> column_of({"img": "cat.png", "label": 3}, "image")
        'img'
    """
    known = PICTURE_COLUMNS if modality == "image" else (modality,)
    return next((name for name in known if name in row), None)
