"""One answer for each of many rows, in blocks. If a row cannot be explained, the others still are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time
from decimal import Decimal
from typing import Any, Literal, TypeVar, cast
from uuid import UUID

import numpy as np
import torch
from torch import Tensor

from sidelight.core.counted import repeated
from sidelight.core.field_checks import whole
from sidelight.core.guard import is_out_of_memory
from sidelight.core.types import Inputs
from sidelight.errors import (
    ConfigError,
    InputError,
    InputTypeError,
    NotFiniteError,
    SidelightError,
    TargetMismatchError,
)
from sidelight.explanations.explanation import Explanation
from sidelight.inputs.base import Batch
from sidelight.inputs.collate import alone
from sidelight.rows.row import Rows, plain
from sidelight.rows.stream import SourceError, Stream
from sidelight.targets.input_checks import require_plain

#: what happens to a row that cannot be explained
Errors = Literal["raise", "skip"]
#: longest text of a user's column that is kept with an answer
LONGEST_CELL = 10_000


@dataclass(frozen=True)
class ExplainFailure:
    """The answer for a row that could not be explained, in the place of its explanation. ``bool(failure)`` is false.

    Attributes:
        row: number of the row in the data, counted from 0.
        reason: what is wrong with the row, in a sentence or two.
        columns: the row's own values, as in ``Explanation.meta["columns"]``.

    Example:
        >>> answers = explainer.explain(["a dull film", ""], errors="skip")
        >>> [(answer.row, answer.reason) for answer in answers if not answer]
        [(1, "this row is empty (''): there is no word to score. Leave it out.")]
    """

    row: int
    reason: str
    columns: Mapping[str, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return False


T = TypeVar("T")
Answer = Explanation | ExplainFailure
#: makes something of some rows together, which have these numbers
MakeBlock = Callable[[Sequence[Any], Sequence[int]], T]
#: explains some rows of one block together
ExplainBlock = MakeBlock[list[Explanation]]


def require_errors(errors: Any) -> Errors:
    """``errors`` if it is "raise" or "skip". Raises :class:`ConfigError` otherwise."""
    if not isinstance(errors, str) or errors not in ("raise", "skip"):
        raise ConfigError(f"errors must be 'raise' or 'skip'; got {errors!r:.60}.")
    return cast(Errors, errors)


def answers(
    source: Rows | Stream, explain: ExplainBlock, size: int, errors: Errors, first: int = 0
) -> Iterator[Answer]:
    """An answer for each row of ``source``, in order. One block of rows is in memory.

    Args:
        source: rows by number, or one after another.
        explain: makes the explanations of some rows.
        size: rows a block.
        errors: ``"raise"`` names the first bad row. ``"skip"`` answers it with an :class:`ExplainFailure`.
        first: number of the row to begin with.

    Raises:
        InputError, InputTypeError: a row cannot be explained, and ``errors`` is ``"raise"``.
    """
    block: list[tuple[int, Any]] = []
    for number, row in numbered(source, first):
        block.append((number, row))
        if len(block) == size:
            yield from _block(block, explain, errors)
            block = []
    if block:
        yield from _block(block, explain, errors)


def numbered(source: Rows | Stream, first: int) -> Iterator[tuple[int, Any]]:
    """Rows with their numbers. If a row cannot be read, the error takes its place. So does that of a stream which failed."""
    if isinstance(source, Rows):
        for number in range(first, len(source)):
            yield number, _read(source, number)
        return
    for number, row in enumerate(source.attempts()):
        if number >= first or isinstance(row, SourceError):
            yield number, row


def _read(rows: Rows, number: int) -> Any:
    try:
        return rows[number]
    except SidelightError as error:
        return error


def _block(block: Sequence[tuple[int, Any]], explain: ExplainBlock, errors: Errors) -> Iterator[Answer]:
    unread = next((row for _, row in block if isinstance(row, SidelightError)), None)
    if unread is not None and errors == "raise":
        raise unread
    good = [(number, row) for number, row in block if not isinstance(row, SidelightError)]
    found: dict[int, Answer] = {
        number: failure(number, row, None) for number, row in block if isinstance(row, SidelightError)
    }
    found.update(explained(good, explain, errors))
    yield from (found[number] for number, _ in block)


def explained(good: Sequence[tuple[int, Any]], explain: ExplainBlock, errors: Errors) -> dict[int, Answer]:
    """The answers for some rows by their numbers: of all at once or, if one of them is bad, of each alone."""
    found: dict[int, Answer] = {}
    for pairs, made in attempted(good, explain, errors):
        if isinstance(made, ExplainFailure):
            found[made.row] = made
        else:
            found |= {number: with_columns(e, row) for (number, row), e in zip(pairs, made, strict=True)}
    return found


def attempted(
    good: Sequence[tuple[int, Any]], make: MakeBlock[T], errors: Errors
) -> Iterator[tuple[Sequence[tuple[int, Any]], T | ExplainFailure]]:
    """What ``make`` gives for some rows: for all at once or, if one of them is bad, for each alone.

    Args:
        good: numbers and rows.
        make: takes rows and their numbers.
        errors: ``"raise"`` names the first bad row. ``"skip"`` gives an :class:`ExplainFailure` for it.

    Yields:
        The rows, and what was made of them.
    """
    if not good:
        return
    try:
        made = make([row for _, row in good], [number for number, _ in good])
    except Exception as error:
        if not _is_of_a_row(error, errors):
            raise
        for number, row in good:
            yield [(number, row)], _alone(number, row, make, errors)
        return
    yield good, made


def _alone(number: int, row: Any, make: MakeBlock[T], errors: Errors) -> T | ExplainFailure:
    try:
        return make([row], [number])
    except Exception as error:
        if not _is_of_a_row(error, errors):
            raise
        if errors == "raise":
            raise _numbered_error(number, error) from error
        return failure(number, error, row)


def _numbered_error(number: int, error: Exception) -> Exception:
    """An error about a batch of one sample, as one about the sample ``number`` of the data."""
    if isinstance(error, NotFiniteError):
        return error.numbered([number])
    return type(error)(_numbered_words(number, str(error)))


def _numbered_words(number: int, message: str) -> str:
    """A message about a batch of one sample, with the sample's number in the data instead."""
    told, found = re.subn(r"\b(?:sample|row) 0\b|\bsample\(s\) \[0\]", f"sample {number}", message)
    return told if found else f"sample {number}: {message}"


