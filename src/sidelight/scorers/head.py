"""The score head: ReLU, sigmoid and rescale (thesis §3.2). Each of them can be switched off."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sidelight.core.tensors import EPS, deviations, masked_range, unless_all

#: below this spread a map counts as constant
FLAT = 1e-6


class ScoreHead(nn.Module):
    """Raw scorer output to scores in [0, 1].

    ReLU gives all background the same value, 0. ``sigmoid(relu(z))`` alone would lie in [0.5, 1). So between the two, the
    values are standardised over the real features of each sample, with a learned gain and offset. Unlike a batch norm,
    this makes a map independent of its batch. Rescale stretches the scores of each sample to [0, 1]. A constant map
    becomes zeros instead of a division by zero.

    If ReLU sets a whole map to 0, its gradient passes to the raw scores as if there were no head. Otherwise an empty map
    would stay empty, because neither penalty has a gradient at a map of zeros. All maps of a training may be lost so
    (measured: most picture maps of pairs for one target of three, ``docs/notes/scenes.md``).

    Args:
        relu, sigmoid, rescale: the three steps of the thesis. Its ablation (§5.4) switches them off.
        standardise: whether values are standardised before the sigmoid. Without it they go in as they are, for
            masks whose mean is learnt. It has no effect without the sigmoid.

    Example:
        >>> head, real = ScoreHead(sigmoid=False), torch.tensor([[True, True, True, False]])
        >>> head(torch.tensor([[-1.0, 1.0, 2.0, 9.0]]), real)  # ReLU gives 0, 1, 2; the last is no feature
        tensor([[0.0000, 0.5000, 1.0000, 1.0000]])
    """

    def __init__(
        self, relu: bool = True, sigmoid: bool = True, rescale: bool = True, standardise: bool = True
    ) -> None:
        super().__init__()
        self.relu, self.sigmoid, self.rescale, self.standardise = relu, sigmoid, rescale, standardise
        learnt = sigmoid and standardise
        self.gain = nn.Parameter(torch.tensor(2.0), requires_grad=learnt)
        self.offset = nn.Parameter(torch.tensor(0.0), requires_grad=learnt)

    def forward(self, raw: Tensor, feature_mask: Tensor) -> Tensor:
        """Scores of ``raw``'s shape ``[B, ...]``. Features outside ``feature_mask`` score 1.

        Args:
            raw: unbounded scorer output, one finite value per feature.
            feature_mask: boolean, of ``raw``'s shape, true for real features.

        Returns:
            float32 in [0, 1], of ``raw``'s shape.
        """
        shape = raw.shape
        real = unless_all(feature_mask)
        z = raw.float().flatten(1)
        if real is not None:
            real = real.reshape(shape).flatten(1)
            # No value of the padding, not even a NaN, may reach the sums below.
            z = z.masked_fill(~real, 0)
        bare = z
        if self.relu:
            z = z.relu()
        if self.sigmoid and self.standardise:
            away, variance = deviations(z, real)
            z = torch.addcmul(self.offset, away, self.gain / torch.sqrt(variance + EPS))
        if self.sigmoid:
            z = torch.sigmoid(z)
        z = rescale(z, real) if self.rescale else z.clamp(0, 1)
        if self.relu and torch.is_grad_enabled():
            empty = (bare <= 0).all(1, keepdim=True)
            z = torch.where(empty, straight_through(z, bare), z)
        return (z if real is None else z.masked_fill(~real, 1)).reshape(shape)


def rescale(z: Tensor, real: Tensor | None) -> Tensor:
    """Min-max each row of ``[B, N]`` over its real features (``None``: all). There, a constant row becomes zeros."""
    low, high = masked_range(z, real)
    span = high - low
    flat = ~(span > FLAT)  # also true if no feature is real (infinite bounds)
    # values of a constant row are divided by infinity, because a choice for each value costs more
    return (z - torch.where(flat, 0.0, low)) / torch.where(flat, float("inf"), span)


def straight_through(value: Tensor, source: Tensor) -> Tensor:
    """Exactly ``value``, with the gradient of ``source``."""
    return value.detach() + (source - source.detach())  # another order would round


def is_constant(scores: Tensor, feature_mask: Tensor) -> Tensor:
    """``[B]`` true if all real features of a sample score the same (a collapse)."""
    real = unless_all(feature_mask)
    real = None if real is None else real.reshape(scores.shape).flatten(1)
    low, high = masked_range(scores.flatten(1), real)
    return ~(high - low > FLAT).squeeze(1)
