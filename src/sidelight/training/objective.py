"""The training objective, Eq. 3.3-3.5, as pure functions on tensors.

One function serves any number of modalities: Eq. 3.4 is Eq. 3.5 with one of them.
Everything is per sample, ``[B]``; the caller averages over the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sidelight.core.registry import Registry
from sidelight.errors import ConfigError, InputError
from sidelight.training.settings import LABELS

#: ``Δ [B] -> γ [B]``; Δ = task(f(x⊗S)) − task(f(x)).
Calibration = Callable[[Tensor], Tensor]

CALIBRATIONS: Registry[Calibration] = Registry("calibration")


@CALIBRATIONS.register("bounded")
def bounded(delta: Tensor) -> Tensor:
    """``1 / max(Δ, 1)`` without gradient: full weight while the loss is preserved, never above 1."""
    return 1 / delta.detach().clamp(min=1)


@CALIBRATIONS.register("literal")
def literal(delta: Tensor, floor: float = 0.01) -> Tensor:
    """``1 / clip(Δ, 0, 1)`` as printed in Eq. 3.4, without gradient; ``floor`` replaces the 0."""
    return 1 / delta.detach().clamp(floor, 1)


@CALIBRATIONS.register("reference")
def reference(delta: Tensor) -> Tensor:
    """``clip(1 / (Δ + 1e-16), 0, 1)`` with gradient, as in the thesis authors' public code."""
    return (1 / (delta + 1e-16)).clamp(0, 1)


@CALIBRATIONS.register("fixed")
def fixed(delta: Tensor) -> Tensor:
    """γ = 1: Eq. 3.3, where ``magnitude_weight`` and ``binary_weight`` are γ1 and γ2."""
    return torch.ones_like(delta)


@dataclass(frozen=True)
class ObjectiveTerms:
    """The objective and what it is made of, each ``[B]``.

    Attributes:
        loss: what is minimised.
        task: task loss with every modality masked.
        clean: task loss of the unmasked input.
        solo: sum of task losses with one modality masked alone (0 for a single modality).
        complement: two-sided term, or 0.
        magnitude, binary: unweighted penalties, summed over modalities.
        gamma: weight of the penalties.
        coalition: squared error of the raw scores' effects (:mod:`sidelight.training.coalitions`), or 0.
        order: losses on hard masks of a random share of the best features, or 0.
    """

    loss: Tensor
    task: Tensor
    clean: Tensor
    solo: Tensor
    complement: Tensor
    magnitude: Tensor
    binary: Tensor
    gamma: Tensor
    coalition: Tensor
    order: Tensor


def objective(
    joint: Tensor,
    clean: Tensor,
    scores: Mapping[str, Tensor],
    feature_mask: Mapping[str, Tensor],
    *,
    solo: Mapping[str, Tensor] | None = None,
    complement: Tensor | None = None,
    coalition: Tensor | None = None,
    order: Tensor | None = None,
    calibration: str = "bounded",
    magnitude_weight: float = 1.0,
    binary_weight: float = 1.0,
    complement_weight: float = 0.0,
    coalition_weight: float = 0.0,
    order_weight: float = 0.0,
) -> ObjectiveTerms:
    """Eq. 3.5; with one modality and no ``solo`` it is Eq. 3.4, with ``fixed`` Eq. 3.3.

    Args:
        joint: ``[B]`` task loss with all modalities masked.
        clean: ``[B]`` task loss of the unmasked input.
        scores: per modality, scores in [0, 1].
        feature_mask: per modality, boolean of the scores' shape.
        solo: per modality, ``[B]`` task loss with that modality masked alone.
        complement: ``[B]`` loss of what is left when the evidence is removed (:func:`complement_loss`).
        coalition: ``[B]`` squared error of the raw scores' effects (:mod:`sidelight.training.coalitions`).
        order: ``[B]`` losses on hard masks of the best features, and on what they leave.
        calibration: a name in :data:`CALIBRATIONS`.
        magnitude_weight, binary_weight, complement_weight, coalition_weight, order_weight: factors of the
            terms; 0 drops a term.
    """
    gamma = CALIBRATIONS[calibration](joint - clean)
    magnitude = _total([magnitude_penalty(s, feature_mask[m]) for m, s in scores.items()])
    binary = _total([binary_penalty(s, feature_mask[m]) for m, s in scores.items()])
    solos = _total(list((solo or {}).values())) if solo else torch.zeros_like(joint)
    outside, effects, ranked = (
        t if t is not None else torch.zeros_like(joint) for t in (complement, coalition, order)
    )
    penalties = gamma * (magnitude_weight * magnitude + binary_weight * binary)
    extra = complement_weight * outside + coalition_weight * effects + order_weight * ranked
    loss = joint + solos + penalties + extra
    return ObjectiveTerms(loss, joint, clean, solos, outside, magnitude, binary, gamma, effects, ranked)


