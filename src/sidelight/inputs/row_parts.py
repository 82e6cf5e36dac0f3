"""The parts of a row: a sample, and perhaps its label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from sidelight.errors import InputError, InputTypeError
from sidelight.rows.labels import LabelReader, is_flags, is_missing
from sidelight.rows.row import LABEL_COLUMNS, Labelled, as_row

#: inputs of models that rows may hold ready, as tensors or as lists of numbers
READY = (
    "input_ids",
    "attention_mask",
    "token_type_ids",
    "special_tokens_mask",
    "position_ids",
    "pixel_values",
)


#: column of a row that holds its known evidence, by modality
EVIDENCE = "evidence"


class KnowsSamples(Protocol):
    """Whoever can tell one raw sample from several values."""

    #: of the samples, if their names are not the usual ones
    columns: tuple[str, ...]

    def is_sample(self, value: Any) -> bool: ...


@dataclass(frozen=True)
class RowReader:
    """What is sample and what is label in the rows of one data set.

    Args:
        labels: makes class numbers of labels. ``None``: labels are not read at all.
        second_is_label: whether the second of two strings is a class name, and not the second text of a pair.
        second_is_text: whether it is known to be the second text of a pair, so that it may not be missing.
    """

    labels: LabelReader | None = None
    second_is_label: bool = False
    second_is_text: bool = False

    def split(self, reader: KnowsSamples, row: Any) -> tuple[Any, Any]:
        """``(sample, label or None)`` of a row. A pair that is a sample itself has no label.

        Three of which the first two are a sample are that sample and its label.
        """
        row = as_row(row, reader.columns)
        if self.second_is_text and _is_half(reader, row):
            return tuple(row), None  # who reads it tells what is missing, and where
        if isinstance(row, list) and len(row) in (2, 3) and _ends_in_label(row, self.second_is_label):
            row = tuple(row)
        if not isinstance(row, tuple):
            return split_row(row)
        if isinstance(row, Labelled):
            return row[0], row[1]
        if len(row) == 3 and reader.is_sample(row[:2]):
            return row[:2], row[2]
        if reader.is_sample(row) and not (self.second_is_label and len(row) == 2):
            return row, None
        return split_row(row)


def _ends_in_label(row: list[Any], second_is_label: bool) -> bool:
    # JSON has no tuples; a list of two strings is a pair of texts otherwise
    return len(row) == 3 or second_is_label or not isinstance(row[1], (str, bytes, list))


def sample_and_label(reader: KnowsSamples, row: Any) -> tuple[Any, Any]:
    """``(sample, label or None)`` of a row of no data set, where nothing tells a label's name from a text.

    Raises:
        InputTypeError: what stands in the place of the label is none, such as a second picture. It must not be lost.
    """
    if _is_half(reader, row):
        return tuple(row), None  # who reads it tells what is missing
    if isinstance(row, (tuple, list)) and len(row) == 3 and all(isinstance(part, str) for part in row):
        return row, None  # three texts, or a pair and the name of a label: nobody can tell
    sample, label = RowReader().split(reader, row)
    if isinstance(row, (tuple, list)) and not (label is None or _may_be_label(label)):
        raise InputTypeError(
            f"a row of {len(row)} ends in its label, a class number or name; got {type(label).__name__}. Give several "
            "samples as one list, each by itself."
        )
    return sample, label


def _is_half(reader: KnowsSamples, row: Any) -> bool:
    """Whether a second text, or a label, is missing beside a text. The text alone may be another input."""
    two = isinstance(row, (tuple, list)) and not isinstance(row, Labelled) and len(row) == 2
    return two and isinstance(row[0], str) and lacks_second(row) and reader.is_sample((row[0], row[0]))


def lacks_second(row: Sequence[Any]) -> bool:
    """Whether the second of two values stands for none. A string without a character is a bad text, and told as one."""
    return is_missing(row[1]) and not isinstance(row[1], str)


def _may_be_label(value: Any) -> bool:
    """Whether ``value`` is a number, a name, or a list of flags, and no picture and no row."""
    if isinstance(value, (Tensor, np.ndarray)):
        return value.ndim < 2
    return isinstance(value, (str, int, float, np.generic, list, tuple))


def brings_evidence(row: Any) -> bool:
    """Whether a row holds known evidence of any modality."""
    return isinstance(row, Mapping) and row.get(EVIDENCE) is not None


def evidence_of(rows: Sequence[Any], modalities: Sequence[str]) -> list[Mapping[str, Any]] | None:
    """The known evidence of each row, or ``None`` if no row brings any.

    Raises:
        InputError: only some rows bring evidence of a modality, or it is no mapping from modalities.
    """
    found = [row.get(EVIDENCE) if isinstance(row, Mapping) else None for row in rows]
    if all(entry is None for entry in found):
        return None
    for number, entry in enumerate(found):
        known = isinstance(entry, Mapping) and any(entry.get(name) is not None for name in modalities)
        if not known and not (isinstance(entry, Mapping) and len(modalities) > 1):
            given = f"the key(s) {sorted(entry)}" if isinstance(entry, Mapping) else type(entry).__name__
            raise InputError(
                f"the evidence of row {number} must be a mapping with the key {' or '.join(map(repr, modalities))}; got "
                f"{given}. If some rows of a data set have evidence, all have, those without any an empty mask or list."
            )
    _require_in_all(found, modalities)  # type: ignore[arg-type]
    return found  # type: ignore[return-value]


def _require_in_all(evidence: Sequence[Mapping[str, Any]], modalities: Sequence[str]) -> None:
    """Refuse evidence of a modality that only some rows bring, because that of the others would be dropped."""
    for name in modalities:
        lacking = [number for number, entry in enumerate(evidence) if entry.get(name) is None]
        if lacking and len(lacking) < len(evidence):
            raise InputError(
                f"row {lacking[0]} has no evidence of its {name}, and others have. If some rows of a data set have evidence, "
                "all have, those without any an empty mask or list."
            )


def class_index(label: Any) -> int:
    """A label as an integer. Raises :class:`InputError` for names and fractions."""
    index: int | None = None
    with suppress(TypeError, ValueError, OverflowError):
        index = int(label)
    if index is None or index != label:
        raise InputError(f"a label must be the integer index of a class; got {_told(label)}.")
    return index


def _told(label: Any) -> str:
    """What a label is that is no number, and what to give in its place."""
    if not isinstance(label, (str, bytes)):
        return repr(label)
    if label.strip().isdigit():
        return f"the text {label!r}. Give a number, e.g. int(label)"
    return f"the text {label!r}. Give its place among the classes, from 0 on, e.g. classes.index(label)"


def label_number(label: Any) -> int | list[int]:
    """A label as an integer, or as integers if it lists flags of independent labels.

    Raises:
        InputError: it is neither.
    """
    return [int(flag) for flag in label] if is_flags(label) or _is_one_flag(label) else class_index(label)


def _is_one_flag(label: Any) -> bool:
    # an array or tensor of one number is a class number, as batches of loaders have it
    return isinstance(label, (list, tuple)) and len(label) == 1 and label[0] in (0, 1)


def split_row(row: Any) -> tuple[Any, Any]:
    """``(sample, label or None)`` of a row."""
    if isinstance(row, tuple) and len(row) == 2:
        return row
    if isinstance(row, Mapping):
        found = next((c for c in LABEL_COLUMNS if c in row), None)
        label = row[found] if found else None
        return {k: v for k, v in row.items() if k not in LABEL_COLUMNS}, label
    return row, None
