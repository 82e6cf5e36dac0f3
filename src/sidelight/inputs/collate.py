"""From rows of a data set to a batch of model inputs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from sidelight.core.quiet import told_once
from sidelight.errors import InputError, InputTypeError
from sidelight.rows.labels import LabelReader
from sidelight.rows.row import LABEL_COLUMNS, Numbered

T = TypeVar("T")

#: inputs of models that rows may hold ready, as tensors or as lists of numbers
READY = (
    "input_ids",
    "attention_mask",
    "token_type_ids",
    "special_tokens_mask",
    "position_ids",
    "pixel_values",
)


@dataclass(frozen=True)
class RowReader:
    """What is sample and what is label in the rows of one data set.

    Args:
        labels: makes class numbers of labels; ``None``: labels are not read at all.
        second_is_label: whether the second of two strings is a class name, and not the second text of a pair.
    """

    labels: LabelReader | None = None
    second_is_label: bool = False

    def split(self, target: Any, row: Any) -> tuple[Any, Any]:
        """``(sample, label or None)`` of a row; a pair that is a sample itself has no label.

        Three of which the first two are a sample are that sample and its label.
        """
        if isinstance(row, list) and len(row) in (2, 3) and _ends_in_label(row, self.second_is_label):
            row = tuple(row)
        if not isinstance(row, tuple):
            return split_row(row)
        if len(row) == 3 and target.is_sample(row[:2]):
            return row[:2], row[2]
        if target.is_sample(row) and not (self.second_is_label and len(row) == 2):
            return row, None
        return split_row(row)


def _ends_in_label(row: list[Any], second_is_label: bool) -> bool:
    # JSON has no tuples; a list of two strings is a pair of texts otherwise
    return len(row) == 3 or second_is_label or not isinstance(row[1], (str, bytes, list))


class Collator:
    """Rows to ``{model inputs..., "labels": [B]}``.

    A row is a mapping with a column named after each modality (``image``, ``text``) and,
    where labels are wanted, ``label``; or a pair ``(sample, label)``; or a sample alone, which
    for a target of images and texts is itself a pair ``(image, text)``.
    Rows that hold the model's own inputs (``pixel_values``) instead are stacked as they are,
    their other columns left out. A kind of warning is passed on once, not for every batch.

    Of rows that know their number (:class:`~sidelight.rows.row.Numbered`) labels are read as ``readers`` say, inputs are
    checked, and a message names the row.

    Args:
        target: its ``prepare`` turns raw samples into inputs.
        readers: how the rows of each data set are read, by the data's name.
        labelled: whether labels of rows without a number are read; they must be whole numbers there.
    """

    def __init__(
        self, target: Any, readers: Mapping[str, RowReader] | None = None, labelled: bool = True
    ) -> None:
        self.target = target
        self.readers, self.labelled = dict(readers or {}), labelled
        self._told: set[type[Warning]] = set()

    def __call__(self, rows: Sequence[Any]) -> dict[str, Tensor]:
        if not rows:
            raise InputError("the batch is empty: give at least one row.")
        if isinstance(rows[0], Numbered):
            return self._numbered(rows)
        samples, labels = zip(*(self.split(row) for row in rows), strict=True)
        batch = dict(self.inputs(list(samples)))
        if self.labelled and all(label is not None for label in labels):
            batch["labels"] = torch.tensor([class_index(label) for label in labels])
        return batch

    def _numbered(self, rows: Sequence[Numbered]) -> dict[str, Tensor]:
        readers = [self.readers.get(row.name, RowReader()) for row in rows]
        parts = [reader.split(self.target, row.row) for reader, row in zip(readers, rows, strict=True)]
        samples = [sample for sample, _ in parts]
        batch = self.checking(rows, samples, self._checked)
        numbers = [
            reader.labels(label, place(row.number, row.name))
            for reader, row, (_, label) in zip(readers, rows, parts, strict=True)
            if reader.labels is not None
        ]
        if len(numbers) == len(rows):
            batch["labels"] = torch.tensor(numbers)
        return batch

    def _checked(self, samples: Sequence[Any]) -> dict[str, Tensor]:
        batch = dict(self.inputs(samples))
        self.target.check(batch)
        return batch

    def checking(self, rows: Sequence[Numbered], samples: Sequence[Any], look: Callable[..., T]) -> T:
        """``look(samples)``; where that fails, the error of the first sample that fails by itself, said with its row.

        Args:
            rows: that the samples come from.
            samples: one a row.
            look: takes samples; raises :class:`InputError` or :class:`InputTypeError`.
        """
        try:
            return look(samples)
        except (InputError, InputTypeError) as error:
            for row, sample in zip(rows, samples, strict=True):
                try:
                    look([sample])
                except (InputError, InputTypeError) as own:
                    raise type(own)(f"{place(row.number, row.name)}: {alone(str(own))}") from own
            numbers = ", ".join(str(row.number) for row in rows[:8]) + (", ..." if len(rows) > 8 else "")
            raise type(error)(f"rows {numbers} of {rows[0].name} do not fit together: {error}") from error

    def read(self, rows: Sequence[Any]) -> Sequence[Any] | None:
        """Raw samples of rows, as :meth:`samples` gives them; a message about a numbered row names it."""
        samples = [self.split(row)[0] for row in rows]
        if isinstance(rows[0], Numbered):
            return self.checking(rows, samples, self.samples)
        return self.samples(samples)

    def split(self, row: Any) -> tuple[Any, Any]:
        """``(sample, label or None)`` of a row; a pair that is a sample itself has no label."""
        if isinstance(row, Numbered):
            return self.readers.get(row.name, RowReader()).split(self.target, row.row)
        if isinstance(row, tuple) and len(row) == 3 and all(isinstance(part, str) for part in row):
            return (
                row,
                None,
            )  # three texts, or a pair and the name of a label: without a data set nobody can tell
        return RowReader().split(self.target, row)

    def inputs(self, samples: Sequence[Any]) -> dict[str, Tensor]:
        """Model inputs of samples without labels."""
        raw = self.samples(samples)
        if raw is None:
            return self._ready(samples)
        with told_once(self._told):  # thousands of batches may each have texts that were cut
            return dict(self.target.prepare(raw))

    def samples(self, samples: Sequence[Any], first: int = 0) -> Sequence[Any] | None:
        """Raw samples as the target prepares them; ``None`` where rows hold model inputs already.

        Args:
            samples: samples, or rows without labels.
            first: number of the first one, for messages.
        """
        head = samples[0]
        if (
            isinstance(head, Mapping)
            and any(name not in head for name in self.target.modalities)
            and any(isinstance(v, Tensor) or k in READY for k, v in head.items())
        ):
            return None
        return self.target.read_rows(samples, first)

    def _ready(self, samples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        stacked = {}
        for key in (k for k, v in samples[0].items() if isinstance(v, Tensor) or k in READY):
            values = [_tensor(s.get(key), key) for s in samples]
            shapes = {tuple(v.shape) for v in values}
            if len(shapes) > 1:
                raise InputError(
                    f"the rows' {key!r} differ in shape ({', '.join(map(str, sorted(shapes)[:4]))}): give inputs of "
                    "one shape (for texts: padded to one length), or raw samples, which are prepared here."
                )
            stacked[key] = torch.stack(values)
        return stacked


def _tensor(value: Any, key: str) -> Tensor:
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{key!r} holds {type(value).__name__}, which is no tensor and no list of numbers."
        ) from error


def place(number: int, name: str) -> str:
    """How a row is named in messages."""
    return f"row {number} of {name}"


def alone(message: str) -> str:
    """A message about a batch of one sample, without its number in that batch."""
    return re.sub(r"\b(?:sample|row) 0\b|\bsample\(s\) \[0\]", "this row", message)


def class_index(label: Any) -> int:
    """A label as an integer; raises :class:`InputError` for names and fractions."""
    index: int | None = None
    with suppress(TypeError, ValueError, OverflowError):
        index = int(label)
    if index is None or index != label:
        raise InputError(f"a label must be the integer index of a class; got {label!r}.")
    return index


def split_row(row: Any) -> tuple[Any, Any]:
    """``(sample, label or None)`` of a row."""
    if isinstance(row, tuple) and len(row) == 2:
        return row
    if isinstance(row, Mapping):
        found = next((c for c in LABEL_COLUMNS if c in row), None)
        label = row[found] if found else None
        return {k: v for k, v in row.items() if k not in LABEL_COLUMNS}, label
    return row, None
