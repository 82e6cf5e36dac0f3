"""Embedded scenes: the same every time, their evidence the digit's own ink, splits disjoint."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from sidelight.errors import ConfigError
from sidelight.lab.data.digits import CANVAS, DIGIT, INK, SPLITS, digit_scenes, draw_scene


def place_of(image: np.ndarray, evidence: np.ndarray, digits: np.ndarray) -> int:
    """Index of the scikit-learn digit whose upscaled ink lies in the scene, found by trying all places."""
    rows, columns = np.nonzero(evidence)
    for index, digit in enumerate(digits):
        mask = digit > INK
        r, c = np.nonzero(mask)
        if len(r) != len(rows):
            continue
        top, left = rows.min() - r.min(), columns.min() - c.min()
        if not (0 <= top <= CANVAS - DIGIT and 0 <= left <= CANVAS - DIGIT):
            continue
        window = image[top : top + DIGIT, left : left + DIGIT]
        if np.array_equal(evidence[top : top + DIGIT, left : left + DIGIT], mask) and np.array_equal(
            window, (digit * 255).astype(np.uint8)
        ):
            return index
    raise AssertionError("the evidence is no digit's ink")


@pytest.fixture(scope="module")
def upscaled() -> np.ndarray:
    made = []
    for digit in load_digits().images:
        small = Image.fromarray((digit / 16 * 255).astype(np.uint8))
        made.append(np.asarray(small.resize((DIGIT, DIGIT), Image.Resampling.BICUBIC), np.float32) / 255)
    return np.stack(made)


def test_the_same_arguments_give_the_same_scenes() -> None:
    one, two, other = (digit_scenes("test", 20, seed) for seed in (3, 3, 4))
    assert np.array_equal(one.images, two.images)
    assert np.array_equal(one.evidence, two.evidence)
    assert not np.array_equal(one.images, other.images)
    longer = digit_scenes("test", 30, 3)
    assert np.array_equal(longer.images[:20], one.images)


def test_a_scene_is_a_digit_and_strokes_beside_it(upscaled: np.ndarray) -> None:
    rows = digit_scenes("validation", 12, seed=1)
    labels = load_digits().target
    assert rows.images.shape == (12, CANVAS, CANVAS)
    assert rows.images.dtype == np.uint8
    assert rows.evidence.dtype == bool
    for i in range(12):
        row = rows[i]
        index = place_of(row["image"], row["evidence"]["image"], upscaled)
        assert labels[index] == row["label"]
        beside = row["image"][~row["evidence"]["image"]]
        assert (beside > 255 * INK).any()  # distractors, as dark as a digit
    assert sum((r["image"] > 100).sum() > 1.3 * r["evidence"]["image"].sum() for r in rows) >= 6


def test_no_digit_is_in_two_splits(upscaled: np.ndarray) -> None:
    bounds = sorted(SPLITS.values())
    assert [b for b, _ in bounds] == [0, *(e for _, e in bounds[:-1])]
    assert bounds[-1][1] == len(upscaled)
    seen = {
        split: {place_of(r["image"], r["evidence"]["image"], upscaled) for r in digit_scenes(split, 25)}
        for split in SPLITS
    }
    assert not seen["train"] & seen["validation"]
    assert not seen["train"] & seen["test"]
    assert not seen["validation"] & seen["test"]
    pools = {split: np.sort(digit_scenes(split).labels) for split in SPLITS}
    assert {k: len(v) for k, v in pools.items()} == {k: e - b for k, (b, e) in SPLITS.items()}
    assert np.array_equal(np.sort(np.concatenate(list(pools.values()))), np.sort(load_digits().target))


def test_more_scenes_than_digits_place_a_digit_anew() -> None:
    pool = SPLITS["validation"][1] - SPLITS["validation"][0]
    rows = digit_scenes("validation", pool + 5)
    assert len(rows) == pool + 5
    assert np.array_equal(rows.labels[pool:], rows.labels[:5])
    assert not np.array_equal(rows.images[pool:], rows.images[:5])


def test_rows_index_like_a_sequence() -> None:
    rows = digit_scenes("test", 3)
    assert len(list(rows)) == 3  # type: ignore[call-overload]
    assert rows[-1]["label"] == rows[2]["label"]
    with pytest.raises(IndexError):
        rows[3]


@pytest.mark.parametrize("count", [0, -1])
def test_bad_arguments_are_refused(count: int) -> None:
    with pytest.raises(ConfigError, match="split must be one of train, validation, test; got 'dev'"):
        digit_scenes("dev")
    with pytest.raises(ConfigError, match="count must be at least 1"):
        digit_scenes("test", count)


def test_an_empty_digit_has_no_evidence() -> None:
    _, evidence = draw_scene(np.zeros((8, 8)), np.random.default_rng(0))
    assert not evidence.any()
