"""The settings of a training: plain values, importable without torch."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from sidelight.core.field_checks import (
    Count,
    CountOrNone,
    Draws,
    Epochs,
    Flag,
    Names,
    NotNegative,
    Options,
    Positive,
    Seed,
    Share,
    check_fields,
)
from sidelight.core.guard import public_class
from sidelight.errors import ConfigError

#: What the map must keep: the label of the row, the target's own prediction, or all its probabilities (Eq. 3.1).
Label = Literal["data", "prediction", "distribution"]
#: Rules for the weight of the penalties. The functions are in :mod:`sidelight.training.objective`.
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
#: Fields that are ``None``, for targets of one modality and of several. Beside a text a picture needs far more of the
#: coalition term. Without the slope term trainings of pairs differ too much by chance (``docs/notes/scenes.md``). Beside a text an
#: empty map of a picture may be right, and then others are lost to it (``docs/notes/coalition-term.md``).
BY_MODALITIES = (
    {
        "coalition_weight": 0.1,
        "coalition_draws": 1,
        "coalition_focus": False,
        "slope_weight": 1.0,
        "empty_weight": 0.0,
    },
    {
        "coalition_weight": 10.0,
        "coalition_draws": 4,
        "coalition_focus": True,
        "slope_weight": 1.0,
        "empty_weight": 0.1,
    },
)
#: Validations of a training with a budget, at most.
VALIDATIONS = 5
#: Fields of the objective in earlier versions, with the value at which they had no effect.
RETIRED = {"order_weight": 0}
#: Fields that earlier versions did not have, with the value at which they have no effect.
NEW = {
    "preset": "thesis",
    "mask_weight": 1.0,
    "rank_weight": 0.0,
    "rank_draws": 2,
    "rank_groups": True,
    "rank_hard": False,
    "shown_weight": 0.0,
    "probability_weight": 0.0,
    "emptiness_weight": 0.0,
    "other_classes": 0.0,
    "by_class": False,
    "standardise": True,
    "ranked": None,
    "effect_unit": None,
    "slope_weight": 0.0,
    "empty_weight": 0.0,
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


@public_class
@dataclass(frozen=True)
class ObjectiveConfig:
    """What the scorer learns: the objective that its training makes small.

    Attributes:
        preset: the preset that the other settings began from (:mod:`sidelight.training.presets`).
        calibration: rule for the weight of the penalties, a name in ``CALIBRATIONS``.
        label: what the map must keep: the label of the row (``data``), the model's own prediction (``prediction``), or
            all its probabilities (``distribution``).
        fills: names of the fills, whose values replace removed features. Each sample draws one of them. ``varied``
            stands for three unlike ones (:func:`sidelight.fills.base.training_fills`).
        magnitude_weight: factor of the penalty that makes maps small. 0 leaves it out.
        binary_weight: factor of the penalty that pushes scores to 0 or 1. 0 leaves it out.
        complement_weight: factor of a term by which the class must lose its probability if what the map shows is
            removed: −log(1 − p(f(x⊗(1−S)))).
        solo: with several modalities, whether each is also masked alone (Eq. 3.5).
        mask_weight: factor of all terms of the thesis together (Eq. 3.3-3.5). Beside the rank term 1 is too much, because
            all readings share one decoder (``docs/notes/rank-term.md``). With 0 other terms must teach the map.
        rank_weight: factor of the rank term, by which raw scores learn the order of the features
            (:mod:`sidelight.training.ranking`).
        rank_draws: number of shares that the rank term draws for each sample. Each costs two passes of the target with
            gradient.
        rank_groups: whether every second draw ranks groups of features, cells of a grid and words.
        rank_hard: whether the rank term masks by 0 and 1 in training too, with the gradient of 1 − p, as Ra-NEM does.
            Beside sure models that teaches little (``docs/notes/rank-term.md``).
        shown_weight: factor of the mean score, the area penalty of NEM (Møller et al. 2024).
        probability_weight: factor of the squared change of the goal's probability under the map, the fidelity term of
            NEM.
        emptiness_weight: factor of −mean(log(1 − S)), the area penalty of AML (Barkan et al. 2024).
        other_classes: share of the samples that are explained for another class than their own in training, so that
            a scorer learns maps of any class. Needs a scorer with ``by_class``.
        coalition_weight: factor of the coalition term, by which raw scores learn how much each feature changes the
            probability (:mod:`sidelight.training.coalitions`). ``None``: 0.1, and 10 if there are several modalities.
        coalition_draws: number of random parts for each sample. Each costs two passes of the target without gradient.
            ``None``: 1, and 4 if there are several modalities.
        coalition_unit: scale of raw scores, for scorers without ``by_class``. If a part covers this share of the input
            and all its raw scores are 1, it is predicted to change the probability by 1. 1/2 to 4 taught pictures of
            pairs better than 1/8 (``docs/notes/scenes.md``): raw scores are larger then, and a step of the optimiser is
            small beside them.
        coalition_modalities: of several modalities, those that the coalition term hides and teaches. Default: all.
        coalition_focus: whether a sample gets more coalitions if its prediction changes more when the whole modality is
            hidden. Costs one pass for each modality. ``None``: if there are several.
        slope_weight: factor of the slope term, by which raw scores of images learn in which proportion pixels raise the
            log-odds of the class (:mod:`sidelight.training.slopes`). Costs one pass with gradient. Texts have none.
            ``None``: 1, or what a training that goes on began with.
        empty_weight: factor of a term that pulls up empty maps of a modality without which the prediction is lost.
            ``None``: 0, and 0.1 if there are several modalities, or what a training that goes on began with.

    Raises:
        ConfigError: a value is of another kind, or out of range.
        UnknownNameError: there is no such calibration.

    Example:
        >>> objective = ObjectiveConfig(calibration="bounded", label="prediction", fills=("zero", "random"))
        >>> objective.mask_weight, objective.rank_weight  # alone, the terms of the thesis
        (1.0, 0.0)
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
    rank_draws: Draws = 2
    rank_groups: Flag = True
    rank_hard: Flag = False
    shown_weight: NotNegative = 0.0
    probability_weight: NotNegative = 0.0
    emptiness_weight: NotNegative = 0.0
    other_classes: Share = 0.0
    coalition_weight: NotNegative | None = 0.0
    coalition_draws: Draws | None = 4
    coalition_unit: Positive = 0.125
    coalition_modalities: Names = ()
    coalition_focus: Flag | None = False
    slope_weight: NotNegative | None = 0.0
    empty_weight: NotNegative | None = 0.0

    def __post_init__(self) -> None:
        check_fields(self, "objective")
        if not self.fills:
            raise ConfigError("fills needs at least one fill, e.g. fills=['zero'].")
        if not any(getattr(self, name) for name in TEACHERS):
            raise ConfigError(
                f"the objective teaches nothing: all of {', '.join(TEACHERS)} are 0. Give one of them a weight above 0."
            )

    def for_modalities(
        self, modalities: Collection[str], begun: Mapping[str, Any] | None = None
    ) -> ObjectiveConfig:
        """These settings, with the values of :data:`BY_MODALITIES` for ``modalities`` in place of ``None``.

        Args:
            begun: the objective of a training that goes on. Its values count first, because another version of sidelight
                may have chosen them.

        Example:
            >>> ObjectiveConfig(coalition_weight=None).for_modalities(["image", "text"]).coalition_weight
            10.0
        """
        chosen = BY_MODALITIES[len(modalities) > 1]
        there = {**NEW, **begun} if begun else {}
        missing: dict[str, Any] = {k: there.get(k, v) for k, v in chosen.items() if getattr(self, k) is None}
        return replace(self, **missing) if missing else self

    def teaches_effects(self, modalities: Collection[str]) -> bool:
        """Whether raw effects of all ``modalities`` are learnt. Otherwise the order of features is all there is."""
        told = self.for_modalities(modalities)
        return bool(told.coalition_weight) or (bool(told.slope_weight) and set(modalities) == {"image"})


