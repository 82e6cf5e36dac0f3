"""Two MNIST digits side by side: a data set of independent labels, with the place of each digit known.

Each half of a picture holds a handwritten digit, or nothing. The labels are ten flags, one for each digit. So a map of "3"
must point at the half with the 3, although the classifier is as sure of the other digit.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

from sidelight.core.field_checks import require_choice
from sidelight.errors import ConfigError

SIDE = 28
#: share of halves without a digit, and the ``digits`` of such a half
EMPTY, NOTHING = 0.2, -1
#: pixels of a digit darker than this share of full ink belong to it
INK = 0.25
#: rows of each split if no count is given. A split takes its digits from the split of MNIST of the same name.
ROWS = {"train": 12_000, "validation": 400, "test": 1_000}


@dataclass(frozen=True)
class TwoDigitRows:
    """Rows ``{"image": uint8 [28, 56], "label": ten flags, "digits": [left, right]}``, -1 for an empty half."""

    images: np.ndarray
    digits: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        digits = self.digits[index].tolist()
        flags = [int(label in digits) for label in range(10)]
        return {"image": self.images[index], "label": flags, "digits": digits}


def ink_of(row: dict[str, Any], label: int) -> np.ndarray:
    """``[28, 56]`` true at the ink of the digit ``label`` of a row."""
    image = np.asarray(row["image"])
    half = np.arange(image.shape[1]) // SIDE
    return (image > 255 * INK) & np.isin(half, [i for i, d in enumerate(row["digits"]) if d == label])


def two_digits_loader(mnist: Callable[..., Any]) -> Callable[..., TwoDigitRows]:
    """A loader of pictures that are made of the rows of ``mnist``, a loader too."""

    @lru_cache(maxsize=4)  # a run reads them again at each step
    def load(
        split: str, data_dir: str | None = None, count: int | None = None, seed: int = 0
    ) -> TwoDigitRows:
        require_choice(split, ROWS, "split")
        if count is not None and count < 1:
            raise ConfigError(f"count must be at least 1; got {count}.")
        return two_digits(mnist(split, data_dir), count or ROWS[split], seed)

    return load


def two_digits(digits: Any, count: int, seed: int = 0) -> TwoDigitRows:
    """``count`` pictures of two halves. The same arguments give the same pictures, and more begin with fewer.

    Args:
        digits: rows ``{"image", "label"}`` of single digits, pictures of 28×28 pixels.
    """
    rng = np.random.default_rng([seed, len(digits)])
    images = np.zeros((count, SIDE, 2 * SIDE), dtype=np.uint8)
    labels = np.full((count, 2), NOTHING)
    for number in range(count):
        picks, empty = rng.integers(0, len(digits), 2).tolist(), (rng.random(2) < EMPTY).tolist()
        for half in (h for h in range(2) if not empty[h]):
            row = digits[picks[half]]
            images[number, :, half * SIDE : (half + 1) * SIDE] = _pixels(row["image"])
            labels[number, half] = int(row["label"])
    return TwoDigitRows(images, labels)


def _pixels(picture: Any) -> np.ndarray:
    stored = picture.get("bytes") if isinstance(picture, dict) else None
    opened = picture if stored is None else Image.open(io.BytesIO(stored))
    return np.asarray(opened.convert("L") if isinstance(opened, Image.Image) else opened, dtype=np.uint8)
