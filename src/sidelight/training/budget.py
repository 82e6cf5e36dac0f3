"""A training that fits into a time. The measured time of one step decides on steps, validations and draws.

A faster machine makes more steps in the same budget. The number of steps is kept with the training, and a killed
training goes on with it.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from sidelight.core.files import read_json
from sidelight.core.processes import finish_work
from sidelight.inputs.collate import Collator
from sidelight.rows.holdout import spread
from sidelight.rows.row import NumberedRows, Rows
from sidelight.scorers import Scorer
from sidelight.targets import TargetModel
from sidelight.training.folder import IDENTITY
from sidelight.training.loss import ScorerObjective
from sidelight.training.settings import ObjectiveConfig, TrainingConfig

log = logging.getLogger(__name__)

#: Validations of a training with a budget, and steps that are measured after one that is not.
VALIDATIONS, MEASURED = 5, 2


@dataclass(frozen=True)
class Budget:
    """What a budget allows.

    Attributes:
        seconds: of training, without validations.
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


def within_budget(
    scorer: Scorer,
    target: TargetModel,
    train: Any,
    objective: ObjectiveConfig,
    config: TrainingConfig,
    collate: Collator,
    folder: Path,
) -> tuple[ObjectiveConfig, TrainingConfig]:
    """The settings with the epochs, validations and draws of ``config.budget``. A log line says how long it will take.

    Args:
        train: rows.
        folder: of the training. If it holds a training with this budget, the numbers of that one are taken.
    """
    if config.budget is None:
        return objective, config
    budget = BUDGETS[config.budget]
    objective = replace(objective, rank_draws=budget.draws) if objective.rank_weight else objective
    known = _known_epochs(folder, config.budget)
    if known is not None:
        return objective, _with_epochs(config, known)
    seconds = _seconds_per_step(ScorerObjective(scorer, target, objective), train, config, collate)
    rows = config.batch_size * config.gradient_accumulation
    steps = max(1, int(budget.seconds / (seconds * config.gradient_accumulation)))
    epochs = min(float(f"{steps * rows / len(train):.3g}"), budget.epochs)
    log.warning(
        "budget %r: about %d steps of %.2f s. They read the %d rows %.3g times, in about %s",
        config.budget,
        math.ceil(epochs * len(train) / rows),
        seconds * config.gradient_accumulation,
        len(train),
        epochs,
        _spoken(epochs * len(train) / config.batch_size * seconds),
    )
    return objective, _with_epochs(config, epochs)


def fewer_rows(evaluation: Any, config: TrainingConfig) -> Any:
    """Rows of a validation, no more than the budget allows, spread evenly over them."""
    most = len(evaluation) if config.budget is None else BUDGETS[config.budget].validation
    if len(evaluation) <= most:
        return evaluation
    picked: Sequence[int] = spread(len(evaluation), most)
    return evaluation.pick(picked) if isinstance(evaluation, Rows) else [evaluation[i] for i in picked]


def _with_epochs(config: TrainingConfig, epochs: float) -> TrainingConfig:
    often = max(1, round(VALIDATIONS / epochs))
    return replace(config, epochs=epochs, evals_per_epoch=often)


def _known_epochs(folder: Path, name: str) -> float | None:
    if not (folder / IDENTITY).is_file():
        return None
    found = read_json(folder / IDENTITY)
    training = found.get("training") if isinstance(found, dict) else None
    if not isinstance(training, dict) or training.get("budget") != name:
        return None
    return float(training["epochs"])


def _seconds_per_step(
    module: ScorerObjective, train: Any, config: TrainingConfig, collate: Collator
) -> float:
    """Seconds of one batch, forward and back. Weights and random state stay as they are."""
    rows = NumberedRows(train) if isinstance(train, Rows) else train
    batch = collate([rows[i] for i in spread(len(train), config.batch_size)])
    inputs = module.target.to_device(batch)
    module.to(module.target.device).train()
    times = []
    with torch.random.fork_rng(), module.target.borrowed():
        for _ in range(1 + MEASURED):
            start = time.perf_counter()
            module(**inputs)["loss"].backward()
            finish_work(module.target.device)  # a GPU may still be at it
            times.append(time.perf_counter() - start)
            module.zero_grad(set_to_none=True)
    return min(times[1:])


def _spoken(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