def _is_of_a_row(error: Exception, errors: Errors) -> bool:
    """Whether one row may have caused an error. With "skip", any error of a model may be of that kind."""
    if isinstance(error, (InputError, InputTypeError)):
        return True
    of_all = isinstance(error, (ConfigError, TargetMismatchError)) or is_out_of_memory(error)
    return errors == "skip" and not of_all


def failure(number: int, error: Exception, row: Any) -> ExplainFailure:
    """The answer for the row ``number`` that ``error`` is about. ``row`` may be ``None`` if it could not be read."""
    words = alone(str(error)).strip()
    reason = words if isinstance(error, SidelightError) else f"{type(error).__name__}: {words}"
    return ExplainFailure(number, " ".join(reason.split())[:1_000], columns_of(row))


def with_columns(explanation: Explanation, row: Any) -> Explanation:
    """``explanation`` with the row's own values in ``meta["columns"]``, if it has any."""
    columns = columns_of(row)
    if columns:
        explanation.meta = {**explanation.meta, "columns": columns}
    return explanation


def columns_of(row: Any) -> dict[str, Any]:
    """The user's own values in a row of a data set that are plain: texts, numbers, flags, and lists of them.

    Dates, exact decimals and UUIDs are kept as texts. They are often ids.
    """
    if not isinstance(row, Mapping):
        return {}
    plainer = {str(k): _as_plain(v) for k, v in row.items()}
    return {k: v for k, v in plainer.items() if _is_plain(v)}


