"""Batches that fit into memory: a large one is read in parts, and the gradients of its parts are added.

A step of the objective makes several masked passes, and keeps their activations until it goes back through them. Beside
MobileNetV2 at 224 px a batch of 64 keeps about 27 GB. An operating system that runs out of memory ends the
process without a word, so this is found out beforehand, by one pass over two rows.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sidelight.core.memory import free_memory
from sidelight.core.processes import largest
from sidelight.errors import SidelightError
from sidelight.inputs.collate import Collator
from sidelight.rows.holdout import spread
from sidelight.rows.row import NumberedRows, Rows
from sidelight.scorers import Scorer
from sidelight.targets import TargetModel
from sidelight.targets.weights import inner_tensors
from sidelight.training.folder import known_settings
from sidelight.training.loss import ScorerObjective
from sidelight.training.settings import ObjectiveConfig, TrainingConfig

log = logging.getLogger(__name__)

#: Share of the free memory that a batch may keep. The rest is for passes without gradient and for copies.
SHARE = 0.5
#: Rows of the pass that is measured. Fills from other rows need two.
PROBED = 2


def within_memory(
    scorer: Scorer,
    target: TargetModel,
    train: Any,
    objective: ObjectiveConfig,
    config: TrainingConfig,
    collate: Collator,
    folder: Path,
) -> TrainingConfig:
    """The settings with batches that fit. A smaller ``batch_size`` comes with more ``gradient_accumulation``.

    The steps of the optimiser are as many, and each reads as many rows. A log line tells of the change.

    Args:
        train: rows.
        folder: of the training. If it holds a training with batches of this size, its parts are taken.
    """
    known = _known_parts(folder, config)
    if known is not None:
        return _in_parts(config, known)
    kept = _bytes_per_row(ScorerObjective(scorer, target, objective), train, config, collate)
    rows = min(config.batch_size, len(train))
    free = free_memory(target.device)
    # processes on devices of unlike size take equal parts, because they step together
    parts = int(largest(fitting_parts(rows, config.batch_size, kept, SHARE * free)))
    if parts > 1:
        log.warning(
            "a batch of %d rows would keep about %.1f GB of activations, and %.1f GB are free: it is read in %d parts of "
            "%d rows, whose gradients are added",
            config.batch_size,
            rows * kept / 1e9,
            free / 1e9,
            parts,
            config.batch_size // parts,
        )
    return _in_parts(config, parts)


def fitting_parts(rows: int, batch_size: int, kept: float, free: float) -> int:
    """Into how many equal parts a batch is divided: the fewest that fit, else parts of one row.

    Args:
        rows: of the largest batch that there is.
        batch_size: as it was asked for. The number of parts divides it.
        kept: bytes for each row.
        free: bytes for a part.

    Example:
        >>> fitting_parts(64, 64, kept=100, free=1700)
        4
    """
    divisors = (d for d in range(1, batch_size + 1) if batch_size % d == 0)
    fitting = (d for d in divisors if min(rows, batch_size // d) * kept <= free)
    return next(fitting, batch_size)


def _in_parts(config: TrainingConfig, parts: int) -> TrainingConfig:
    more = config.gradient_accumulation * parts
    return replace(config, batch_size=config.batch_size // parts, gradient_accumulation=more)


def _known_parts(folder: Path, config: TrainingConfig) -> int | None:
    """The parts of a training in ``folder`` whose batches have the same rows, else ``None``."""
    known = known_settings(folder)
    part, accumulated = (known.get(name) for name in ("batch_size", "gradient_accumulation"))
    if not isinstance(part, int) or not isinstance(accumulated, int) or part < 1:
        return None
    same = part * accumulated == config.batch_size * config.gradient_accumulation
    return config.batch_size // part if same and config.batch_size % part == 0 else None


def _bytes_per_row(module: ScorerObjective, train: Any, config: TrainingConfig, collate: Collator) -> float:
    """Bytes that a row's part of the objective keeps for the way back. 0 if a row cannot be read: the training says why.

    Weights and random state stay as they are.
    """
    module.to(module.target.device).train()
    try:
        # of many rows, because the longest text of a batch decides
        batch = spread_batch(module.target, train, config.batch_size, collate)
        few = {name: values[:PROBED] for name, values in batch.items()}
        with torch.random.fork_rng(), module.target.borrowed():
            return kept_bytes(module, few) / len(next(iter(few.values())))
    except SidelightError:
        return 0.0


def spread_batch(target: TargetModel, rows: Any, size: int, collate: Collator) -> dict[str, Tensor]:
    """A batch of ``size`` rows from all over ``rows``, to measure a training by. It is on the target's device."""
    numbered = NumberedRows(rows) if isinstance(rows, Rows) else rows
    return target.to_device(collate([numbered[i] for i in spread(len(rows), size)]))


def kept_bytes(module: ScorerObjective, inputs: dict[str, Tensor]) -> int:
    """Bytes of all tensors that one pass of ``module`` keeps for its gradient, without weights."""
    models = (module, module.target.model)
    weights = {place for m in models for v in (*m.parameters(), *m.buffers()) for place in _storages(v)}
    sizes: dict[int, int] = {}

    def noted(kept: Tensor) -> Tensor:
        sizes.update(_storages(kept))
        return kept

    with torch.autograd.graph.saved_tensors_hooks(noted, lambda kept: kept):
        loss = module(**inputs)["loss"]  # holds the tensors, so that no two have the same place
    del loss
    return sum(size for place, size in sizes.items() if place not in weights)


def _storages(value: Tensor) -> dict[int, int]:
    """Sizes in bytes of the memory that ``value`` lies in, by address. That of another library may lie in several places."""
    found = [part.untyped_storage() for _, part in inner_tensors(value)]
    return {storage.data_ptr(): storage.nbytes() for storage in found}
