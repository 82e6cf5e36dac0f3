"""The answers of each block of rows as one table: the functions that every engine calls."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

from sidelight.core.overlap import overlapped
from sidelight.explanations.blocks import Errors, ExplainFailure, attempted, failure, with_columns
from sidelight.explanations.building import Answered, explanations_of
from sidelight.explanations.columns import table_of
from sidelight.explanations.packing import joined, packed_table
from sidelight.explanations.sorted_blocks import Block, BlockBatch, batches_of_block
from sidelight.inputs.base import Batch
from sidelight.rows.table_source import Row
from sidelight.targets.base import TargetModel


@dataclass(frozen=True)
class Pack:
    """Makes a ``pyarrow.Table`` of the answers of some rows of these numbers, with scores of a type.

    Attributes:
        target: the classifier.
        read: makes a batch of samples of these numbers.
        answer: makes the passes.
    """

    target: TargetModel
    read: Callable[[Sequence[Any], Sequence[int]], Batch]
    answer: Callable[[Batch, Sequence[int]], Answered]

    def __call__(self, rows: Sequence[Any], numbers: Sequence[int], scores: str | None = None) -> Any:
        """The table of some rows that go through the model together."""
        return self.table(self.answer(self.batch(rows, numbers), numbers), rows, numbers, scores)

    def batch(self, rows: Sequence[Any], numbers: Sequence[int]) -> Batch:
        """The first step: what the model takes. It gets the chosen columns, and the answer keeps the rest of the row."""
        return self.read([row.sample if isinstance(row, Row) else row for row in rows], numbers)

    def table(
        self, answered: Answered, rows: Sequence[Any], numbers: Sequence[int], scores: str | None = None
    ) -> Any:
        """The last step, after the passes."""
        table = table_of(self.target, answered, rows, numbers, scores)
        if table is not None:
            return table
        found = map(with_columns, explanations_of(self.target, answered), rows)
        return packed_table(zip(numbers, found, strict=True), scores)


@dataclass(frozen=True)
class BlockOptions:
    """How a block of rows is explained.

    Attributes:
        batch_size: rows in a pass.
        errors: what happens to a row that cannot be explained.
        by_length: whether batches hold texts of like length.
        scores: type in which scores are stored.
    """

    batch_size: int = 32
    errors: Errors = "skip"
    by_length: bool = True
    scores: str | None = None


def block_table(block: Block, pack: Pack, options: BlockOptions) -> Any:
    """:func:`block_tables` of a single block."""
    (table,) = block_tables([block], pack, options)
    return table


def block_tables(
    blocks: Iterable[Block],
    pack: Pack,
    options: BlockOptions,
    during: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Generator[Any, None, None]:
    """A ``pyarrow.Table`` of the answers of each block, in the order of its rows. It depends on block and options alone.

    While a batch goes through the model, a thread reads the next one, and another packs the one before. Blocks are drawn,
    and passes made, in the caller's thread.

    Args:
        blocks: rows with their numbers.
        pack: makes a table of the answers of some rows.
        options: how.
        during: context of the passes, e.g. one in which the model is frozen once for all of them.

    Raises:
        InputError, InputTypeError: a row cannot be explained, and errors are raised. The tables before it come first.
    """
    steps, made = _Steps(pack, options), list[Any]()
    how = options.batch_size, options.errors, options.by_length
    batches = (batch for block in blocks for batch in batches_of_block(block, *how))
    with (  # whoever handles an error holds these generators, so they are closed at once
        closing(overlapped(batches, steps.read)) as read,
        closing(steps.passed(read, during)) as passed,
        closing(overlapped(passed, steps.packed)) as packed,
    ):
        for (batch, _), table in packed:
            made += steps.tables(batch, table)
            if batch.last:
                yield joined(made)
                made = []


class _Steps:
    """What happens to a batch. The error of a step is handed on with the batch, so that errors keep the order of the rows.

    Args:
        pack: the steps.
        options: how.
    """

    def __init__(self, pack: Pack, options: BlockOptions) -> None:
        # two threads may not call a tokenizer at once, and a bad batch is read again, row by row, beside the next one
        self.pack = replace(pack, read=_one_at_a_time(pack.read))
        self.options = options

    def read(self, batch: BlockBatch) -> Batch:
        return self.pack.batch(batch.rows, batch.numbers)

    def passed(
        self,
        batches: Iterable[tuple[BlockBatch, Future[Batch]]],
        during: Callable[[], AbstractContextManager[Any]],
    ) -> Generator[tuple[BlockBatch, Answered | Exception], None, None]:
        """Batches with what the passes tell."""
        with during():
            for batch, read in batches:
                yield batch, self._passed(batch, read)

    def _passed(self, batch: BlockBatch, read: Future[Batch]) -> Answered | Exception:
        try:
            return self.pack.answer(read.result(), batch.numbers).without_states()
        except Exception as error:  # noqa: BLE001 - raised in its turn
            return error

    def packed(self, passed: tuple[BlockBatch, Answered | Exception]) -> Any:
        batch, answered = passed
        if isinstance(answered, Exception):
            raise answered
        return self.pack.table(answered, batch.rows, batch.numbers, self.options.scores)

    def tables(self, batch: BlockBatch, table: Future[Any]) -> list[Any]:
        """The table of a batch or, if one of its rows is bad, one for each row. Of rows that were not read, too.

        Raises:
            InputError, InputTypeError: a row cannot be explained, and errors are raised.
        """

        def make(rows: Sequence[Any], numbers: Sequence[int]) -> Any:
            whole = len(rows) == len(batch.rows)
            return table.result() if whole else self.pack(rows, numbers, self.options.scores)

        pairs = list(zip(batch.numbers, batch.rows, strict=True))
        made = [one for _, one in attempted(pairs, make, self.options.errors)]
        if batch.unread and self.options.errors == "raise":
            raise batch.unread[0][1]
        made += [failure(number, error, None) for number, error in batch.unread]
        return [packed_table([(one.row, one)]) if isinstance(one, ExplainFailure) else one for one in made]


def _one_at_a_time(read: Callable[[Sequence[Any], Sequence[int]], Batch]) -> Callable[..., Batch]:
    lock = Lock()

    def locked(rows: Sequence[Any], numbers: Sequence[int]) -> Batch:
        with lock:
            return read(rows, numbers)

    return locked
