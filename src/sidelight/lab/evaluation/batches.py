"""The test split in batches: sized, repeatable, and made when they are needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from sidelight.core.types import Inputs
from sidelight.inputs.collate import Collator
from sidelight.lab.config.sections import EvaluationSection
from sidelight.lab.evaluation.settings import EvalBatch
from sidelight.targets import TargetModel
from sidelight.training.lengths import row_lengths


class TestBatches:
    """Batches of the test split with ids and, where it is known, the evidence; sized and repeatable."""

    __test__ = False  # not a test case, whatever pytest thinks of the name

    def __init__(
        self, target: TargetModel, rows: Any, size: int, first: int = 0, last: int | None = None
    ) -> None:
        self.target, self.rows, self.size = target, rows, size
        self.first, self.last = first, len(rows) if last is None else min(last, len(rows))

    def __len__(self) -> int:
        return -(-max(0, self.last - self.first) // self.size)

    @cached_property
    def _order(self) -> list[int]:
        order = list(range(self.first, self.last))
        lengths = (
            row_lengths(self.target, [self.rows[i] for i in order]) if self.target.varying_length else None
        )
        if lengths:  # like with like: no result depends on what a sample is batched with
            order.sort(key=lambda i: lengths[i - self.first])
        return order

    def ids(self, index: int) -> list[int]:
        """Sample ids of batch ``index``."""
        return self._order[index * self.size : (index + 1) * self.size]

    def __getitem__(self, index: int) -> EvalBatch:
        if not 0 <= index < len(self):
            raise IndexError(index)
        ids = self.ids(index)
        rows = [self.rows[i] for i in ids]
        inputs = Collator(self.target)(rows)
        inputs.pop("labels", None)
        return EvalBatch(self.target.to_device(inputs), ids, known_evidence(self.target, rows, inputs))

    def __iter__(self) -> Any:
        return (self[index] for index in range(len(self)))


def known_evidence(target: TargetModel, rows: Sequence[Any], inputs: Inputs) -> dict[str, Tensor] | None:
    """The evidence that rows bring along, laid on the features of ``inputs``; ``None`` where they bring none."""
    if not (isinstance(rows[0], Mapping) and "evidence" in rows[0]):
        return None
    samples = Collator(target).samples(rows)
    return target.truth([r["evidence"] for r in rows], inputs, samples)


@dataclass(frozen=True)
class Split:
    """Batches of the test split by what is measured on them.

    Attributes:
        whole: get every metric of every method.
        single: further samples, with the metrics of a single pass.
        few: as many of those as the methods for few samples get, with the same metrics.
    """

    whole: TestBatches
    single: TestBatches
    few: TestBatches


def split_batches(target: TargetModel, rows: Any, section: EvaluationSection) -> Split:
    """The test split as ``curve_count`` and ``few_count`` divide it."""
    cut, few = boundaries(section, len(rows))
    size = section.batch_size
    return Split(
        TestBatches(target, rows, size, 0, cut),
        TestBatches(target, rows, size, cut),
        TestBatches(target, rows, size, cut, few),
    )


def boundaries(section: EvaluationSection, total: int) -> tuple[int, int]:
    """Of ``total`` samples, how many carry curves, and up to which the methods for few samples are measured."""
    cut = min(section.curve_count or total, total)
    return cut, max(cut, min(section.few_count or cut, total))
