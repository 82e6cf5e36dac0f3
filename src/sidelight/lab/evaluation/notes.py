"""Remarks beside a run's tables, without which some numbers would mislead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sidelight.checks.removal import blind_fills, granted_classes
from sidelight.inputs.base import Batch
from sidelight.lab.baselines import coincidences
from sidelight.lab.baselines.base import Rival
from sidelight.lab.baselines.degeneracy import PLAIN, SUSPECTS
from sidelight.lab.evaluation.batches import TestRows
from sidelight.targets import TargetModel

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
