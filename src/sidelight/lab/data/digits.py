"""Embedded images with known truth: real handwritten digits among distractor strokes.

scikit-learn ships 1,797 digits of 8×8 pixels that people wrote. Each is enlarged, placed at random on a larger
canvas and surrounded by strokes of the same ink, which do not depend on the class. The digit's own ink is the
known evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from sidelight.core.field_checks import require_choice
from sidelight.errors import ConfigError

CANVAS = 40
DIGIT = 20
STROKES = (3, 6)
#: pixels of a digit darker than this share of full ink are evidence
INK = 0.25
#: share of the 1,797 digits that go to each split; a person's digit is never in two
SPLITS = {"train": (0, 1257), "validation": (1257, 1437), "test": (1437, 1797)}


@dataclass(frozen=True)
class EvidenceRows:
    """Rows ``{"image": uint8 [H, W] or [H, W, 3], "label": int, "evidence": {"image": bool [H, W]}}``."""

    images: np.ndarray
    labels: np.ndarray
    evidence: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {
            "image": self.images[index],
            "label": int(self.labels[index]),
            "evidence": {"image": self.evidence[index]},
        }


@lru_cache(maxsize=4)  # a run reads them again at each step
def digit_scenes(split: str, count: int | None = None, seed: int = 0) -> EvidenceRows:
    """``count`` scenes of a split (default: each digit once). The same arguments give the same scenes.

    Raises:
        ConfigError: unknown split, or a count below 1.
    """
    require_choice(split, SPLITS, "split")
    if count is not None and count < 1:
        raise ConfigError(f"count must be at least 1; got {count}.")
    digits, labels = _written_digits()
    order = np.random.default_rng(0).permutation(len(digits))
    first, last = SPLITS[split]
    pool = order[first:last]
    rng = np.random.default_rng([seed, first])
    picks = np.resize(pool, count or len(pool))
    scenes = [draw_scene(digits[i] / 16.0, rng) for i in picks]
    return EvidenceRows(
        images=np.stack([s[0] for s in scenes]),
        labels=labels[picks],
        evidence=np.stack([s[1] for s in scenes]),
    )


@lru_cache(maxsize=1)
def _written_digits() -> tuple[np.ndarray, np.ndarray]:
    """Ink ``[N, 8, 8]`` in [0, 16], and classes. scikit-learn's file is read directly: importing it takes seconds."""
    package = find_spec("sklearn")
    places = package.submodule_search_locations if package else None
    file = Path(places[0], "datasets", "data", "digits.csv.gz") if places else None
    if file is None or not file.is_file():
        from sklearn.datasets import load_digits

        found = load_digits()
        return found.images, found.target
    table = np.loadtxt(file, delimiter=",")
    return table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(int)


def draw_scene(digit: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One scene: uint8 image ``[40, 40]`` and the boolean mask of the digit's ink.

    Args:
        digit: ``[8, 8]`` ink in [0, 1].
        rng: picks the place, the strokes and their ink.
    """
    small = Image.fromarray((digit * 255).astype(np.uint8))
    large = np.asarray(small.resize((DIGIT, DIGIT), Image.Resampling.BICUBIC), dtype=np.float32) / 255
    top, left = rng.integers(0, CANVAS - DIGIT + 1, size=2)
    ink = np.zeros((CANVAS, CANVAS), dtype=np.float32)
    ink[top : top + DIGIT, left : left + DIGIT] = large
    strokes = draw_strokes(rng)
    # A margin around the digit stays free, so that a stroke never completes another digit.
    strokes[max(top - 1, 0) : top + DIGIT + 1, max(left - 1, 0) : left + DIGIT + 1] = 0
    image = np.maximum(ink, strokes)
    return (image * 255).astype(np.uint8), ink > INK


def draw_strokes(rng: np.random.Generator) -> np.ndarray:
    """Distractors: short lines and arcs, as thick and dark as the digits, ``[40, 40]`` in [0, 1]."""
    canvas = Image.new("L", (CANVAS, CANVAS))
    pen = ImageDraw.Draw(canvas)
    for _ in range(rng.integers(STROKES[0], STROKES[1] + 1)):
        x, y = rng.integers(0, CANVAS, size=2).tolist()
        ink = int(rng.integers(150, 256))
        if rng.random() < 0.5:
            dx, dy = rng.integers(-12, 13, size=2).tolist()
            pen.line((x, y, x + dx, y + dy), fill=ink, width=3)
        else:
            radius, start = int(rng.integers(4, 9)), int(rng.integers(0, 360))
            box = (x - radius, y - radius, x + radius, y + radius)
            pen.arc(box, start, start + int(rng.integers(60, 150)), fill=ink, width=3)
    return np.asarray(canvas.filter(ImageFilter.GaussianBlur(0.5)), dtype=np.float32) / 255
