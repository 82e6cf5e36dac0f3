"""Values of an explanation as JSON takes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from sidelight.core.digits import significant

#: types of arrays that become Python's own numbers
_NUMBERS = tuple(map(np.dtype, "?bhilqBHILQefd"))


def listed(array: np.ndarray, digits: int) -> list[Any]:
    """Nested lists of numbers, rounded to so many digits after the point."""
    # Rounding in float64: float32 would print 0.10000000149.
    return np.round(np.asarray(array, dtype=np.float64), digits).tolist()


def listed_significant(array: np.ndarray) -> list[Any]:
    """Nested lists of numbers with six significant digits: effects of single pixels are tiny."""
    return list(significant(array).tolist())


def plain_value(value: Any) -> Any:
    """``value`` of a ``meta`` as JSON takes it. NaN and infinity become ``None``."""
    if value is None or type(value) in (str, int, bool):  # most values, so they come first
        return value
    if isinstance(value, Mapping):
        return {str(key): plain_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain_value(item) for item in value]
    if isinstance(value, np.ndarray) and value.dtype in _NUMBERS and np.isfinite(value).all():
        return value.tolist()
    if hasattr(value, "tolist"):  # numpy and torch, scalars and arrays
        return plain_value(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no such number
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)
