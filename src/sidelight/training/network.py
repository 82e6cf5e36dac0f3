"""An untrained scorer of the right shape for a target and its data."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sidelight.checks.selfcheck import (
    Check,
    few_samples,
    self_check,
)
from sidelight.errors import InputError
from sidelight.inputs.collate import Collator
from sidelight.rows.row import NumberedRows
from sidelight.scorers import Scorer, ScorerConfig
from sidelight.scorers.readout import ClassReadout
from sidelight.targets import TargetModel
from sidelight.training.fit_data import FitData


def network_for(target: TargetModel, data: FitData, config: ScorerConfig, seed: int, check: Check) -> Scorer:
    """An untrained scorer for ``data``. First the self-check compares the model's logits with and without sidelight."""
    collate, rows = Collator(target, data.readers), NumberedRows(data.train)
    if check != "off":
        self_check(target, few_samples(target, rows, collate), check, gradients=True)
    torch.manual_seed(seed)
    return new_scorer(target, rows, config, collate)


def new_scorer(
    target: TargetModel, rows: Any, config: ScorerConfig, collate: Collator | None = None
) -> Scorer:
    """An untrained scorer whose shape fits the states that one pass over the first row gives."""
    if len(rows) == 0:
        raise InputError("the train data set is empty: give at least one row.")
    batch = (Collator(target, labelled=False) if collate is None else collate).read([rows[0]])
    target.check(batch.inputs)
    scorer = Scorer(target.spec(batch.to(target.device).inputs), config)
    weight = last_weight(target.model, scorer.spec.classes)
    if weight is not None:
        for readout in (m for m in scorer.modules() if isinstance(m, ClassReadout)):
            readout.start_from(weight)
    return scorer


def last_weight(model: nn.Module, classes: int | None) -> Tensor | None:
    """``[K, H]`` weight of the last linear layer with as many outputs as there are classes, if there is one."""
    linear = [m.weight for m in model.modules() if isinstance(m, nn.Linear) and m.out_features == classes]
    return linear[-1].detach() if linear else None
