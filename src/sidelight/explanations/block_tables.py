"""The answers of one block of rows as one table: the function that every engine calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sidelight.explanations.blocks import Errors, ExplainFailure, with_columns
from sidelight.explanations.building import Answered, explanations_of
from sidelight.explanations.columns import table_of
from sidelight.explanations.packing import joined, packed_table
from sidelight.explanations.sorted_blocks import Block, answered_block
from sidelight.rows.table_source import Row
from sidelight.targets.base import TargetModel

#: makes a ``pyarrow.Table`` of the answers of some rows of these numbers, with scores of a type
Pack = Callable[[Sequence[Any], Sequence[int], str | None], Any]
#: reads some samples of these numbers, and makes the passes
Answer = Callable[[Sequence[Any], Sequence[int]], Answered]


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
    """A ``pyarrow.Table`` of the answers of a block, in the order of its rows. It depends on the arguments alone.

    Raises:
        InputError, InputTypeError: a row cannot be explained, and errors are raised.
    """

    def packed(rows: Sequence[Any], numbers: Sequence[int]) -> Any:
        return pack(rows, numbers, options.scores)

    made = answered_block(block, packed, options.batch_size, options.errors, options.by_length)
    return joined(
        [packed_table([(one.row, one)]) if isinstance(one, ExplainFailure) else one for one in made]
    )


def packed_rows(
    target: TargetModel,
    answer: Answer,
    rows: Sequence[Any],
    numbers: Sequence[int],
    scores: str | None = None,
) -> Any:
    """A ``pyarrow.Table`` of the answers of some rows that go through the model together."""
    # the model gets the chosen columns without the rest of the row, which the answer keeps
    answered = answer([row.sample if isinstance(row, Row) else row for row in rows], numbers)
    table = table_of(target, answered, rows, numbers, scores)
    if table is not None:
        return table
    found = map(with_columns, explanations_of(target, **vars(answered)), rows)
    return packed_table(zip(numbers, found, strict=True), scores)
