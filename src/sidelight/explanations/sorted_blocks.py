"""Blocks of rows in batches of texts of like length, so that little padding is computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sidelight.errors import InputError, SidelightError
from sidelight.explanations.blocks import Errors, numbered
from sidelight.rows.row import Rows
from sidelight.rows.stream import SourceError, Stream

#: numbers and rows. An error stands for a row that could not be read
Block = list[tuple[int, Any]]


def blocks_of(source: Rows | Stream, block_rows: int, first: int = 0) -> Iterator[Block]:
    """The rows of ``source`` from the number ``first`` on, so many at a time.

    Raises:
        InputError: a stream failed. It may give the rest at the next call, so nothing of its last block is kept.
    """
    rows = numbered(source, first)
    while block := list(islice(rows, block_rows)):
        last = block[-1][1]
        if isinstance(last, SourceError):
            raise InputError(
                f"{last} The finished blocks are kept. If the source gives the same rows again, the same call goes on after "
                "them."
            ) from last.__cause__
        yield block


@dataclass(frozen=True)
class BlockBatch:
    """Rows of one block that go through the model together.

    Attributes:
        rows: there may be none, if no row of the block could be read.
        numbers: of the rows.
        unread: at the end of a block, its rows that could not be read, as numbers and errors.
        last: whether the block ends here.
    """

    rows: Sequence[Any]
    numbers: Sequence[int]
    unread: Sequence[tuple[int, SidelightError]] = ()
    last: bool = False


def batches_of_block(block: Block, batch_size: int, errors: Errors, by_length: bool) -> Iterator[BlockBatch]:
    """The batches of one block.

    They depend on the block alone. So a job that continues after it makes the same ones, on any machine.

    Args:
        block: its rows.
        batch_size: rows that go through the model together.
        errors: ``"raise"`` leaves out what comes after a row that could not be read.
        by_length: whether batches hold texts of like length.
    """
    unread = [(number, row) for number, row in block if isinstance(row, SidelightError)]
    if unread and errors == "raise":
        # those before it come first, because one of them may be the first bad row
        block, by_length = block[: unread[0][0] - block[0][0]], False
    good = [(number, row) for number, row in block if not isinstance(row, SidelightError)]
    # the order of the rows tells which bad row is the first
    ordered = sorted(good, key=lambda pair: length_of(pair[1])) if by_length and errors == "skip" else good
    batches = [ordered[start : start + batch_size] for start in range(0, len(ordered), batch_size)] or [[]]
    for number, pairs in enumerate(batches, start=1):
        last = number == len(batches)
        rows, numbers = [row for _, row in pairs], [n for n, _ in pairs]
        yield BlockBatch(rows, numbers, unread if last else (), last)


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
