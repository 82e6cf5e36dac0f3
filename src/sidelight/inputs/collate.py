"""Rows of a data set on their way into a training: read with their labels, checked, and named in messages."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from sidelight.core.quiet import told_once
from sidelight.core.types import Inputs
from sidelight.errors import InputError, InputTypeError
from sidelight.inputs.base import Batch, Reader
from sidelight.inputs.file_names import tell_file_names
from sidelight.inputs.row_parts import RowReader, sample_and_label
from sidelight.rows.row import Numbered

T = TypeVar("T")


class Checking(Protocol):
    """A target, as far as reading rows for it goes."""

    reader: Reader

    def check(self, inputs: Inputs) -> None: ...


class Collator:
    """Rows to batches, for a training and for whoever reads the rows of a training.

    Rows are read as :meth:`Reader.read` reads them. A kind of warning is passed on once, not for every batch.

    Rows that know their number (:class:`~sidelight.rows.row.Numbered`) have their labels read as ``readers`` say. Their
    inputs are checked, and a message names the row.

    Args:
        target: reads and checks the samples.
        readers: how the rows of each data set are read, by the data's name.
        labelled: whether labels of rows without a number are read. They must be whole numbers there.
    """

    def __init__(
        self, target: Checking, readers: Mapping[str, RowReader] | None = None, labelled: bool = True
    ) -> None:
        self.target = target
        self.readers, self.labelled = dict(readers or {}), labelled
        self._told: set[type[Warning]] = set()

    def __call__(self, rows: Sequence[Any]) -> dict[str, Tensor]:
        """``{model inputs..., "labels": [B]}``, the plain dictionary that a Trainer wants."""
        batch = self.read(rows)
        return dict(batch.inputs) if batch.labels is None else {**batch.inputs, "labels": batch.labels}

    def read(self, rows: Sequence[Any]) -> Batch:
        """The rows as one batch."""
        names = [place(row.number, row.name) for row in rows if isinstance(row, Numbered)]
        with told_once(self._told, names):  # thousands of batches may each have texts that were cut
            if rows and isinstance(rows[0], Numbered):
                batch = self._numbered(rows)
            else:
                batch = self.target.reader.read(rows, labelled=self.labelled)
            tell_file_names(batch)
        return batch

    def _numbered(self, rows: Sequence[Numbered]) -> Batch:
        readers = [self._reader_of(row) for row in rows]
        parts = [self.split(row) for row in rows]
        batch = self.checking(rows, [sample for sample, _ in parts], self._checked)
        numbers = [
            reader.labels(label, place(row.number, row.name))
            for reader, row, (_, label) in zip(readers, rows, parts, strict=True)
            if reader.labels is not None
        ]
        return replace(batch, labels=torch.tensor(numbers)) if len(numbers) == len(rows) else batch

    def _checked(self, samples: Sequence[Any]) -> Batch:
        batch = self.target.reader.read_samples(samples)
        self.target.check(batch.inputs)
        return batch

    @staticmethod
    def checking(rows: Sequence[Numbered], samples: Sequence[Any], look: Callable[..., T]) -> T:
        """``look(samples)``. If that fails, the error of the first sample that fails by itself, said with its row.

        Args:
            samples: one a row.
            look: takes samples. Raises :class:`InputError` or :class:`InputTypeError`.
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
            told = _renumbered(str(error), rows)
            raise type(error)(f"rows {numbers} of {rows[0].name} do not fit together: {told}") from error

    def raw(self, rows: Sequence[Any]) -> Sequence[Any] | None:
        """Raw samples of rows, not prepared yet. ``None`` if the rows hold the model's inputs.

        Raises:
            InputError, InputTypeError: a row holds no sample; a message about a numbered row names it.
        """
        samples = [self.split(row)[0] for row in rows]
        if self.target.reader.holds_inputs(samples[0]):
            return None
        if isinstance(rows[0], Numbered):
            return self.checking(rows, samples, self.target.reader.samples)
        return self.target.reader.samples(samples)

    def split(self, row: Any) -> tuple[Any, Any]:
        """``(sample, label or None)`` of a row. A pair that is a sample itself has no label."""
        if isinstance(row, Numbered):
            return self._reader_of(row).split(self.target.reader, row.row)
        return sample_and_label(self.target.reader, row)

    def _reader_of(self, row: Numbered) -> RowReader:
        return self.readers.get(row.name, RowReader())


def place(number: int, name: str) -> str:
    """How a row is named in messages."""
    return f"row {number} of {name}"


def _renumbered(message: str, rows: Sequence[Numbered]) -> str:
    """A message about a batch, with the numbers that its rows have in their data in the place of those in the batch."""

    def number(found: re.Match[str]) -> str:
        at = int(found[2])
        return f"{found[1]} {rows[at].number if at < len(rows) else at}"

    return re.sub(r"\b(sample|row) (\d+)\b", number, message)


def alone(message: str) -> str:
    """A message about a batch of one sample, without its number in that batch."""
    return re.sub(r"\b(?:sample|row) 0\b|\bsample\(s\) \[0\]", "this row", message)
