"""What a training is told: plain values, importable without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sidelight.errors import ConfigError

#: What the task loss compares with: the data set's label, the target's own prediction,
#: or its whole output distribution (Eq. 3.1).
LABELS = ("data", "prediction", "distribution")
#: Readings of the penalties' weight (method §3); the functions are in :mod:`sidelight.objective`.
CALIBRATION_NAMES = ("bounded", "literal", "reference", "fixed")


@dataclass(frozen=True)
class ObjectiveConfig:
    """What the scorer minimises.

    Attributes:
        calibration: weight of the penalties, a name in ``CALIBRATIONS`` (method §3).
        label: ``data``, ``prediction`` or ``distribution``.
        fills: what stands where features are removed; each sample draws one of them.
        magnitude_weight, binary_weight: factors of the two penalties; 0 drops one.
        complement_weight: factor of the two-sided term −log(1 − p(f(x⊗(1−S)))); 0 is the thesis.
        order_weight: factor of the ranking term: the same losses on hard masks of a random
            share of the features, best scores first (straight-through gradient); 0 is the thesis.
        solo: with several modalities, whether each is also masked alone (Eq. 3.5).
        coalition_weight: factor of the coalition term, which makes raw scores say how much the probability
            changes with each feature (:mod:`sidelight.coalitions`); 0 is the thesis.
        coalition_draws: random parts a sample, each two passes of the target without gradient.
        coalition_unit: a part of this share of the input with raw scores of 1 changes the probability by 1.
            The larger it is, the larger raw scores must get, and the finer the steps of the optimiser
            beside them: 1/2 to 4 taught pictures of pairs better than 1/8 did (``docs/results.md``, scenes).
        coalition_modalities: of several modalities, those the term asks about and teaches; default: all.
        coalition_focus: give a batch's coalitions to the samples and modalities whose verdict changes most when
            all of the modality is hidden, instead of as many to each. Costs one more pass a modality.
    """

    calibration: str = "bounded"
    label: str = "data"
    fills: Sequence[str] = ("zero",)
    magnitude_weight: float = 1.0
    binary_weight: float = 1.0
    complement_weight: float = 0.0
    order_weight: float = 0.0
    solo: bool = True
    coalition_weight: float = 0.0
    coalition_draws: int = 4
    coalition_unit: float = 0.125
    coalition_modalities: Sequence[str] = ()
    coalition_focus: bool = False

    def __post_init__(self) -> None:
        if self.calibration not in CALIBRATION_NAMES:
            raise ConfigError(
                f"objective.calibration must be one of {', '.join(CALIBRATION_NAMES)}; got {self.calibration!r}."
            )
        if self.label not in LABELS:
            raise ConfigError(f"objective.label must be one of {', '.join(LABELS)}; got {self.label!r}.")
        if self.coalition_draws < 1:
            raise ConfigError(f"objective.coalition_draws must be at least 1; got {self.coalition_draws}.")
        if not self.coalition_unit > 0:
            raise ConfigError(f"objective.coalition_unit must be above 0; got {self.coalition_unit}.")
        if isinstance(self.coalition_modalities, str):
            raise ConfigError(
                f"objective.coalition_modalities must be a list of names; got {self.coalition_modalities!r}."
            )
        if isinstance(self.fills, str):
            raise ConfigError(f"objective.fills must be a list of names; got {self.fills!r}.")
        # one type, so that what YAML or JSON gives equals what Python gives
        object.__setattr__(self, "fills", tuple(self.fills))
        object.__setattr__(self, "coalition_modalities", tuple(self.coalition_modalities))
        if not self.fills:
            raise ConfigError("objective.fills needs at least one fill, e.g. ['zero'].")


@dataclass(frozen=True)
class TrainingConfig:
    """How the scorer is trained (method §5).

    Attributes:
        epochs, batch_size, learning_rate, weight_decay, warmup_ratio: AdamW with linear decay.
        gradient_accumulation: batches a step.
        evals_per_epoch: validations (and checkpoints) an epoch.
        patience: validations without improvement before stopping; 0 never stops early.
        seed: of initialisation, order and fills.
        on_collapse: ``stop`` raises :class:`CollapseError`, ``warn`` goes on.
        resume: continue from the newest checkpoint in the output folder, if there is one.
        checkpoints: how many checkpoints to keep beside the best.
    """

    epochs: float = 3
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup_ratio: float = 0.05
    gradient_accumulation: int = 1
    evals_per_epoch: int = 2
    patience: int = 3
    seed: int = 0
    on_collapse: str = "stop"
    resume: bool = True
    checkpoints: int = 2
    max_grad_norm: float = 1.0
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("epochs", "learning_rate"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"training.{name} must be positive; got {getattr(self, name)}.")
        for name in ("batch_size", "gradient_accumulation", "evals_per_epoch", "checkpoints"):
            if getattr(self, name) < 1:
                raise ConfigError(f"training.{name} must be at least 1; got {getattr(self, name)}.")
        for name in ("patience", "weight_decay", "max_grad_norm"):
            if getattr(self, name) < 0:
                raise ConfigError(f"training.{name} must not be negative; got {getattr(self, name)}.")
        if not 0 <= self.warmup_ratio <= 1:
            raise ConfigError(f"training.warmup_ratio must lie in [0, 1]; got {self.warmup_ratio}.")
        if self.on_collapse not in ("stop", "warn"):
            raise ConfigError(f"training.on_collapse must be 'stop' or 'warn'; got {self.on_collapse!r}.")
