"""The settings of a training: plain values, importable without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from sidelight.core.field_checks import (
    Count,
    CountOrNone,
    Flag,
    Names,
    NotNegative,
    Options,
    Positive,
    Seed,
    Share,
    check_fields,
)
from sidelight.errors import ConfigError

#: The goal that the task loss compares with: the data set's label, the target's own prediction, or its whole output
#: distribution (Eq. 3.1).
Label = Literal["data", "prediction", "distribution"]
#: Weights of the penalties (method §3). The functions are in :mod:`sidelight.training.objective`.
CalibrationName = Literal["bounded", "literal", "reference", "fixed"]
LABELS: tuple[str, ...] = get_args(Label)
CALIBRATION_NAMES: tuple[str, ...] = get_args(CalibrationName)

#: Weights of the terms from which a map or a ranking can be learnt.
TEACHERS = (
    "mask_weight",
    "complement_weight",
    "rank_weight",
    "coalition_weight",
    "probability_weight",
)
#: Fields of the objective in earlier versions, with the value at which they had no effect.
RETIRED = {"order_weight": 0}
#: Fields that earlier versions did not have, with the value at which they have no effect.
NEW = {
    "preset": "thesis",
    "mask_weight": 1.0,
    "rank_weight": 0.0,
    "rank_draws": 2,
    "rank_groups": True,
    "shown_weight": 0.0,
    "probability_weight": 0.0,
    "emptiness_weight": 0.0,
    "other_classes": 0.0,
    "by_class": False,
    "standardise": True,
    "ranked": None,
    "budget": None,
}


def without_retired(objective: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of an :class:`ObjectiveConfig` that an earlier version wrote, without those that had no effect.

    Raises:
        ConfigError: a retired field had an effect.
    """
    for name, neutral in RETIRED.items():
        if objective.get(name, neutral) != neutral:
            raise ConfigError(
                f"objective.{name} is {objective[name]!r}, but this version has no such term, because it brought no gain. "
                f"Leave it out, or set {name}={neutral}."
            )
    return {name: value for name, value in objective.items() if name not in RETIRED}