def _total(terms: list[Tensor]) -> Tensor:
    return torch.stack(terms).sum(0)


def masked_mean(values: Tensor, feature_mask: Tensor) -> Tensor:
    """``[B]`` mean over the real features of each sample."""
    real = feature_mask.reshape(values.shape).flatten(1).to(values.dtype)
    return (values.flatten(1) * real).sum(1) / real.sum(1).clamp(min=1)


def magnitude_penalty(scores: Tensor, feature_mask: Tensor) -> Tensor:
    """``mean(S)^2`` over real features, ``[B]`` (Eq. 3.3, second term)."""
    return masked_mean(scores, feature_mask) ** 2


def binary_penalty(scores: Tensor, feature_mask: Tensor) -> Tensor:
    """``mean((S·(1 − S))^2)`` over real features, ``[B]`` (Eq. 3.3, third term)."""
    return masked_mean((scores * (1 - scores)) ** 2, feature_mask)


def label_distribution(logits: Tensor, labels: Tensor | None, source: str) -> Tensor:
    """``[B, K]`` distribution the task loss compares with.

    Args:
        logits: ``[B, K]`` of the clean pass.
        labels: ``[B]`` class indices; needed for ``source="data"`` only.
        source: one of :data:`LABELS`.

    Raises:
        ConfigError: unknown source, or ``"data"`` without labels.
        InputError: a label the model has no class for.
    """
    if source == "distribution":
        return logits.detach().float().softmax(-1)
    if source == "prediction":
        index = logits.argmax(-1)
    elif source == "data":
        if labels is None:
            raise ConfigError(
                "label='data' needs labels in the training data; use label='prediction' without them."
            )
        index = labels
        outside = (labels < 0) | (labels >= logits.shape[-1])
        if bool(outside.any()):
            raise InputError(
                f"label {int(labels[outside][0])} is none of the model's {logits.shape[-1]} classes "
                "(0 is the first); is this the data set the model was trained for?"
            )
    else:
        raise ConfigError(f"label must be one of {', '.join(LABELS)}; got {source!r}.")
    return torch.nn.functional.one_hot(index, logits.shape[-1]).to(torch.float32)


def task_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy ``[B]`` of ``logits [B, K]`` with the distribution ``target [B, K]``."""
    return -(target * logits.float().log_softmax(-1)).sum(-1)


def is_lost(task: Tensor, clean: Tensor, classes: int) -> Tensor:
    """``[B]`` true where the mask turns a prediction at least as good as a uniform guess into one that is worse.

    ``log(classes)`` is the cross-entropy of a uniform guess with any label.
    """
    chance = math.log(classes)
    return (task > chance) & (clean <= chance)


def complement_loss(logits: Tensor, target: Tensor) -> Tensor:
    """``−log(1 − p)`` ``[B]``: the removed evidence must lose the label's probability p.

    Computed as ``logsumexp(all) − logsumexp(others)``, which stays finite as p nears 1.
    """
    logits = logits.float()
    label = target.argmax(-1, keepdim=True)
    others = logits.scatter(-1, label, float("-inf"))
    return logits.logsumexp(-1) - others.logsumexp(-1)
