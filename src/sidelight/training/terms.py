"""The terms of the objective. To add one, write a function with ``@term`` here, and a field for its weight in the settings.

Eq. 3.5 of the thesis is ``task + solo + γ·(w1·magnitude + w2·binary)``. One modality has no ``solo``, which gives Eq. 3.4.
The calibration ``fixed`` (γ = 1) then gives Eq. 3.3. Further terms are added with weights of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from sidelight.core.registry import Registry
from sidelight.core.tensors import masked_mean, masked_range
from sidelight.training.coalitions import coalition_loss
from sidelight.training.objective import CALIBRATIONS, binary_penalty, emptiness_penalty, magnitude_penalty
from sidelight.training.ranking import rank_loss
from sidelight.training.settings import ObjectiveConfig
from sidelight.training.slopes import slope_loss
from sidelight.training.step import Step

Value = Callable[[Step], Tensor]
#: A task loss or a further term is added as it is. γ multiplies the penalties.
Part = Literal["task", "penalty", "further"]


@dataclass(frozen=True)
class Term:
    """One addend of the objective.

    Attributes:
        name: its name in logs.
        value: ``step -> [B]``. It may draw masks and make its own masked passes (:class:`Step`).
        weight: the field of :class:`ObjectiveConfig` that holds its factor, or ``None`` for 1.
        part: the part of the objective that it belongs to.
        quiet: whether it is not even logged if its weight is 0.
    """

    name: str
    value: Value
    weight: str | None
    part: Part
    quiet: bool = False

    def factor(self, config: ObjectiveConfig) -> float:
        """The term's weight by these settings. A term without weight is not computed."""
        return 1.0 if self.weight is None else float(getattr(config, self.weight))


#: In the order of their passes. Gradients are summed in this order, so another order would round differently.
TERMS: Registry[Term] = Registry("term of the objective")


def term(
    name: str, weight: str | None, part: Part = "further", quiet: bool = False
) -> Callable[[Value], Value]:
    """Decorator that makes a function ``step -> [B]`` a :class:`Term`."""

    def add(value: Value) -> Value:
        TERMS.add(name, Term(name, value, weight, part, quiet))
        return value

    return add


def objective(step: Step) -> dict[str, Tensor]:
    """``loss`` and its parts, ``[B]`` each: every term by its name, ``clean`` and ``gamma``.

    ``clean`` is the task loss of the unmasked input. ``gamma`` is the weight of the penalties, a calibration of
    ``task − clean``. Terms are given without their weights. A term with weight 0 is not computed and is 0 here, except
    for penalties, which cost no pass. With ``mask_weight`` 0 the task losses are computed for the log alone, without
    gradient.
    """
    values, parts = {}, {"task": step.zeros(), "penalty": step.zeros(), "further": step.zeros()}
    for name, entry in TERMS.items():
        factor = entry.factor(step.config)
        if entry.quiet and not factor:
            continue
        learnt = entry.part == "further" or bool(step.config.mask_weight)
        with torch.set_grad_enabled(torch.is_grad_enabled() and learnt):
            values[name] = entry.value(step) if factor or entry.part == "penalty" else step.zeros()
        parts[entry.part] = parts[entry.part] + factor * values[name]
    clean = step.clean_loss()
    gamma = CALIBRATIONS[step.config.calibration](values["task"] - clean)
    loss = parts["further"]
    if step.config.mask_weight:
        kept = step.config.mask_weight * (parts["task"] + gamma * parts["penalty"])
        if step.config.other_classes:
            # a class that the model rules out has a loss of 10 and more, beside which the other samples would count little
            kept = kept / clean.clamp(min=1)
        loss = kept + loss
    return {"loss": loss, "clean": clean, "gamma": gamma, **values}


@term("solo", "solo", "task")
def solo(step: Step) -> Tensor:
    """Sum of the task losses with each modality masked alone. One modality has none."""
    if len(step.scores) < 2:
        return step.zeros()
    return torch.stack([step.masked_loss({m: s}) for m, s in step.scores.items()]).sum(0)


@term("task", None, "task")
def task(step: Step) -> Tensor:
    """Task loss with every modality masked."""
    return step.masked_loss(step.scores)


@term("complement", "complement_weight")
def removed(step: Step) -> Tensor:
    """Two-sided term: if what the map shows is removed, the goal must lose its probability."""
    return step.removed_loss(step.scores)


term("rank", "rank_weight")(rank_loss)
term("coalition", "coalition_weight")(coalition_loss)
term("slope", "slope_weight", quiet=True)(slope_loss)


@term("empty", "empty_weight", quiet=True)
def lost_to_emptiness(step: Step) -> Tensor:
    """Of a modality whose map is empty, how far its highest raw score lies below 0, times what the task loss rises by.

    A map is empty if no raw score is above 0 (:class:`~sidelight.scorers.head.ScoreHead`). The rise is at most 1. It is 0 if
    the prediction holds without the modality: then an empty map is right. Around an input of nothing but fill the
    task loss is often flat, so it alone hardly brings a map back.
    """
    found = step.zeros()
    for m, raw in step.raw.map.items():
        real = step.feature_mask[m].flatten(1)
        top = masked_range(raw.float().flatten(1), real)[1].squeeze(1)
        empty = (top <= 0) & real.any(1)
        if bool(empty.any()):
            with torch.no_grad():
                risen = (step.masked_loss({m: step.scores[m]}) - step.clean_loss()).clamp(0, 1)
            found = found + torch.where(empty, risen * -top, 0.0)
    return found


@term("probability", "probability_weight", quiet=True)
def changed_probability(step: Step) -> Tensor:
    """Squared difference of the goal's probability under the map and without it.

    Source: the loss of NEM for classifiers (Møller et al., ICML 2024, public code), which takes the probability of the
    label.
    """
    index = torch.arange(len(step.goal), device=step.goal.device)
    return (step.probability(step.scores, index) - step.clean_probability()) ** 2


def _over_modalities(penalty: Callable[[Tensor, Tensor], Tensor]) -> Value:
    """The sum of a penalty ``(scores, feature_mask) -> [B]`` over modalities."""
    return lambda step: torch.stack([penalty(s, step.feature_mask[m]) for m, s in step.scores.items()]).sum(0)


term("magnitude", "magnitude_weight", "penalty")(_over_modalities(magnitude_penalty))
term("binary", "binary_weight", "penalty")(_over_modalities(binary_penalty))
# area penalties of other masks; γ, which weighs the thesis's own, is no part of them
term("shown", "shown_weight", quiet=True)(_over_modalities(masked_mean))
term("emptiness", "emptiness_weight", quiet=True)(_over_modalities(emptiness_penalty))
