"""Sentences on what a reader of a run's tables would otherwise be misled by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sidelight.inputs.collate import Collator
from sidelight.lab.baselines import coincidences
from sidelight.lab.baselines.base import Rival
from sidelight.lab.baselines.degeneracy import PLAIN, SUSPECTS
from sidelight.targets import TargetModel
from sidelight.targets.removal import blind_fills, granted_classes


def degeneracy_notes(target: TargetModel, rows: Any, rivals: Sequence[Rival], count: int = 8) -> list[str]:
    """Sentences on rivals whose maps coincide on this target; only those that can are computed."""
    suspects = [r for r in rivals if r.name in (*SUSPECTS, *PLAIN)]
    if not suspects:
        return []
    inputs = Collator(target)([rows[i] for i in range(min(count, len(rows)))])
    inputs.pop("labels", None)
    inputs = target.to_device(inputs)
    classes = target.encode(inputs).prediction
    return [c.note for c in coincidences(target, inputs, classes, suspects)]


def removal_notes(target: TargetModel, rows: Any, fills: Sequence[str], count: int = 64) -> list[str]:
    """A sentence on each fill under which removing features does less than a reader would think."""
    inputs = Collator(target)([rows[i] for i in range(min(count, len(rows)))])
    inputs.pop("labels", None)
    inputs = target.to_device(inputs)
    dimmed = [
        f"Under {fill} fill a score of 0.1 everywhere leaves this target's confidence as it is: only exact zeros "
        "remove anything, so average drop under it says little here."
        for fill in blind_fills(target, inputs, fills)
    ]
    granted = [
        f"With everything removed under {g.fill} fill this target says {g.label!r} (p = {g.probability:.2f}; "
        f"{g.share:.0%} of the samples): those keep their prediction under any map, so read that fill's average "
        "drop as one about the others."
        for g in granted_classes(target, inputs, fills)
    ]
    return dimmed + granted
