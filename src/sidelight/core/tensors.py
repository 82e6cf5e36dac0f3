"""Small functions of tensors that several rooms need."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

#: Added to the variance of a map before its root is taken.
EPS = 1e-5


def probabilities(logits: Tensor, independent: bool = False) -> Tensor:
    """``[B, K]`` probabilities of a target's logits ``[B, K]``, in float32.

    Args:
        independent: whether each label is decided by itself. Logits are then half log-odds, ``s/2`` of the L labels and
            ``-s/2`` of their opposites, so that sigmoid and softmax over a label and its opposite are the same.

    Example:
        >>> import torch
        >>> probabilities(torch.tensor([[0.0, 1.0, 0.0, -1.0]]), independent=True)
        tensor([[0.5000, 0.8808, 0.5000, 0.1192]])
    """
    return (2 * logits.float()).sigmoid() if independent else logits.float().softmax(-1)


def predictable(values: Tensor, independent: bool = False) -> Tensor:
    """The columns of ``values [B, K]`` for classes that may be the prediction: all, or the L labels without opposites."""
    return values[..., : values.shape[-1] // 2] if independent else values


def opposite(classes: Tensor, count: int) -> Tensor:
    """The opposite of each class among ``count`` classes of independent labels: "not cat" of "cat", and back."""
    return (classes + count // 2) % count


def decisions(values: Tensor, classes: Tensor, independent: bool = False) -> Tensor:
    """``[B]`` what a model decides. Two decisions about the same classes are equal if the verdict stands.

    Args:
        values: ``[B, K]`` logits or probabilities.
        classes: ``[B]`` class that a map is of.

    Returns:
        The number of the most probable class. Of independent labels, whether the class is at least as probable as its
        opposite.
    """
    if not independent:
        return values.argmax(-1)
    asked = torch.stack([classes, opposite(classes, values.shape[-1])], -1)
    own, other = values.gather(-1, asked).unbind(-1)
    return own >= other


def both_ways(logits: Tensor) -> Tensor:
    """``logits``, of a classifier of one output ``-s`` and ``s`` in place of 0 and ``s``: no input changes a 0.

    Example:
        >>> import torch
        >>> both_ways(torch.tensor([[0.0, 1.5]])), both_ways(torch.tensor([[0.5, 1.5]]))
        (tensor([[-1.5000,  1.5000]]), tensor([[0.5000, 1.5000]]))
    """
    if logits.shape[-1] == 2 and not logits.detach()[:, 0].any():
        return torch.cat([-logits[:, 1:], logits[:, 1:]], 1)
    return logits


def unless_all(real: Tensor) -> Tensor | None:
    """``real``, or ``None`` if it is true everywhere, as for pixels. Then sums need no mask, which costs more than they.

    A graph cannot look at values, so it keeps the mask.

    Args:
        real: boolean, of any shape.
    """
    if torch.compiler.is_compiling() or not real.numel():
        return real
    # the smallest of bytes is found many times as fast as whether all booleans are true
    return None if bool(real.view(torch.uint8).amin()) else real


def masked_mean(values: Tensor, feature_mask: Tensor | None) -> Tensor:
    """``[B]`` mean of ``values`` ``[B, ...]`` over the real features of each sample, 0 if it has none.

    Args:
        feature_mask: boolean of the same shape. ``None``: all are real.

    Example:
        >>> import torch
        >>> masked_mean(torch.tensor([[1.0, 3.0, 9.0]]), torch.tensor([[True, True, False]]))
        tensor([2.])
    """
    if feature_mask is None:
        return values.flatten(1).mean(1)
    real = feature_mask.reshape(values.shape).flatten(1).to(values.dtype)
    return (values.flatten(1) * real).sum(1) / real.sum(1).clamp(min=1)


def deviations(values: Tensor, real: Tensor | None) -> tuple[Tensor, Tensor]:
    """Distances of ``values [B, N]`` from the mean of their row, and the variance ``[B, 1]``, over the real features.

    Args:
        real: ``[B, N]`` boolean. ``None``: all are real.
    """
    away = values - masked_mean(values, real).unsqueeze(1)
    # a norm would spare the squares, but it adds one after another, and rounds a hundred times as much
    return away, masked_mean(away * away, real).unsqueeze(1)


def standardise(z: Tensor, real: Tensor | None, eps: float = EPS) -> Tensor:
    """Zero mean and unit variance over the real features of each row of ``[B, N]``. ``None``: all are real."""
    away, variance = deviations(z, real)
    return away / torch.sqrt(variance + eps)


def slopes_of(total: Tensor, points: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Gradient of the number ``total`` at each of ``points``, of their shapes. It is 0 where ``total`` does not depend on one.

    Args:
        points: tensors that require a gradient, by name.
    """
    found = torch.autograd.grad(total, list(points.values()), allow_unused=True)
    pairs = zip(points.items(), found, strict=True)
    return {name: torch.zeros_like(point) if slope is None else slope for (name, point), slope in pairs}


def best_first(values: Tensor) -> Tensor:
    """``[B, N]`` places of ``values [B, N]``, the largest first. Equal ones keep their order. There are no NaNs.

    On the CPU one number holds value and place, because NumPy sorts such numbers several times as fast as PyTorch sorts
    places.

    Example:
        >>> import torch
        >>> best_first(torch.tensor([[0.5, 2.0, 0.5, -1.0]]))
        tensor([[1, 0, 2, 3]])
    """
    if values.device.type != "cpu" or values.dtype != torch.float32:
        return values.argsort(dim=1, descending=True, stable=True)
    # + 0.0 makes one zero of the two. The bits of positive floats are in order, those of negative ones in reverse.
    bits = (values.detach().numpy() + np.float32(0.0)).view(np.int32).astype(np.int64)
    keys = np.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    keys = ((-1 - keys) << 32) | np.arange(values.shape[1])
    keys.sort(axis=1)
    return torch.from_numpy(keys & 0xFFFFFFFF)


def masked_range(values: Tensor, real: Tensor | None) -> tuple[Tensor, Tensor]:
    """``[B, 1]`` smallest and largest of ``values`` ``[B, N]`` over the real features, infinite if there are none.

    Args:
        real: ``[B, N]`` boolean. ``None``: all are real.
    """
    if real is None:
        return values.amin(1, keepdim=True), values.amax(1, keepdim=True)
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
