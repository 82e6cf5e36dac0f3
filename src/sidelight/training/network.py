"""An untrained scorer of the right shape for a target and its data."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from sidelight.checks.selfcheck import (
    Check,
    few_samples,
    self_check,
)
from sidelight.core.types import Inputs
from sidelight.errors import InputError
from sidelight.inputs.collate import Collator
from sidelight.rows.row import NumberedRows
from sidelight.scorers import Scorer, ScorerConfig
from sidelight.scorers.readout import SHARED_UNIT, ClassReadout
from sidelight.targets import TargetModel
from sidelight.targets.embedding import weight_of
from sidelight.targets.weights import values_of
from sidelight.training.decoder_cost import affordable
from sidelight.training.fit_data import FitData
from sidelight.training.folder import known_scorer


def network_for(
    target: TargetModel,
    data: FitData,
    config: ScorerConfig,
    seed: int,
    check: Check,
    output_dir: str | os.PathLike[str] | None = None,
) -> Scorer:
    """An untrained scorer for ``data``. First the self-check compares the model's logits with and without sidelight.

    Args:
        output_dir: folder of the training. If it holds one, the scorer is made as that one, also if another version of
            sidelight chose its decoders.
    """
    collate, rows = Collator(target, data.readers), NumberedRows(data.train)
    if check != "off":
        self_check(target, few_samples(target, rows, collate), check, gradients=True)
    torch.manual_seed(seed)
    known = known_scorer(output_dir)
    if known is None:
        return new_scorer(target, rows, config, collate)
    # a configuration names every modality, also those whose decoder it leaves to us
    given = {name: options for name, options in config.decoder.items() if options}
    as_there = {"decoder": {**known["decoder"], **given}, "effect_unit": known["effect_unit"]}
    return new_scorer(target, rows, replace(config, **as_there), collate, fitted=False)


def new_scorer(
    target: TargetModel,
    rows: Any,
    config: ScorerConfig,
    collate: Collator | None = None,
    fitted: bool = True,
) -> Scorer:
    """An untrained scorer whose shape fits the states that one pass over the first row gives.

    Args:
        fitted: whether a decoder without options is made to cost no more than a share of that pass
            (:mod:`sidelight.training.decoder_cost`).
    """
    if len(rows) == 0:
        raise InputError("the train data set is empty: give at least one row.")
    batch = (Collator(target, labelled=False) if collate is None else collate).read([rows[0]])
    target.check(batch.inputs)
    scorer = scorer_of(target, batch.to(target.device).inputs, config, fitted)
    weight = class_weight(target, scorer.spec.classes)
    if weight is not None:
        for readout in (m for m in scorer.modules() if isinstance(m, ClassReadout)):
            readout.start_from(weight)
    return scorer


def scorer_of(target: TargetModel, inputs: Inputs, config: ScorerConfig, fitted: bool = True) -> Scorer:
    """A random scorer for ``inputs``, whose first sample is looked at. ``fitted`` is as for :func:`new_scorer`."""
    first = {k: v[:1] for k, v in inputs.items()}
    spec = target.spec(first)
    if not fitted:
        return Scorer(spec, config)
    if config.by_class and config.effect_unit is None and len(target.modalities) > 1:
        config = replace(config, effect_unit=SHARED_UNIT)
    return Scorer(spec, affordable(config, target, first, spec))


def class_weight(target: TargetModel, classes: int | None) -> Tensor | None:
    """``[K, H]`` weight of each class in the classifier's last layer, if it has such a layer.

    One weight speaks for a label, or for the second class of a one-logit model, and its negative for the opposite.
    """
    verdict = target.verdict
    if verdict.outputs is None or (verdict.outputs != 1 and not verdict.independent):
        return last_weight(target.model, classes)
    own = last_weight(target.model, verdict.outputs)
    if own is None:
        return None
    return torch.cat([own, -own] if verdict.independent else [-own, own])


def last_weight(model: nn.Module, classes: int | None) -> Tensor | None:
    """``[K, H]`` weight of the last linear layer with as many outputs as there are classes, if there is one."""
    linear = [m for m in model.modules() if isinstance(m, nn.Linear) and m.out_features == classes]
    return values_of(weight_of(linear[-1])) if linear else None
