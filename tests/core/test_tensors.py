"""Means and spreads over the real features, with and without a mask, and finite values whose sum is not."""

from __future__ import annotations

import pytest
import torch

from sidelight.core.finite import require_finite_logits, require_finite_scores
from sidelight.core.tensors import deviations, masked_mean, masked_range, standardise, unless_all
from sidelight.errors import NotFiniteError


def test_no_mask_is_a_mask_of_ones() -> None:
    values = torch.randn(3, 50, dtype=torch.float64)
    real = torch.ones(3, 50, dtype=torch.bool)
    for function in (masked_mean, masked_range, standardise, deviations):
        torch.testing.assert_close(function(values, None), function(values, real), rtol=1e-12, atol=1e-12)


def test_a_mask_is_left_out_only_if_all_are_real() -> None:
    real = torch.ones(2, 3, 4, dtype=torch.bool)
    assert unless_all(real) is None
    assert unless_all(real.transpose(0, 2)) is None
    real[1, 2, 3] = False
    assert unless_all(real) is real
    assert unless_all(real[:, :0]) is not None


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_large_values_whose_sum_overflows_are_finite(dtype: torch.dtype) -> None:
    values = torch.full((2, 4), torch.finfo(dtype).max, dtype=dtype)
    require_finite_logits(values)
    require_finite_scores({"text": values}, {"text": torch.ones(2, 4, dtype=torch.bool)})


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_one_value_that_is_not_finite_is_found(bad: float) -> None:
    values = torch.ones(2, 4)
    values[1, 2] = bad
    with pytest.raises(NotFiniteError):
        require_finite_logits(values)
    real = torch.ones(2, 4, dtype=torch.bool)
    with pytest.raises(NotFiniteError):
        require_finite_scores({"text": values}, {"text": real})
    real[1, 2] = False  # of padding it does not matter
    require_finite_scores({"text": values}, {"text": real})
