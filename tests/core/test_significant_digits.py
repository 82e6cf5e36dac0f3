"""Arrays rounded to significant digits are what Python's own formatting gives, number by number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidelight.core.digits import significant


def one_by_one(values: np.ndarray, digits: int = 6) -> list[float]:
    return [float(f"{v:.{digits}g}") for v in values.ravel().tolist()]


def same(values: np.ndarray, digits: int = 6) -> None:
    found, expected = significant(values, digits).ravel(), np.array(one_by_one(values, digits))
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))


@given(st.lists(st.floats() | st.floats(width=32) | st.integers(-(10**9), 10**9).map(float), max_size=40))
@settings(max_examples=400, deadline=None)
def test_any_numbers(values: list[float]) -> None:
    same(np.array(values, dtype=np.float64))


@pytest.mark.parametrize("digits", [1, 3, 6, 12])
def test_numbers_halfway_between_two(digits: int) -> None:
    halves = np.array([(2 * n + 1) / 2 * 10.0**e for n in (123456, 999999, 100000, 7) for e in range(-30, 9)])
    near = np.concatenate([halves, np.nextafter(halves, 0), np.nextafter(halves, np.inf), -halves])
    same(near, digits)
    same(np.array([10.0**e for e in range(-40, 40)]), digits)


def test_the_effects_of_many_pixels_keep_their_shape() -> None:
    values = (np.random.default_rng(0).normal(size=(3, 224, 224)) * 1e-7).astype(np.float32)
    assert significant(values).shape == values.shape
    same(values)
