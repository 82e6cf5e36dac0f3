"""The losses, penalties and calibrations of the objective (Eq. 3.3-3.5) as pure functions on tensors.

Everything is per sample, ``[B]``. The caller averages over the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from sidelight.core.registry import Registry
from sidelight.core.tensors import masked_mean, opposite, predictable, probabilities
from sidelight.errors import ConfigError, InputError
from sidelight.targets.verdict import Verdict
from sidelight.training.settings import LABELS

#: ``Δ [B] -> γ [B]`` for Δ = task(f(x⊗S)) − task(f(x)).
Calibration = Callable[[Tensor], Tensor]

#: Exponent of :func:`firm_error`.
FIRM = 0.3

CALIBRATIONS: Registry[Calibration] = Registry("calibration")


@CALIBRATIONS.register("bounded")
def bounded(delta: Tensor) -> Tensor:
    """``1 / max(Δ, 1)`` without gradient: weight 1 while the loss rises by at most 1, less if it rises more."""
    return 1 / delta.detach().clamp(min=1)


@CALIBRATIONS.register("literal")
def literal(delta: Tensor, floor: float = 0.01) -> Tensor:
    """``1 / clip(Δ, 0, 1)`` as printed in Eq. 3.4, without gradient. ``floor`` replaces the 0."""
    return 1 / delta.detach().clamp(floor, 1)


@CALIBRATIONS.register("reference")
def reference(delta: Tensor) -> Tensor:
    """``clip(1 / (Δ + 1e-16), 0, 1)`` with gradient, as in the thesis authors' public code."""
    return (1 / (delta + 1e-16)).clamp(0, 1)


@CALIBRATIONS.register("fixed")
def fixed(delta: Tensor) -> Tensor:
    """γ = 1, for Eq. 3.3, in which ``magnitude_weight`` and ``binary_weight`` are γ1 and γ2."""
    return torch.ones_like(delta)


def magnitude_penalty(scores: Tensor, feature_mask: Tensor) -> Tensor:
    """``mean(S)^2`` over real features, ``[B]`` (Eq. 3.3, second term)."""
    return masked_mean(scores, feature_mask) ** 2


def binary_penalty(scores: Tensor, feature_mask: Tensor) -> Tensor:
    """``mean((S·(1 − S))^2)`` over real features, ``[B]`` (Eq. 3.3, third term)."""
    return masked_mean((scores * (1 - scores)) ** 2, feature_mask)


def emptiness_penalty(scores: Tensor, feature_mask: Tensor) -> Tensor:
    """``−mean(log(1 − S))`` over real features, ``[B]``: the cross-entropy of the scores with a map of zeros.

    Scores count as at most 1 − 1e-6, because the logarithm of 0 is infinite.
    """
    return masked_mean(-torch.log1p(-scores.clamp(max=1 - 1e-6)), feature_mask)


def label_distribution(logits: Tensor, labels: Tensor | None, source: str) -> Tensor:
    """``[B, K]`` distribution that the task loss compares with.

    Args:
        logits: ``[B, K]`` of the clean pass.
        labels: ``[B]`` class indices, for ``source="data"`` only.
        source: one of :data:`LABELS`.

    Raises:
        ConfigError: unknown source, or ``"data"`` without labels.
        InputError: a label is no class of the model.
    """
    if source == "distribution":
        return probabilities(logits.detach())
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


def require_goal(verdict: Verdict, source: str) -> None:
    """Refuse goals that a model's kind of output does not have.

    Args:
        source: one of :data:`LABELS`.

    Raises:
        ConfigError: see above.
    """
    missing = why_no_goal(verdict, source)
    if missing:
        raise ConfigError(
            f"{missing}. Use label='prediction', which needs no labels (in a config: objective.label)."
        )


def why_no_goal(verdict: Verdict, source: str) -> str:
    """Why a model's kind of output does not have the goal ``source``. Empty if it has it."""
    if verdict.independent and source != "prediction":
        kind = "decides each label by itself, so that no single class is the goal"
    elif verdict.reading == "value" and source == "data":
        kind = "gives a value, and data hold no labels 'lower' and 'higher'"
    else:
        return ""
    return f"label={source!r} does not go with this model: it {kind}"