@public_class
@dataclass(frozen=True)
class TrainingConfig:
    """How the scorer is trained.

    Attributes:
        epochs: how often all rows are read. A part of an epoch is allowed, e.g. 0.5.
        batch_size: rows in each batch. Small ones learn more from the same rows (``docs/notes/rank-term.md``).
        learning_rate: largest learning rate of AdamW. It falls linearly to 0.
        weight_decay: weight decay of AdamW.
        warmup_ratio: share of the steps in which the learning rate rises.
        gradient_accumulation: batches in each step of the optimiser.
        evals_per_epoch: validations in each epoch. Each also writes a checkpoint.
        patience: the training stops after so many validations without improvement. 0 never stops early.
        seed: seed of the initial weights, of the order of the rows, and of fills.
        on_collapse: what to do if the maps are constant: ``stop`` raises :class:`CollapseError`, ``warn`` goes on.
        resume: continue from the newest checkpoint in the output folder, if there is one.
        checkpoints: how many checkpoints are kept beside the best.
        max_grad_norm: gradients with a larger norm are scaled down to it. 0 leaves them as they are.
        report_to: names of loggers of transformers, e.g. ``("tensorboard",)``, which the extra ``tensorboard`` brings. It also
            gets maps of four validation rows as images at each validation.
        extra: further arguments of transformers' ``TrainingArguments``, by name. Not those that are settings here.
            ``disable_tqdm`` hides the progress bar.
        budget: ``minute``, ``standard`` (ten minutes) or ``thorough`` (an hour). It sets ``epochs``, validations and
            ``rank_draws`` from the measured time of a step (:mod:`sidelight.training.budget`), and says what they are.

    Raises:
        ConfigError: a value is of another kind, or out of range.

    Example:
        >>> training = TrainingConfig(epochs=1, batch_size=8, on_collapse="warn")
        >>> import sidelight
        >>> explainer = sidelight.fit(model, rows, processor=processor, training=training)
    """

    epochs: Epochs = 3
    batch_size: Count = 16
    learning_rate: Positive = 3e-3
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
    report_to: Names = ()
    extra: Options = field(default_factory=dict)
    budget: Literal["minute", "standard", "thorough"] | None = None

    def __post_init__(self) -> None:
        check_fields(self, "training")


