"""How much of the input does a map light up? Read these metrics beside faithfulness, never alone."""

from __future__ import annotations

import torch
from torch import Tensor

from sidelight.lab.metrics.arguments import on_tensors
from sidelight.lab.metrics.base import define


def _real(mask: Tensor, real: Tensor | None) -> tuple[Tensor, Tensor]:
    real = torch.ones_like(mask, dtype=torch.bool) if real is None else real
    return mask.masked_fill(~real, 0.0), real.sum(1).clamp(min=1)


@on_tensors("BN", "BN")
def complexity(mask: Tensor, real: Tensor | None = None) -> Tensor:
    """L2 norm of the min-max map over the real features (thesis §4.1).

    Args:
        mask: ``[B, N]`` in [0, 1], one score per feature.
        real: ``[B, N]`` bool, default all true.

    Returns:
        ``[B]`` in [0, sqrt(N)], lower is better. It grows with N, so compare only maps with the same unit of
        scoring.

    Raises:
        InputTypeError: an argument is no tensor, array or list of real numbers.
        InputError: shapes do not fit each other, or a flag is neither 0 nor 1.

    Example:
        >>> complexity([[0.6, 0.8]])  # the root of 0.36 + 0.64
        tensor([1.])
    """
    return _real(mask, real)[0].norm(dim=1)


@on_tensors("BN", "BN")
def mean_score(mask: Tensor, real: Tensor | None = None) -> Tensor:
    """Mean of the min-max map over the real features.

    It exposes trivial maps: a map of ones has no average drop, but a mean score of 1.

    Args:
        mask: ``[B, N]`` min-max map in [0, 1].
        real: ``[B, N]`` bool, default all true.

    Returns:
        ``[B]`` in [0, 1], lower is better.

    Raises:
        InputTypeError: an argument is no tensor, array or list of real numbers.
        InputError: shapes do not fit each other, or a flag is neither 0 nor 1.

    Example:
        >>> mean_score([[0.0, 0.5, 1.0, 1.0]], real=[[1, 1, 1, 0]])  # the last feature is padding
        tensor([0.5000])
    """
    values, n = _real(mask, real)
    return values.sum(1) / n


@on_tensors("BN", "BN")
def sparsity(mask: Tensor, real: Tensor | None = None) -> Tensor:
    """Max divided by mean of the min-max map over the real features (thesis §4.1).

    Args:
        mask: ``[B, N]`` min-max map in [0, 1].
        real: ``[B, N]`` bool, default all true. ``N`` counts these.

    Returns:
        ``[B]`` in [1, N], higher is better. Any constant map gets 1, also one of zeros: it singles nothing out.

    Raises:
        InputTypeError: an argument is no tensor, array or list of real numbers.
        InputError: shapes do not fit each other, or a flag is neither 0 nor 1.

    Example:
        >>> sparsity([[0.0, 0.0, 0.0, 1.0]])  # the mean is 1/4
        tensor([4.])
    """
    mean = mean_score(mask, real)
    peak = _real(mask, real)[0].amax(1)
    return torch.where(mean > 0, peak / mean.where(mean > 0, torch.ones_like(mean)), torch.ones_like(mean))


@on_tensors("BN", "BN")
def area(mask: Tensor, real: Tensor | None = None, threshold: float = 0.5) -> Tensor:
    """Share of the real features that score above ``threshold``.

    Args:
        mask: ``[B, N]`` min-max map in [0, 1].
        real: ``[B, N]`` bool, default all true.
        threshold: level above which a feature counts as lit, in [0, 1).

    Returns:
        ``[B]`` in [0, 1], lower is better.

    Raises:
        InputTypeError: an argument is no tensor, array or list of real numbers.
        InputError: shapes do not fit each other, or a flag is neither 0 nor 1.

    Example:
        >>> area([[0.0, 0.5, 0.6, 1.0]])  # two of four lie above 0.5
        tensor([0.5000])
    """
    values, n = _real(mask, real)
    return (values > threshold).sum(1) / n


@on_tensors("BN", "BN")
def entropy(mask: Tensor, real: Tensor | None = None) -> Tensor:
    """Shannon entropy of the scores as a distribution, divided by its largest value ``log N``.

    Of scores ``s`` with the sum ``t`` it is ``−Σ (s / t) log(s / t) / log N``.

    Source: the complexity of Bhatt et al. 2020, made comparable across input sizes.

    Args:
        mask: ``[B, N]`` min-max map in [0, 1].
        real: ``[B, N]`` bool, default all true. ``N`` counts these.

    Returns:
        ``[B]`` in [0, 1], lower is better. It is 0 if one feature holds everything, and 1 for any constant map.
        A map of zeros or of a single feature counts as constant.

    Raises:
        InputTypeError: an argument is no tensor, array or list of real numbers.
        InputError: shapes do not fit each other, or a flag is neither 0 nor 1.

    Example:
        >>> entropy([[1.0, 1.0, 0.0, 0.0]])  # log 2 of log 4
        tensor([0.5000])
    """
    values, n = _real(mask.double(), real)
    total = values.sum(1, keepdim=True)
    share = values / total.where(total > 0, torch.ones_like(total))
    spread = torch.special.entr(share).sum(1) / n.clamp(min=2).log()
    constant = (total.squeeze(1) <= 0) | (n < 2)
    return torch.where(constant, torch.ones_like(spread), spread.clamp(0, 1)).to(mask.dtype)


define("complexity", "lower", "L2 norm of the min-max map", lambda e: complexity(e.mask, e.real))
define("sparsity", "higher", "max over mean of the min-max map", lambda e: sparsity(e.mask, e.real))
define("mean_score", "lower", "mean of the min-max map", lambda e: mean_score(e.mask, e.real))
define("area", "lower", "share of features above 0.5", lambda e: area(e.mask, e.real))
define("entropy", "lower", "entropy of the scores over its maximum", lambda e: entropy(e.mask, e.real))
