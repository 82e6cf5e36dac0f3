"""How scores in [0, 1] are stored in files: as 32-bit or 16-bit floats, or in 8 bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sidelight.core.field_checks import require_choice

#: By name the type, and the largest rounding error: half a step of 32-bit and 16-bit floats below 1, and half of 1/255.
SCORE_TYPES: Mapping[str, tuple[Any, float]] = {
    "float32": (np.float32, 2.0**-25),
    "float16": (np.float16, 2.0**-12),
    "uint8": (np.uint8, 0.5 / 255 + 1e-7),
}


def require_score_type(name: Any) -> str | None:
    """``name`` if it is one of :data:`SCORE_TYPES`, or ``None``. Raises :class:`ConfigError` otherwise."""
    return None if name is None else require_choice(name, SCORE_TYPES, "scores")


def type_name(words: bool, name: str | None) -> str:
    """The type of a modality's scores: the one asked for, else 32 bits for words and 16 bits for pixels, as there are many."""
    return name or ("float32" if words else "float16")


def stored_scores(values: np.ndarray, name: str) -> np.ndarray:
    """Scores in [0, 1] in the type of this name. In 8 bits, 255 stands for 1."""
    kind, _ = SCORE_TYPES[name]
    return np.rint(values * np.float32(255)).astype(kind) if name == "uint8" else values.astype(kind)


def read_scores(stored: Any) -> np.ndarray:
    """Inverse of :func:`stored_scores`, as float32.

    Example:
        >>> read_scores(stored_scores(np.array([0.0, 0.5, 1.0], np.float32), "uint8")).tolist()
        [0.0, 0.501960813999176, 1.0]
    """
    values = np.asarray(stored)
    scale = 255 if values.dtype == np.uint8 else 1
    return values.astype(np.float32) / np.float32(scale)
