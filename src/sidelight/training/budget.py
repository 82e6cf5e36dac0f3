"""A training that fits into a time. The measured time of one step decides on steps, validations and draws.

A faster machine makes more steps in the same budget. The number of steps is kept with the training, and a killed
training goes on with it.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from sidelight.core.processes import largest, process_count, timed
from sidelight.inputs.collate import Collator
from sidelight.rows.holdout import spread
from sidelight.rows.row import Rows
from sidelight.scorers import Scorer
from sidelight.targets import TargetModel
from sidelight.training.folder import known_rows, known_settings
from sidelight.training.loss import ScorerObjective
from sidelight.training.memory import spread_batch
from sidelight.training.settings import VALIDATIONS, ObjectiveConfig, TrainingConfig

log = logging.getLogger(__name__)

#: Share of the time of a budget that its validations take, at most.
VALIDATING = 0.25
#: Rows of a validation, at least.
LEAST_VALIDATED = 16
#: Batches that are measured if they take no more than this share of the budget, else a few rows are.
MEASURED, MEASURING = 2, 0.1
#: A budget with fewer steps than this makes its batches smaller, down to so many rows.
LEAST_STEPS, LEAST_ROWS = 60, 8


@dataclass(frozen=True)
class Budget:
    """What a budget allows.

    Attributes:
        seconds: of what is measured before the training, the training, and its validations.
        epochs: largest number. More would read the same rows too often.
        draws: K of the rank term.
        validation: largest number of rows.
    """

    seconds: float
    epochs: float
    draws: int
    validation: int


#: Budgets by name.
BUDGETS = {
    "minute": Budget(60, 3, 2, 128),
    "standard": Budget(600, 10, 2, 512),
    "thorough": Budget(3600, 30, 4, 2048),
}


@dataclass(frozen=True)
class Pace:
    """Measured seconds for one row: in a step, forward and back, and in a validation."""

    step: float
    validation: float


def within_budget(
    scorer: Scorer,
    target: TargetModel,
    train: Any,
    evaluation: Any,
    objective: ObjectiveConfig,
    config: TrainingConfig,
    collate: Collator,
    folder: Path,
    begun: float | None = None,
) -> tuple[Any, ObjectiveConfig, TrainingConfig]:
    """Rows of validation and settings that ``config.budget`` allows. A log line says how long it will take.

    Args:
        train, evaluation: rows. Those of the validation are thinned out evenly.
        folder: of the training. If it holds a training with this budget, the numbers of that one are taken.
        begun: reading of ``time.perf_counter`` from which the budget runs (default: now).
    """
    if config.budget is None:
        return evaluation, objective, config
    budget, begun = BUDGETS[config.budget], time.perf_counter() if begun is None else begun
    _tell_unused(objective, config, budget)
    objective = replace(objective, rank_draws=budget.draws) if objective.rank_weight else objective
    known = _known(folder, config)
    if known is not None:
        return fewer_rows(evaluation, known_rows(folder, "eval") or budget.validation), objective, known
    pace = _pace(ScorerObjective(scorer, target, objective), train, config, collate, budget.seconds)
    evaluation = fewer_rows(evaluation, _validated(budget, pace))
    validations = (VALIDATIONS + 1) * len(evaluation) * pace.validation
    left = budget.seconds - largest(time.perf_counter() - begun) - validations
    affordable = max(left, budget.seconds / 2) / pace.step
    part, parts = _batch(affordable, config)
    rows = part * parts * process_count()  # of one step, which all processes make together
    steps = max(1, int(affordable / (part * parts)))
    epochs = min(float(f"{steps * rows / len(train):.3g}"), budget.epochs)
    rows = min(rows, len(train))  # a step ends with the epoch
    log.warning(
        "budget %r: about %d steps of %d rows and %.2f s. They read the %d rows %.3g times, in about %s",
        config.budget,
        math.ceil(epochs * len(train) / rows),
        rows,
        rows / process_count() * pace.step,
        len(train),
        epochs,
        _spoken(epochs * len(train) / process_count() * pace.step + validations),
    )
    return evaluation, objective, _with_epochs(config, epochs, part, parts, len(train) / process_count())


def _tell_unused(objective: ObjectiveConfig, config: TrainingConfig, budget: Budget) -> None:
    """Warn of settings of the user that ``budget`` replaces."""
    usual = TrainingConfig()
    given = {n: getattr(config, n) for n in ("epochs", "evals_per_epoch")}
    given = {name: value for name, value in given.items() if value != getattr(usual, name)}
    if objective.rank_weight and objective.rank_draws not in (ObjectiveConfig().rank_draws, budget.draws):
        given["rank_draws"] = objective.rank_draws
    if given:
        unused = ", ".join(f"{name}={value!r}" for name, value in given.items())
        log.warning("%s: no effect, because the budget chooses. Leave one of the two out", unused)


def _validated(budget: Budget, pace: Pace) -> int:
    """Rows of a validation. All validations together take no more than :data:`VALIDATING` of the budget."""
    affordable = VALIDATING * budget.seconds / (VALIDATIONS + 1) / max(pace.validation, 1e-9)
    return max(LEAST_VALIDATED, min(budget.validation, int(affordable)))


def _batch(affordable: float, config: TrainingConfig) -> tuple[int, int]:
    """Rows of a batch and batches of a step, if the budget affords so many rows: no more than the configuration's, and
    fewer if a training would otherwise have fewer than :data:`LEAST_STEPS` steps.
    """
    asked = config.batch_size * config.gradient_accumulation
    if affordable >= LEAST_STEPS * asked:
        return config.batch_size, config.gradient_accumulation
    rows = min(asked, max(LEAST_ROWS, int(affordable / LEAST_STEPS)))
    parts = math.ceil(rows / config.batch_size)
    return rows // parts, parts


def fewer_rows(evaluation: Any, most: int) -> Any:
    """No more than ``most`` rows of a validation, spread evenly over them."""
    if len(evaluation) <= most:
        return evaluation
    picked: Sequence[int] = spread(len(evaluation), most)
    return evaluation.pick(picked) if isinstance(evaluation, Rows) else [evaluation[i] for i in picked]


def _known(folder: Path, config: TrainingConfig) -> TrainingConfig | None:
    """The settings with the numbers of a training in ``folder`` that had this budget and no larger steps."""
    known = known_settings(folder)
    if known.get("budget") != config.budget:
        return None
    names = ("epochs", "evals_per_epoch", "batch_size", "gradient_accumulation")
    taken = replace(config, **{name: known[name] for name in names})
    larger = taken.batch_size * taken.gradient_accumulation > config.batch_size * config.gradient_accumulation
    return None if larger else taken


def _with_epochs(config: TrainingConfig, epochs: float, part: int, parts: int, rows: float) -> TrainingConfig:
    steps = math.ceil(rows / (part * parts))  # of an epoch
    every = math.ceil(steps * epochs / VALIDATIONS)
    often = max(1, steps // every)
    return replace(config, epochs=epochs, evals_per_epoch=often, batch_size=part, gradient_accumulation=parts)


def _pace(
    module: ScorerObjective, train: Any, config: TrainingConfig, collate: Collator, budget: float
) -> Pace:
    """Measured on a batch, or on some rows of it if a batch takes long. Weights and random state stay as they are."""
    batch = spread_batch(module.target, train, config.batch_size, collate)
    size = len(next(iter(batch.values())))
    few = {name: values[:LEAST_ROWS] for name, values in batch.items()}
    count = min(LEAST_ROWS, size)
    module.to(module.target.device).train()
    with torch.random.fork_rng(), module.target.borrowed():
        _step_seconds(module, few)  # the first pass is slower
        step = _step_seconds(module, few) / count
        if MEASURED * step * size < MEASURING * budget:
            step = min(_step_seconds(module, batch) for _ in range(MEASURED)) / size
        with torch.no_grad():
            validation = timed(lambda: module.eval()(**few), module.target.device) / count
    module.train()
    # all processes must plan the same training, so the slowest decides
    return Pace(largest(step), largest(validation))


def _step_seconds(module: ScorerObjective, inputs: Mapping[str, torch.Tensor]) -> float:
    seconds = timed(lambda: module(**inputs)["loss"].backward(), module.target.device)
    module.zero_grad(set_to_none=True)
    return seconds


def _spoken(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