def steps_per_epoch(rows: int, config: TrainingConfig, world_size: int) -> int:
    """Steps of the optimiser in an epoch."""
    return max(1, math.ceil(rows / (config.batch_size * config.gradient_accumulation * world_size)))


def steps_in_all(per_epoch: int, config: TrainingConfig) -> float:
    """Steps of the optimiser in the whole training, if it does not stop early.

    Example:
        >>> steps_in_all(100, TrainingConfig(epochs=3)), steps_in_all(100, TrainingConfig(extra={"max_steps": 20}))
        (300, 20)
    """
    most = config.extra.get("max_steps")
    # other values stand for no limit, or are refused later
    return most if isinstance(most, int) and most > 0 else per_epoch * config.epochs


def steps_between_validations(per_epoch: int, config: TrainingConfig) -> int:
    """Steps of the optimiser from one validation to the next.

    Example:
        >>> steps_between_validations(100, TrainingConfig(evals_per_epoch=2))
        50
        >>> steps_between_validations(100, TrainingConfig(epochs=30, budget="thorough"))
        600
    """
    every = max(1, per_epoch // config.evals_per_epoch)
    if config.budget is None:
        return every
    # a budget reads few rows often, so that one validation in each epoch would be too many
    return max(every, math.ceil(steps_in_all(per_epoch, config) / VALIDATIONS))
