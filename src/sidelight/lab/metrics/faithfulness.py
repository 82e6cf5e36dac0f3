"""Does the model's confidence follow the map?

``p`` is the softmax probability of the class predicted on the clean input. The functions take measured
confidences and return one value per sample. Ranges hold for probabilities. Under a protocol of logits there are none.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sidelight.errors import InputError
from sidelight.lab.metrics.arguments import on_tensors
from sidelight.lab.metrics.base import define

#: Batches of different sizes differ by rounding, so a smaller rise does not count.
CONFIDENCE_TOLERANCE = 1e-6


@on_tensors("B", "B")
def average_drop(p: Tensor, p_masked: Tensor) -> Tensor:
    """``max(0, p − p_masked)``: confidence lost when the map itself masks the input.

    Source: thesis §4.1; Chattopadhay et al. 2018, without the division by p.

    Args:
        p: ``[B]`` in [0, 1], of the clean input.
        p_masked: ``[B]`` in [0, 1], of the input masked by the soft map.

    Returns:
        ``[B]`` in [0, 1], lower is better.

    Raises:
        InputTypeError: an argument is no tensor, array or list of real numbers.
        InputError: shapes do not fit each other.

    Example:
        >>> average_drop([0.9, 0.5], [0.4, 0.7])  # the second map loses nothing
        tensor([0.5000, 0.0000])
    """
    return (p - p_masked).clamp(min=0)


@on_tensors("B", "B")
def average_drop_relative(p: Tensor, p_masked: Tensor) -> Tensor:
    """``max(0, p − p_masked) / p``: the share of the confidence that is lost (Chattopadhay et al. 2018).

    Args:
        p, p_masked: ``[B]`` in [0, 1], as for :func:`average_drop`.

    Returns:
        ``[B]`` in [0, 1], lower is better. If ``p`` is 0, nothing can be lost, and the value is 0.

    Raises:
        InputError, InputTypeError: as :func:`average_drop`.

    Example:
        >>> average_drop_relative([0.8, 0.5], [0.4, 0.7])  # half of 0.8 is lost
        tensor([0.5000, 0.0000])
    """
    return average_drop(p, p_masked) / p.clamp(min=torch.finfo(p.dtype).tiny)


@on_tensors("B", "B")
def increase_in_confidence(p: Tensor, p_masked: Tensor) -> Tensor:
    """1 if ``p_masked > p``, else 0 (Chattopadhay et al. 2018).

    A rise up to :data:`CONFIDENCE_TOLERANCE`, which is 1e-6, is rounding and does not count, so a map of ones scores 0.

    Args:
        p, p_masked: ``[B]`` in [0, 1], as for :func:`average_drop`.

    Returns:
        ``[B]``, 0 or 1, higher is better. The mean is the share of samples.

    Raises:
        InputError, InputTypeError: as :func:`average_drop`.

    Example:
        >>> increase_in_confidence([0.9, 0.5], [0.4, 0.7])
        tensor([0., 1.])
    """
    return (p_masked > p + CONFIDENCE_TOLERANCE).to(p.dtype)


@on_tensors("BK", "*BK")
def area_under_curve(p: Tensor, shares: Tensor) -> Tensor:
    """Trapezoid area under ``p`` against the share of features, step 0 included.

    Args:
        p: ``[B, K+1]`` confidences.
        shares: ``[B, K+1]`` or ``[K+1]``, ascending from 0 to 1: the share really removed. With few features it
            differs from ``k / K``.

    Returns:
        ``[B]`` within the range of ``p``.

    Raises:
        InputTypeError: an argument is no tensor, array or list of real numbers.
        InputError: the shapes do not fit each other, or a curve has fewer than two confidences.

    Example:
        >>> area_under_curve([[1.0, 0.5, 0.0]], [0.0, 0.5, 1.0])  # 0.5 · 0.75 + 0.5 · 0.25
        tensor([0.5000])
    """
    if p.shape[-1] < 2:
        raise InputError(f"a curve needs at least two confidences; got {p.shape[-1]} for each sample.")
    return torch.trapezoid(p.double(), shares.double().expand_as(p), dim=-1).to(p.dtype)


def deletion_auc(p: Tensor, shares: Tensor) -> Tensor:
    """Area while the most relevant features are removed first (Petsiuk et al. 2018).

    Args:
        p: ``[B, K+1]`` confidence at each step, that of the whole input first.
        shares: ``[B, K+1]`` or ``[K+1]`` share removed at each step, from 0 to 1.

    Returns:
        ``[B]`` in [0, 1], lower is better.

    Raises:
        InputError, InputTypeError: as :func:`area_under_curve`.

    Example:
        >>> deletion_auc([[1.0, 0.5, 0.0]], [0.0, 0.25, 1.0])  # 0.25 · 0.75 + 0.75 · 0.25
        tensor([0.3750])
    """
    return area_under_curve(p, shares)


def insertion_auc(p: Tensor, shares: Tensor) -> Tensor:
    """Area while the most relevant features are added first (Petsiuk et al. 2018).

    Args:
        p: ``[B, K+1]`` confidence at each step, that of the empty input first.
        shares: ``[B, K+1]`` or ``[K+1]`` share added at each step, from 0 to 1.

    Returns:
        ``[B]`` in [0, 1], higher is better.

    Raises:
        InputError, InputTypeError: as :func:`area_under_curve`.

    Example:
        >>> insertion_auc([[0.0, 1.0, 1.0]], [0.0, 0.5, 1.0])  # 0.5 · 0.5 + 0.5 · 1
        tensor([0.7500])
    """
    return area_under_curve(p, shares)


@on_tensors("B", "BA")
def sufficiency(p: Tensor, p_kept: Tensor) -> Tensor:
    """``p − p(top k % alone)``, mean over the areas (DeYoung et al. 2020, ERASER).

    Args:
        p: ``[B]`` clean confidence.
        p_kept: ``[B, A]`` confidence with only the top features of each area.

    Returns:
        ``[B]`` in [−1, 1], lower is better.

    Raises:
        InputError, InputTypeError: as :func:`average_drop`.

    Example:
        >>> sufficiency([0.9], [[0.5, 0.7]])  # 0.9 − 0.6
        tensor([0.3000])
    """
    return p - p_kept.mean(1)


@on_tensors("B", "BA")
def comprehensiveness(p: Tensor, p_removed: Tensor) -> Tensor:
    """``p − p(top k % removed)``, mean over the areas (DeYoung et al. 2020, ERASER).

    Args:
        p: ``[B]`` clean confidence.
        p_removed: ``[B, A]`` confidence without the top features of each area.

    Returns:
        ``[B]`` in [−1, 1], higher is better.

    Raises:
        InputError, InputTypeError: as :func:`average_drop`.

    Example:
        >>> comprehensiveness([0.9], [[0.5, 0.1]])  # 0.9 − 0.3
        tensor([0.6000])
    """
    return p - p_removed.mean(1)


@on_tensors("B", "B")
def srg(deletion: Tensor, insertion: Tensor) -> Tensor:
    """Symmetric relevance gain (Blücher et al. 2024): area least-relevant-first − most-relevant-first.

    If all but the top c features are removed, least relevant first, the input equals that of insertion after c
    features. With the same order of ties, the least-relevant-first curve is therefore the insertion curve read
    backwards. It has the same area, so it needs no further pass.

    Args:
        deletion: ``[B]`` :func:`deletion_auc`.
        insertion: ``[B]`` :func:`insertion_auc`, same order of ties.

    Returns:
        ``[B]`` in [−1, 1], higher is better.

    Raises:
        InputError, InputTypeError: as :func:`average_drop`.

    Example:
        >>> srg(deletion=[0.25], insertion=[0.75])
        tensor([0.5000])
    """
    return insertion - deletion


@on_tensors("BK", "*BK")
def flip_share(verdict: Tensor, shares: Tensor) -> Tensor:
    """Share of features that must be removed, most relevant first, until the model says something else.

    Args:
        verdict: ``[B, K+1]`` 1 if the prediction still stands at a step, else 0. With ties, a mean over orders.
        shares: ``[B, K+1]`` or ``[K+1]`` the share removed at each step.

    Returns:
        ``[B]`` float32 in [0, 1], lower is better: the share at the first step with a verdict below 0.5. It is 1 if the
        prediction stands to the end.

    Raises:
        InputError, InputTypeError: as :func:`average_drop`.

    Example:
        >>> flip_share([[1, 1, 0, 0]], [0.0, 0.25, 0.5, 1.0])
        tensor([0.5000])
    """
    lost = verdict < 0.5
    first = lost.float().argmax(1, keepdim=True)
    at = shares.double().expand_as(verdict).gather(1, first).squeeze(1)
    return torch.where(lost.any(1), at, torch.ones_like(at)).to(torch.float32)


define(
    "average_drop",
    "lower",
    "confidence lost when the map masks the input",
    lambda e: average_drop(e.clean, e.masked),
    "mask",
)
define(
    "average_drop_relative",
    "lower",
    "the same as a share of the clean confidence",
    lambda e: average_drop_relative(e.clean, e.masked),
    "mask",
)
define(
    "increase_in_confidence",
    "higher",
    "share of samples whose confidence rises under the map",
    lambda e: increase_in_confidence(e.clean, e.masked),
    "mask",
)
define(
    "deletion_auc",
    "lower",
    "area under confidence, most relevant removed first",
    lambda e: deletion_auc(e.deletion, e.shares),
    "steps",
)
define(
    "insertion_auc",
    "higher",
    "area under confidence, most relevant added first",
    lambda e: insertion_auc(e.insertion, e.shares),
    "steps",
)
define(
    "sufficiency",
    "lower",
    "confidence lost when only the top k % stay, mean over k",
    lambda e: sufficiency(e.clean, e.kept),
    "areas",
)
define(
    "comprehensiveness",
    "higher",
    "confidence lost when the top k % go, mean over k",
    lambda e: comprehensiveness(e.clean, e.removed),
    "areas",
)
define(
    "srg",
    "higher",
    "area least relevant first minus most relevant first",
    lambda e: srg(deletion_auc(e.deletion, e.shares), insertion_auc(e.insertion, e.shares)),
    "steps",
)
define(
    "flip_share",
    "lower",
    "share removed until the verdict flips, most relevant first",
    lambda e: flip_share(e.verdict, e.shares),
    "steps",
)