@dataclass(frozen=True)
class ObjectiveConfig:
    """The objective that the scorer minimises.

    Attributes:
        preset: name of the settings that the others began from (:mod:`sidelight.training.presets`).
        calibration: weight of the penalties, a name in ``CALIBRATIONS`` (method §3).
        label: ``data``, ``prediction`` or ``distribution``.
        fills: names of the values that replace removed features. Each sample draws one of them. ``varied`` stands
            for several unlike ones (:func:`sidelight.fills.base.training_fills`).
        magnitude_weight, binary_weight: factors of the two penalties. 0 drops one.
        complement_weight: factor of the two-sided term −log(1 − p(f(x⊗(1−S)))). The thesis has 0.
        solo: with several modalities, whether each is also masked alone (Eq. 3.5).
        mask_weight: factor of the thesis's own terms, Eq. 3.3-3.5 as a whole. The thesis has 1. Beside the rank term 1 is
            too much: the raw scores of all readings come from the same features (``docs/notes/rank-term.md``). With 0
            other terms must teach the map.
        rank_weight: factor of the rank term, by which raw scores learn in which order features matter
            (:mod:`sidelight.training.ranking`). The thesis has 0.
        rank_draws: shares K that the rank term draws a sample. Each costs two passes of the target with gradient.
        rank_groups: whether every second draw ranks groups of features, cells of a grid and words.
        shown_weight: factor of the mean score, the area penalty of NEM (Møller et al. 2024). The thesis has 0.
        probability_weight: factor of the squared change of the goal's probability under the map, the fidelity term of
            NEM. The thesis has 0.
        emptiness_weight: factor of −mean(log(1 − S)), the area penalty of AML (Barkan et al. 2024). The thesis has 0.
        other_classes: share of the samples that are explained for another class than their own in training, so that
            a scorer learns maps of any class. Needs a scorer with ``by_class``. The thesis has 0.
        coalition_weight: factor of the coalition term, by which raw scores learn how much each feature changes the
            probability (:mod:`sidelight.training.coalitions`). The thesis has 0.
        coalition_draws: random parts a sample. Each costs two passes of the target without gradient.
        coalition_unit: scale of raw scores. If a part covers this share of the input and all its raw scores are 1,
            it is predicted to change the probability by 1.
            Larger units need larger raw scores, beside which the optimiser's steps are finer. 1/2 to 4 taught
            pictures of pairs better than 1/8 (``docs/notes/scenes.md``).
        coalition_modalities: of several modalities, those that the term hides and teaches. Default: all.
        coalition_focus: whether samples and modalities get more coalitions of a batch if the prediction changes more
            when all of the modality is hidden. Costs one pass a modality.
    """

    preset: Literal["thesis", "robust"] = "thesis"
    calibration: CalibrationName = "bounded"
    label: Label = "data"
    fills: Names = ("zero",)
    magnitude_weight: NotNegative = 1.0
    binary_weight: NotNegative = 1.0
    complement_weight: NotNegative = 0.0
    solo: Flag = True
    mask_weight: NotNegative = 1.0
    rank_weight: NotNegative = 0.0
    rank_draws: Count = 2
    rank_groups: Flag = True
    shown_weight: NotNegative = 0.0
    probability_weight: NotNegative = 0.0
    emptiness_weight: NotNegative = 0.0
    other_classes: Share = 0.0
    coalition_weight: NotNegative = 0.0
    coalition_draws: Count = 4
    coalition_unit: Positive = 0.125
    coalition_modalities: Names = ()
    coalition_focus: Flag = False

    def __post_init__(self) -> None:
        check_fields(self, "objective")
        if not self.fills:
            raise ConfigError("fills needs at least one fill, e.g. fills=['zero'].")
        if not any(getattr(self, name) for name in TEACHERS):
            raise ConfigError(
                f"the objective teaches nothing: all of {', '.join(TEACHERS)} are 0. Give one of them a weight above 0."
            )


@dataclass(frozen=True)
class TrainingConfig:
    """How the scorer is trained (method §5).

    Attributes:
        epochs, batch_size, learning_rate, weight_decay, warmup_ratio: AdamW with linear decay.
        gradient_accumulation: batches a step.
        evals_per_epoch: validations (and checkpoints) an epoch.
        patience: validations without improvement before the training stops. 0 never stops early.
        seed: of initialisation, order and fills.
        on_collapse: ``stop`` raises :class:`CollapseError`, ``warn`` goes on.
        resume: continue from the newest checkpoint in the output folder, if there is one.
        checkpoints: how many checkpoints to keep beside the best.
        budget: ``minute``, ``standard`` (ten minutes) or ``thorough`` (an hour). It sets ``epochs``, validations and
            ``rank_draws`` from the measured time of a step (:mod:`sidelight.training.budget`), and says what they are.
    """

    epochs: Positive = 3
    batch_size: Count = 64
    learning_rate: Positive = 1e-3
    weight_decay: NotNegative = 0.01
    warmup_ratio: Share = 0.05
    gradient_accumulation: Count = 1
    evals_per_epoch: Count = 2
    patience: CountOrNone = 3
    seed: Seed = 0
    on_collapse: Literal["stop", "warn"] = "stop"
    resume: Flag = True
    checkpoints: Count = 2
    max_grad_norm: NotNegative = 1.0
    extra: Options = field(default_factory=dict)
    budget: Literal["minute", "standard", "thorough"] | None = None

    def __post_init__(self) -> None:
        check_fields(self, "training")


def steps_per_epoch(rows: int, config: TrainingConfig, world_size: int) -> int:
    """Optimiser steps an epoch."""
    return max(1, math.ceil(rows / (config.batch_size * config.gradient_accumulation * world_size)))
