"""What an explanation costs: passes of the classifier, and seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor

from sidelight.core.types import Inputs, Scores
from sidelight.explainer import Explainer
from sidelight.lab.baselines.base import Rival
from sidelight.lab.speed.measure import measure_speed
from sidelight.targets import TargetModel

#: a method is timed so often, or until so many seconds are over
REPEATS, PATIENCE = 5, 3.0


@dataclass
class Passes:
    """Passes of a classifier. A batch of ten masked copies of an input are ten.

    Attributes:
        count: all of them.
        with_graph: those that were kept for gradients, which cost about three times as much.
    """

    count: int = 0
    with_graph: int = 0


@contextmanager
def counted_passes(target: TargetModel) -> Iterator[Passes]:
    """Within the context, count the passes of ``target``, of whatever family and for whatever purpose."""
    found, read = Passes(), target.verdict.read

    def counting(out: Any, rows: int) -> Tensor:
        logits = read(out, rows)  # the one place through which each pass goes exactly once
        found.count += rows
        found.with_graph += rows if logits.requires_grad else 0
        return logits

    vars(target.verdict)["read"] = counting
    try:
        yield found
    finally:
        del vars(target.verdict)["read"]


class Watched:
    """A baseline method that remembers its last maps, and the passes that they took.

    Args:
        rival: the method.
        classes: ``[1]`` class that it explains, whatever it is asked about.
    """

    def __init__(self, rival: Rival, classes: Tensor) -> None:
        self.rival, self.name, self.classes = rival, rival.name, classes
        self.maps: Scores = {}
        self.passes = Passes()
        self.seconds = 0.0

    def __call__(self, target: TargetModel, inputs: Inputs, classes: Tensor) -> Scores:
        start = time.perf_counter()
        with counted_passes(target) as passes:
            self.maps = self.rival(target, inputs, self.classes)
        self.passes, self.seconds = passes, time.perf_counter() - start
        return self.maps


def timed(explainer: Explainer, inputs: Inputs, methods: Sequence[Watched]) -> dict[str, float]:
    """Milliseconds for label and map together, by method, ours among them.

    Args:
        inputs: one sample.
        methods: each has run once. Those that took longer than :data:`PATIENCE` are not run again.
    """
    slow = {m.name: 1e3 * m.seconds for m in methods if m.seconds > PATIENCE}
    rivals = cast("Sequence[Rival]", [m for m in methods if m.name not in slow])
    rows = measure_speed(explainer, inputs, rivals, (1,), REPEATS, patience=PATIENCE)
    return {row.method: row.explain_ms for row in rows} | slow