def said_labels(logits: Tensor, any_of_them: bool, chance: bool) -> Tensor:
    """``[B, K]`` one of the independent labels that the model says yes to, as a distribution.

    Args:
        logits: ``[B, K]`` half log-odds of the clean pass.
        any_of_them: else the most probable label. It is also taken if the model says yes to none.
        chance: whether one is drawn. Otherwise samples take their labels in turn, so that validations are repeatable.
    """
    labels = predictable(logits.detach(), independent=True)
    best = labels.argsort(dim=-1, descending=True, stable=True)
    place = torch.zeros(len(labels), dtype=torch.long, device=labels.device)
    if any_of_them:
        count = (labels >= 0).sum(-1).clamp(min=1)
        drawn = torch.rand(len(labels), dtype=torch.float32).to(labels.device)
        turn = torch.arange(len(labels), device=labels.device)
        place = (drawn * count).long().clamp(max=labels.shape[-1] - 1) if chance else turn % count
    index = best.gather(-1, place[:, None]).squeeze(-1)
    return torch.nn.functional.one_hot(index, logits.shape[-1]).to(torch.float32)


def own_question(logits: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and goal ``[B, 2]`` of the question that an independent label answers: is it there, or its opposite?

    Args:
        logits: ``[B, K]`` half log-odds.
        goal: ``[B, K]`` one-hot.
    """
    own = goal.argmax(-1, keepdim=True)
    both = torch.cat([own, opposite(own, logits.shape[-1])], -1)
    return logits.gather(-1, both), goal.gather(-1, both)


def with_other_classes(goal: Tensor, logits: Tensor, share: float, independent: bool = False) -> Tensor:
    """``goal [B, K]``, with another class for some samples, so that the scorer learns maps of any class.

    Args:
        logits: ``[B, K]`` of the clean pass.
        share: share of the samples that get another class, drawn at random. Half of them get the second most probable
            class, which people ask for most often. The others get any class but their own.
        independent: whether classes are labels and their opposites. The second most probable one is then a label.
    """
    size, count = logits.shape
    own = goal.argmax(-1)
    second = predictable(logits.scatter(1, own[:, None], -torch.inf), independent).argmax(-1)
    anything = (own + torch.randint(1, max(count, 2), (size,)).to(own.device)) % count
    other = torch.where((torch.rand(size, dtype=torch.float32) < 0.5).to(own.device), second, anything)
    changed = (torch.rand(size, dtype=torch.float32) < share).to(own.device)
    drawn = torch.nn.functional.one_hot(other, count).to(goal.dtype)
    return torch.where(changed[:, None], drawn, goal)


def task_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy ``[B]`` of ``logits [B, K]`` with the distribution ``target [B, K]``."""
    return -(target * logits.float().log_softmax(-1)).sum(-1)


def log_odds(logits: Tensor, classes: Tensor) -> Tensor:
    """``[B]`` ``log(p / (1 − p))`` of the class of each sample, finite also where p rounds to 0 or 1."""
    logits = logits.float()
    others = logits.scatter(-1, classes[:, None], float("-inf")).logsumexp(-1)
    return logits.gather(-1, classes[:, None]).squeeze(-1) - others


def firm_error(odds: Tensor, q: float = FIRM) -> Tensor:
    """``1 − p`` for log odds ``[B]`` of p, with the gradient of the generalised cross-entropy ``(1 − p^q) / q``.

    The gradient of ``1 − p`` vanishes where p is near 0, so a ranking that begins with the wrong features would never
    leave them beside a sure model. That of the cross-entropy (q near 0) is largest for samples that nothing can
    help. Source: Zhang & Sabuncu 2018, Generalized Cross Entropy Loss.

    Example:
        >>> import torch
        >>> odds = torch.zeros(1, requires_grad=True)  # p is a half
        >>> error = firm_error(odds, q=1)
        >>> error.backward()
        >>> error.item(), odds.grad.item()  # the slope is −p^q · (1 − p)
        (0.5, -0.25)
    """
    p = odds.detach().sigmoid()
    slope = p**q * (1 - p)
    return (1 - p) - slope * (odds - odds.detach())


def is_lost(task: Tensor, clean: Tensor, classes: int) -> Tensor:
    """``[B]`` true if the mask turns a prediction that is at least as good as a uniform guess into a worse one.

    ``log(classes)`` is the cross-entropy of a uniform guess with any label.
    """
    chance = math.log(classes)
    return (task > chance) & (clean <= chance)


def complement_loss(logits: Tensor, target: Tensor) -> Tensor:
    """``−log(1 − p)`` ``[B]``: without the evidence, the label must lose its probability p.

    Computed as ``logsumexp(all) − logsumexp(others)``, which stays finite as p nears 1.
    """
    logits = logits.float()
    label = target.argmax(-1, keepdim=True)
    others = logits.scatter(-1, label, float("-inf"))
    return logits.logsumexp(-1) - others.logsumexp(-1)
