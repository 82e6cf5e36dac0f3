"""The test split in batches: sized, repeatable, and made when they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from torch import Tensor

from sidelight.core.types import Encoding
from sidelight.inputs.base import Batch
from sidelight.lab.config.sections import EvaluationSection
from sidelight.lab.metrics.probe import clean_pass
from sidelight.lab.runs.labelled import read_rows
from sidelight.targets import TargetModel
from sidelight.training.lengths import row_lengths

#: bytes of inputs that an evaluation keeps
ROOM = 256 * 2**20


class TestRows:
    """The rows of a test split, each read once as long as there is room to keep what was read.

    Args:
        target: reads them, and makes their clean passes.
        rows: of a data set.
        room: bytes of inputs that are kept at most.
    """

    __test__ = False  # not a test case, whatever pytest thinks of the name

    def __init__(self, target: TargetModel, rows: Any, room: int = ROOM) -> None:
        self.target, self.rows = target, rows
        self._room = room
        self._kept: dict[int, tuple[Batch, int]] = {}
        self._logits: dict[tuple[int, ...], Tensor] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, ids: Sequence[int]) -> Batch:
        """The rows ``ids`` on the target's device, with their evidence, and their clean pass when somebody looks."""
        batch = replace(self._read(ids).to(self.target.device), ids=list(ids))
        return replace(batch, clean=lambda: self._encode(batch))

    @classmethod
    def of(cls, target: TargetModel, rows: Any) -> TestRows:
        """``rows``, which may be of this kind already."""
        return rows if isinstance(rows, cls) else cls(target, rows)

    def clean(self, batch: Batch) -> Encoding:
        """The clean pass of ``batch`` without its states. It is not made again if these rows went through together."""
        if tuple(batch.ids) not in self._logits:
            self._encode(batch)
        logits, real = self._logits[tuple(batch.ids)], self.target.feature_mask(batch.inputs)
        return Encoding(logits, {}, real, independent=self.target.independent)

    def _encode(self, batch: Batch) -> Encoding:
        encoding = clean_pass(self.target, batch.inputs, batch.ids)
        self._logits[tuple(batch.ids)] = encoding.logits
        return encoding

    def _read(self, ids: Sequence[int]) -> Batch:
        found = {i: self._kept[i] for i in ids if i in self._kept}
        new = [i for i in ids if i not in found]
        if new:
            batch = read_rows(self.target.reader, self.rows, new, "the measured rows", evidence=True)
            if len(new) == len(ids):
                self._keep(new, batch)
                return batch
            found |= self._keep(new, batch)
        return self.target.reader.join([found[i] for i in ids])

    def _keep(self, ids: Sequence[int], batch: Batch) -> dict[int, tuple[Batch, int]]:
        found = {i: (replace(batch, texts=None), place) for place, i in enumerate(ids)}
        size = sum(t.nbytes for t in (*batch.inputs.values(), *(batch.truth or {}).values()))
        if size <= self._room:
            self._room -= size
            self._kept |= found
        return found


class TestBatches:
    """Batches of the test split with ids and, where it is known, the evidence. Sized and repeatable."""

    __test__ = False

    def __init__(
        self, target: TargetModel, rows: Any, size: int, first: int = 0, last: int | None = None
    ) -> None:
        self.source = TestRows.of(target, rows)
        self.target, self.rows, self.size = target, self.source.rows, size
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

    def __getitem__(self, index: int) -> Batch:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.source.batch(self.ids(index))

    def __iter__(self) -> Any:
        return (self[index] for index in range(len(self)))


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
    """The test split (rows, or :class:`TestRows`) as ``curve_count`` and ``few_count`` divide it."""
    rows = TestRows.of(target, rows)
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
