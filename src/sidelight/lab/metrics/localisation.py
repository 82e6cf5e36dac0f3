"""Does the map point at the known evidence?

Every function takes ``[B, N]`` tensors and returns ``[B]``. A sample whose truth marks no real feature gets NaN.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sidelight.lab.metrics.arguments import on_tensors
from sidelight.lab.metrics.base import Evidence, define


def _known(values: Tensor, true: Tensor) -> Tensor:
    """``values`` with NaN for samples that have no true feature. ``true`` ``[B]`` counts them."""
    return values.where(true > 0, torch.full_like(values, torch.nan))


def _real_truth(truth: Tensor, real: Tensor | None) -> tuple[Tensor, Tensor]:
    real = torch.ones_like(truth) if real is None else real
    return truth & real, real


def _region_counts(
    mask: Tensor, truth: Tensor, real: Tensor | None, threshold: float
) -> tuple[Tensor, Tensor, Tensor]:
    """``[B]`` numbers of real features: in region and truth, in the region ``mask >= threshold``, in the truth."""
    truth, real = _real_truth(truth, real)
    region = (mask >= threshold) & real
    return (region & truth).sum(1), region.sum(1), truth.sum(1)


@on_tensors("BN", "BN", "BN")
def iou(mask: Tensor, truth: Tensor, real: Tensor | None = None, threshold: float = 0.5) -> Tensor:
    """Intersection over union of ``mask >= threshold`` and the truth.

    Args:
        mask: ``[B, N]`` min-max map in [0, 1].
        truth: ``[B, N]`` bool.
        real: ``[B, N]`` bool, default all true. Other features count nowhere.
        threshold: level of the region, in (0, 1].

    Returns:
        ``[B]`` float32 in [0, 1], higher is better. NaN if no real feature is true.

    Raises:
        InputTypeError: an argument is no tensor, array or list of real numbers.
        InputError: shapes do not fit each other, or a flag is neither 0 nor 1.

    Example:
        >>> iou([[0.1, 0.6, 0.9, 1.0]], truth=[[0, 0, 1, 1]])  # three features in the region, two of them true
        tensor([0.6667])
    """
    both, region, true = _region_counts(mask, truth, real, threshold)
    return _known(both.float() / (region + true - both).clamp(min=1), true)


@on_tensors("BN", "BN", "BN")
def f1(mask: Tensor, truth: Tensor, real: Tensor | None = None, threshold: float = 0.5) -> Tensor:
    """F1 of ``mask >= threshold`` against the truth, feature by feature: ``2 TP / (region + truth)``.

    On tokens this is token F1 (DeYoung et al. 2020, ERASER), on images the Dice coefficient.

    Args:
        mask: ``[B, N]`` min-max map in [0, 1].
        truth: ``[B, N]`` bool.
        real: ``[B, N]`` bool, default all true. Other features count nowhere.
        threshold: level of the region, in (0, 1].

    Returns:
        ``[B]`` float32 in [0, 1], higher is better. NaN if no real feature is true.

    Raises:
        InputError, InputTypeError: as :func:`iou`.

    Example:
        >>> f1([[0.1, 0.6, 0.9, 1.0]], truth=[[0, 0, 1, 1]])  # 2 · 2 / (3 + 2)
        tensor([0.8000])
    """
    both, region, true = _region_counts(mask, truth, real, threshold)
    return _known(2 * both.float() / (region + true).clamp(min=1), true)


@on_tensors("BN", "BN", "BN")
def auprc(order: Tensor, truth: Tensor, real: Tensor | None = None) -> Tensor:
    """Average precision: ``Σ (R_i − R_{i−1}) P_i`` over the distinct scores. It sums the area under precision and recall.

    ``P_i`` and ``R_i`` are the precision and the recall of the features that score at least the i-th distinct score. Tied
    features enter together, so the order within a tie has no influence.

    Source: DeYoung et al. 2020 (ERASER) measure soft scores by the area under this curve.

    Args:
        order: ``[B, N]`` finite scores of any sign.
        truth: ``[B, N]`` bool.
        real: ``[B, N]`` bool, default all true.

    Returns:
        ``[B]`` float32 in [0, 1], higher is better. A constant map gets the share of true features. NaN if no real feature
        is true.

    Raises:
        InputError, InputTypeError: as :func:`iou`.

    Example:
        >>> auprc([[0.9, 0.8, 0.7, 0.6]], truth=[[1, 0, 0, 1]])  # (1/1 + 2/4) / 2
        tensor([0.7500])
    """
    truth, real = _real_truth(truth, real)
    values, index = order.masked_fill(~real, -torch.inf).sort(1, descending=True)
    hits = truth.gather(1, index)
    place = torch.arange(values.shape[1], device=values.device).expand_as(index)
    last = torch.ones_like(hits)
    last[:, :-1] = values[:, 1:] != values[:, :-1]
    # end of the tie that each feature belongs to: the nearest "last" at or after it
    end = place.masked_fill(~last, values.shape[1]).flip(1).cummin(1).values.flip(1)
    precision = hits.cumsum(1).gather(1, end).double() / (end + 1)
    true = truth.sum(1)
    return _known((precision * hits).sum(1) / true.clamp(min=1), true).float()


@on_tensors("BN", "BN", "BN")
def pointing_game(order: Tensor, truth: Tensor, real: Tensor | None = None) -> Tensor:
    """Chance that the highest-scoring feature is a true one (Zhang et al. 2018, no margin).

    A tie counts by expectation: the share of true features among those that share the maximum.

    Args:
        order: ``[B, N]`` finite scores of any sign.
        truth: ``[B, N]`` bool.
        real: ``[B, N]`` bool, default all true.

    Returns:
        ``[B]`` float32 in [0, 1], higher is better. NaN if no real feature is true.

    Raises:
        InputError, InputTypeError: as :func:`iou`.

    Example:
        >>> pointing_game([[3.0, 3.0, 1.0]], truth=[[1, 0, 1]])  # one of two that share the maximum
        tensor([0.5000])
    """
    truth, real = _real_truth(truth, real)
    values = order.masked_fill(~real, -torch.inf)
    top = (values == values.amax(1, keepdim=True)) & real
    return _known((top & truth).sum(1).float() / top.sum(1).clamp(min=1), truth.sum(1))


def _truth(evidence: Evidence) -> Tensor:
    return evidence.real & False if evidence.truth is None else evidence.truth


define(
    "iou",
    "higher",
    "overlap of the thresholded map with the truth",
    lambda e: iou(e.mask, _truth(e), e.real, e.threshold),
    truth=True,
)
define(
    "f1",
    "higher",
    "F1 of the thresholded map against the truth",
    lambda e: f1(e.mask, _truth(e), e.real, e.threshold),
    truth=True,
)
define(
    "auprc",
    "higher",
    "average precision of the ranking against the truth",
    lambda e: auprc(e.order, _truth(e), e.real),
    truth=True,
)
define(
    "pointing_game",
    "higher",
    "chance that the highest score lies in the truth",
    lambda e: pointing_game(e.order, _truth(e), e.real),
    truth=True,
)
