"""Blocks of rows in batches of texts of like length, so that little padding is computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from sidelight.errors import SidelightError
from sidelight.explanations.blocks import (
    Errors,
    ExplainFailure,
    MakeBlock,
    T,
    attempted,
    failure,
    numbered,
)
from sidelight.rows.row import Rows
from sidelight.rows.stream import Stream

#: numbers and rows. An error stands for a row that could not be read
Block = list[tuple[int, Any]]


def blocks_of(source: Rows | Stream, block_rows: int, first: int = 0) -> Iterator[Block]:
    """The rows of ``source`` from the number ``first`` on, so many at a time."""
    rows = numbered(source, first)
    while block := list(islice(rows, block_rows)):
        yield block


def answered_block(
    block: Block, make: MakeBlock[T], batch_size: int, errors: Errors, by_length: bool
) -> Iterator[T | ExplainFailure]:
    """What is made of the rows of one block, batch by batch, and of each bad row a failure.

    The batches depend on the block alone. So a job that continues after it makes the same ones, on any machine.

    Args:
        block: its rows.
        make: takes some rows and their numbers.
        batch_size: rows that go through the model together.
        errors: ``"raise"`` stops at the first row that cannot be explained.
        by_length: whether batches hold texts of like length.

    Raises:
        InputError, InputTypeError: a row cannot be explained, and ``errors`` is ``"raise"``.
    """
    unread = [(number, row) for number, row in block if isinstance(row, SidelightError)]
    if unread and errors == "raise":
        # those before it come first, because one of them may be the first bad row
        block, by_length = block[: unread[0][0] - block[0][0]], False
    good = [(number, row) for number, row in block if not isinstance(row, SidelightError)]
    # the order of the rows tells which bad row is the first
    ordered = sorted(good, key=lambda pair: length_of(pair[1])) if by_length and errors == "skip" else good
    for start in range(0, len(ordered), batch_size):
        yield from (made for _, made in attempted(ordered[start : start + batch_size], make, errors))
    if unread and errors == "raise":
        raise unread[0][1]
    yield from (failure(number, error, None) for number, error in unread)


def length_of(row: Any) -> int:
    """Characters of the texts in a row.

    Example:
        >>> length_of("good film"), length_of({"text": "good", "label": "positive"}), length_of(("a.png", "x"))
        (9, 4, 6)
    """
    sample = getattr(row, "sample", row)
    if isinstance(sample, Mapping):
        named = [
            v for k, v in sample.items() if str(k).startswith(("text", "sentence", "question", "caption"))
        ]
        return sum(len(v) for v in named if isinstance(v, str))
    parts = sample if isinstance(sample, (tuple, list)) else [sample]
    return sum(len(part) for part in parts if isinstance(part, str))