def _as_plain(value: Any) -> Any:
    single = isinstance(value, (Tensor, np.ndarray)) and value.ndim == 0
    value = value.item() if single else plain(value)
    # the missing date of pandas is a date that does not equal itself
    texts = isinstance(value, (date, time, Decimal, UUID)) and value == value
    return str(value) if texts else value


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= LONGEST_CELL
    if isinstance(value, (list, tuple)):
        return len(value) <= 100 and all(v is None or isinstance(v, (str, int, float, bool)) for v in value)
    return value is None or isinstance(value, (int, float, bool))


def total_of(source: Iterable[Any]) -> int | None:
    """The number of rows of a source, if it is known."""
    return len(source) if isinstance(source, Rows) else None


class InputRows(Sequence[Mapping[str, Tensor]]):
    """The model's own inputs as rows of one sample each.

    Args:
        inputs: tensors ``[B, ...]`` by name. Those without an axis belong to every sample.
    """

    def __init__(self, inputs: Mapping[str, Tensor]) -> None:
        self.shared = {k: v for k, v in inputs.items() if not v.ndim}
        self.batched = {k: v for k, v in inputs.items() if v.ndim}
        lengths = {k: len(v) for k, v in self.batched.items()}
        if len(set(lengths.values())) > 1:
            counts = ", ".join(f"{n} in {k!r}" for k, n in lengths.items())
            raise InputError(
                f"the inputs differ in their number of samples: {counts}. Give one row a sample."
            )

    def __len__(self) -> int:
        return len(next(iter(self.batched.values()), ()))

    def __getitem__(self, number: Any) -> Any:
        return {k: v[number : number + 1] for k, v in self.batched.items()}

    def together(self, rows: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Inputs of some rows that go through the model at once."""
        return {**self.shared, **{k: torch.cat([row[k] for row in rows]) for k in self.batched}}


def is_input_batch(samples: Any) -> bool:
    """Whether ``samples`` are the model's own inputs: a mapping of tensors."""
    return (
        isinstance(samples, Mapping)
        and bool(samples)
        and all(isinstance(v, Tensor) for v in samples.values())
    )


def require_size(size: Any, name: str = "batch_size", least: int = 1) -> int:
    """``size`` if it is a whole number of at least ``least``. Raises :class:`InputError` otherwise."""
    found = whole(size, least)
    if found is None:
        raise InputError(
            f"{name} must be a whole number of at least {least} and below 2^31; got {size!r:.60}."
        )
    return found


def require_names(names: Any, argument: str, example: str = "text") -> tuple[str, ...]:
    """``names`` as a tuple. Raises :class:`ConfigError` if they are no list of strings, with an ``example`` of a name."""
    listed = isinstance(names, Iterable) and not isinstance(names, str)
    chosen = tuple(names) if listed else ()
    if not listed or not all(isinstance(name, str) for name in chosen):
        raise ConfigError(
            f"{argument} must be a list of names, e.g. {argument}=[{example!r}]; got {names!r:.60}."
        )
    return chosen


def require_columns_once(names: Any) -> tuple[str, ...]:
    """``names`` of the columns with the samples, as a tuple. A text is no pair with itself.

    Raises:
        ConfigError: they are no list of strings, or one is given twice.
    """
    chosen = require_names(names, "columns")
    twice = repeated(chosen)
    if twice:
        raise ConfigError(f"columns names {twice[0]!r} twice: name each column once.")
    return chosen


def answers_of_inputs(
    inputs: Inputs, explain: Callable[[Batch, Sequence[int]], list[Explanation]], size: int, errors: Errors
) -> Iterator[Answer]:
    """:func:`answers` for a mapping of the model's own inputs, e.g. ``{"pixel_values": [B, C, H, W]}``."""
    for name, value in inputs.items():
        require_plain(name, value)
    rows = InputRows(inputs)
    if len(rows) == 0:
        raise InputError("the batch is empty: give at least one sample.")
    return answers(
        Rows(rows, "samples"),
        lambda block, numbers: explain(Batch(rows.together(block)), numbers),
        size,
        errors,
    )
