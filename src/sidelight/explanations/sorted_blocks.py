"""Answers for blocks of rows, each block in batches of texts of like length, so that little padding is computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from sidelight.errors import SidelightError
from sidelight.explanations.blocks import Answer, Errors, ExplainBlock, explained, failure, numbered
from sidelight.rows.row import Rows
from sidelight.rows.stream import Stream


def answered_blocks(
    source: Rows | Stream,
    explain: ExplainBlock,
    block_rows: int,
    batch_size: int,
    errors: Errors,
    by_length: bool,
    first: int = 0,
) -> Iterator[Iterator[tuple[int, Answer]]]:
    """For each block of rows its answers with their numbers, in the order in which they are made.

    The batches of a block depend on the block alone, so a job that continues after it makes the same ones. Take all answers
    of a block before the next block.

    Args:
        source: rows by number, or one after another.
        explain: makes the explanations of some rows.
        block_rows, batch_size: rows in memory, and rows that go through the model together.
        errors: ``"raise"`` stops at the first row that cannot be explained.
        by_length: whether batches hold texts of like length.
        first: number of the row to begin with.

    Raises:
        InputError, InputTypeError: a row cannot be explained, and ``errors`` is ``"raise"``.
    """
    rows = numbered(source, first)
    while block := list(islice(rows, block_rows)):
        yield _answered(block, explain, batch_size, errors, by_length)


def _answered(
    block: Sequence[tuple[int, Any]], explain: ExplainBlock, size: int, errors: Errors, by_length: bool
) -> Iterator[tuple[int, Answer]]:
    unread = [(number, row) for number, row in block if isinstance(row, SidelightError)]
    if unread and errors == "raise":
        # those before it come first, because one of them may be the first bad row
        block, by_length = block[: unread[0][0] - block[0][0]], False
    good = [(number, row) for number, row in block if not isinstance(row, SidelightError)]
    # the order of the rows tells which bad row is the first
    ordered = sorted(good, key=lambda pair: length_of(pair[1])) if by_length and errors == "skip" else good
    for start in range(0, len(ordered), size):
        yield from explained(ordered[start : start + size], explain, errors).items()
    if unread and errors == "raise":
        raise unread[0][1]
    yield from ((number, failure(number, error, None)) for number, error in unread)


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
