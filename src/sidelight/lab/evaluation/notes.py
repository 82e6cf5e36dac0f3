"""Remarks beside a run's tables, without which some numbers would mislead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from sidelight.checks.removal import blind_fills, granted_classes
from sidelight.core.types import Inputs
from sidelight.inputs.base import Batch
from sidelight.lab.baselines import coincidences
from sidelight.lab.baselines.base import Rival
from sidelight.lab.baselines.degeneracy import PLAIN, SUSPECTS
from sidelight.lab.evaluation.batches import TestRows
from sidelight.lab.evaluation.coordinates import ChannelView, by_channel
from sidelight.lab.metrics.protocols import DEFAULT
from sidelight.targets import TargetModel

#: methods that sum gradients over the channels of a feature, and share of their size up to which a sum is rounding
SUMMED, NOISE = ("gradient", "guided_backprop"), 1e-4
#: samples that tell what removing features does
LOOKED_AT = 64


def degeneracy_notes(target: TargetModel, rows: Any, rivals: Sequence[Rival], count: int = 8) -> list[str]:
    """Sentences on baseline methods whose maps are equal on this target. Only methods that can be equal are computed."""
    suspects = [r for r in rivals if r.name in (*SUSPECTS, *PLAIN)]
    if not suspects:
        return []
    source = TestRows.of(target, rows)
    inputs = source.batch(range(min(count, len(source)))).inputs
    classes = source.clean(_looked_at(source)).prediction[:count]
    return [c.note for c in coincidences(target, inputs, classes, suspects)]


def cancelling_notes(
    target: TargetModel, rows: Any, rivals: Sequence[Rival], protocol: str = DEFAULT, count: int = 8
) -> list[str]:
    """Sentences on methods whose maps are rounding noise, because the channels of each feature sum to 0.

    A layer norm does not see a shift of all channels by the same number, so it is with word embeddings of BERT and GPT-2.
    """
    summed = [r for r in rivals if r.name in SUMMED]
    if not summed:
        return []
    batch = TestRows.of(target, rows).batch(range(min(count, len(rows))))
    classes, view = target.encode(batch.inputs).prediction, ChannelView(target, target.modalities)
    found = []
    for rival in summed:
        maps = rival(view, batch.inputs, classes)
        kept = by_channel(rival, protocol, target.modalities)  # of these nothing is summed
        names = [n for n in maps if n not in kept and _cancel(target, n, maps[n], batch.inputs)]
        found += [
            f"{rival.title} says nothing of the {name} on this target: the gradients of the channels sum to 0 in each "
            "feature, as they do if a layer norm reads them. So its map there is rounding noise."
            for name in names
        ]
    return found


def _cancel(target: TargetModel, name: str, values: Tensor, inputs: Inputs) -> bool:
    """Whether ``values`` of single channels sum to next to nothing in each feature of modality ``name``."""
    modality, real = target.modalities[name], target.feature_mask(inputs)[name]
    total, size = (modality.reduce_sum(v.double()) for v in (values, values.abs()))
    return bool((total.abs() <= NOISE * size)[real.to(total.device)].all())


def removal_notes(target: TargetModel, rows: Any, fills: Sequence[str]) -> list[str]:
    """A sentence on each fill under which removing features does less than a reader would think."""
    source = TestRows.of(target, rows)
    batch = _looked_at(source)
    inputs, encoding = batch.inputs, source.clean(batch)
    dimmed = [
        f"Under the {fill} fill, a score of 0.1 everywhere does not change this target's confidence. Only scores of "
        "exactly 0 remove anything, so average drop under this fill says little here."
        for fill in blind_fills(target, inputs, fills, encoding)
    ]
    granted = [
        f"If everything is replaced by the {g.fill} fill, this target says {g.label!r} (p = {g.probability:.2f}). "
        f"{g.share:.0%} of the samples have this prediction and keep it under any map, so average drop under this fill "
        "measures only the others."
        for g in granted_classes(target, inputs, fills, encoding)
    ]
    return dimmed + granted


def _looked_at(rows: TestRows) -> Batch:
    return rows.batch(range(min(LOOKED_AT, len(rows))))
