"""Small functions of tensors that several rooms need."""

from __future__ import annotations

import torch
from torch import Tensor


def probabilities(logits: Tensor) -> Tensor:
    """``[B, K]`` probabilities of a target's logits ``[B, K]``, in float32."""
    return logits.float().softmax(-1)


def masked_mean(values: Tensor, feature_mask: Tensor) -> Tensor:
    """``[B]`` mean of ``values`` ``[B, ...]`` over the real features of each sample, 0 if it has none.

    Example:
        >>> import torch
        >>> masked_mean(torch.tensor([[1.0, 3.0, 9.0]]), torch.tensor([[True, True, False]]))
        tensor([2.])
    """
    real = feature_mask.reshape(values.shape).flatten(1).to(values.dtype)
    return (values.flatten(1) * real).sum(1) / real.sum(1).clamp(min=1)


def masked_range(values: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """``[B, 1]`` smallest and largest of ``values`` ``[B, N]`` over the real features, infinite if there are none."""
    low = values.masked_fill(~real, float("inf")).amin(1, keepdim=True)
    return low, values.masked_fill(~real, float("-inf")).amax(1, keepdim=True)


def pooled(values: Tensor, cells: Tensor, size: Tensor, real: Tensor) -> Tensor:
    """``[B, M]`` mean of ``values [B, N]`` over the real features of each cell, 0 if it has none.

    Args:
        cells: ``[B, N]`` cell of each feature.
        size: ``[B, M]`` real features in each cell.
        real: ``[B, N]`` boolean.
    """
    total = torch.zeros(size.shape, dtype=values.dtype, device=values.device)
    return total.scatter_add(1, cells, values * real) / size.clamp(min=1).to(values.dtype)


def places(order: Tensor) -> Tensor:
    """``[B, N]`` features in order to the place of each feature, 0 for the first."""
    counted = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, counted)


def step_counts(n: Tensor, steps: int) -> Tensor:
    """Features removed after each of ``steps`` equal steps: ``round(k·n / steps)``, halves up.

    Args:
        n: ``[B]`` number of real features.
        steps: K, at least 1.

    Returns:
        ``[B, K+1]`` int64 from 0 to n.
    """
    k = torch.arange(steps + 1, device=n.device)
    return (2 * k * n.long()[:, None] + steps) // (2 * steps)
