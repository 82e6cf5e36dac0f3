"""Samples on their way into a model: the contract of every reader, and the batch that carries what was read.

A reader reads samples once. Everything that later steps need travels in the :class:`Batch`: the model's inputs, the
texts with the places of their tokens, labels, known evidence. No later step opens or tokenizes a sample again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from sidelight.core.columns import PICTURE_COLUMNS, column_of, holds_modality, is_stored_picture
from sidelight.core.types import Encoding, Inputs, Join, Scores
from sidelight.errors import InputError
from sidelight.inputs.row_parts import READY, evidence_of, label_number, sample_and_label
from sidelight.inputs.tokenizing import ReadTexts

#: marks evidence among the tensors of a sample
_TRUTH = "evidence of "


@dataclass(frozen=True)
class Batch:
    """``B`` samples as a model takes them, and everything else that reading them told.

    Attributes:
        inputs: what the model takes, e.g. ``{"pixel_values": [B, C, H, W]}``.
        ids: one number per sample, if the caller gave them numbers.
        truth: per modality a boolean tensor of the scores' shape, if the evidence is known and was asked for.
        labels: ``[B]`` class numbers, or ``[B, L]`` flags of independent labels, if every row has them.
        texts: the texts and their tokens, if texts were read. ``None`` for pictures, or if ids came prepared.
        sizes: height and width of each picture as a viewer shows it, ``None`` of one that came prepared. Empty if no
            pictures were read.
        clean: makes the clean pass of ``inputs``, if it is to be shared (:attr:`encoding`).
    """

    inputs: Inputs
    ids: Sequence[int] = ()
    truth: Mapping[str, Tensor] | None = None
    labels: Tensor | None = None
    texts: ReadTexts | None = None
    sizes: Sequence[tuple[int, int] | None] = ()
    clean: Callable[[], Encoding] | None = None

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values()), ()))

    @cached_property
    def encoding(self) -> Encoding | None:
        """The clean pass, made at the first look. ``None`` if nobody knows how to make it."""
        return None if self.clean is None else self.clean()

    @property
    def remarks(self) -> list[dict[str, Any]]:
        """Per sample what a reader of its explanation must know: ``{"truncated": True}`` for a text that was cut."""
        cut = frozenset[int]() if self.texts is None else self.texts.cut
        return [{"truncated": True} if i in cut else {} for i in range(len(self))]

    def to(self, device: torch.device) -> Batch:
        """The same samples with their inputs on ``device``."""
        return replace(self, inputs={k: v.to(device) for k, v in self.inputs.items()})


class Reader(ABC):
    """Turns samples into a model's inputs, and inputs and scores back into something to look at."""

    #: names of the modalities that a sample holds
    modalities: ClassVar[tuple[str, ...]]
    #: of text in rows, if their names are not the usual ones
    columns: tuple[str, ...] = ()

    # -- implemented by each kind of reader ---------------------------------------------

    @abstractmethod
    def prepare(self, samples: Any) -> Batch:
        """Raw samples, as :meth:`samples` gives them, as one batch.

        Raises:
            InputError, InputTypeError: a sample cannot be read. The message names it.
        """

    @abstractmethod
    def truth(self, evidence: Sequence[Mapping[str, Any]], batch: Batch) -> dict[str, Tensor]:
        """Known evidence of each sample as boolean tensors of the scores' shape.

        Args:
            evidence: per sample and modality an array or list as the data set gives it.
        """

    @abstractmethod
    def show(self, batch: Batch, real: Mapping[str, Tensor]) -> list[dict[str, Any]]:
        """Per sample and modality the input as a person sees it (see :class:`Explanation`).

        Args:
            real: the target's feature mask of them.
        """

    @abstractmethod
    def show_scores(
        self, batch: Batch, scores: Scores, real: Mapping[str, Tensor], join: Join = "max"
    ) -> list[dict[str, Any]]:
        """Per sample and modality the scores as arrays that fit :meth:`show`, called with the same batch.

        Args:
            join: how the values of a word's pieces become one.
        """

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Plain values from which :meth:`load` makes the preprocessing again."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Save the preprocessing beside the model."""

    @classmethod
    @abstractmethod
    def load(cls, name: str, state: Mapping[str, Any], revision: str | None = None) -> Any:
        """The processor that ``state`` describes, else the one beside the model ``name``, else ``None``."""

    # -- shared -------------------------------------------------------------------------

    def is_sample(self, value: Any) -> bool:
        """Whether ``value`` is one raw sample. Lists, columns and batches of tensors or pictures are several."""
        if isinstance(value, Tensor):
            return value.ndim == 3
        if isinstance(value, np.ndarray):
            return value.ndim < 4 and (value.ndim == 0 or value.dtype.kind not in "OUST")
        if isinstance(value, Mapping) or not isinstance(value, Sequence):
            return not hasattr(value, "column_names") and not hasattr(value, "to_list")
        return isinstance(value, (str, bytes, bytearray, memoryview))

    def is_row(self, value: Any) -> bool:
        """Whether ``value`` is one row, although its only column may be a list: an array or tensor that is one sample."""
        if not isinstance(value, Mapping) or len(self.modalities) > 1:
            return False
        column = column_of(value, self.modalities[0])
        sample = None if column is None else value[column]
        if not isinstance(sample, (np.ndarray, Tensor, list)) or len(sample) == 0:
            return False
        return self.is_sample(sample) and not self.is_sample(sample[0])

    def samples(self, rows: Sequence[Any], first: int = 0) -> Sequence[Any]:
        """Raw samples of rows without labels: of mappings, the column of the modality.

        Args:
            first: number of the first one, for messages.

        Raises:
            InputError: a row lacks the column.
        """
        if not (isinstance(rows[0], Mapping) and len(self.modalities) == 1) or is_stored_picture(rows[0]):
            return rows
        (name,) = self.modalities
        found = [column_of(row, name) for row in rows]
        for number, (row, column) in enumerate(zip(rows, found, strict=True), start=first):
            if column is None:
                raise InputError(
                    f"a row needs the column(s) {[name]}; row {number} holds {sorted(row)}. "
                    f"Rename one of them to {name!r}."
                )
        return [row[column] for row, column in zip(rows, found, strict=True)]

    def read(
        self, rows: Sequence[Any] | Inputs | Tensor, *, labelled: bool = True, evidence: bool = False
    ) -> Batch:
        """Read rows of a data set, or samples, as one batch.

        A row is a mapping with a column named after each modality (``image``, ``text``), or a pair
        ``(sample, label)``, or a sample alone. Rows that hold the model's own inputs instead are stacked as they are.

        Args:
            rows: at least one. Or the model's own inputs, a mapping of tensors.
            labelled: read labels too. They must be whole numbers.
            evidence: lay the evidence that the rows bring along on the features.

        Raises:
            InputError, InputTypeError: a row cannot be read. The message names it by its place in ``rows``.
        """
        if isinstance(rows, Mapping):
            return Batch(dict(rows))
        if isinstance(rows, Tensor):
            return self.prepare(rows)
        if len(rows) == 0:
            raise InputError("the batch is empty: give at least one row.")
        samples, labels = zip(*(sample_and_label(self, row) for row in rows), strict=True)
        batch = self.read_samples(samples)
        if labelled and all(label is not None for label in labels):
            batch = replace(batch, labels=label_tensor(labels))
        known = evidence_of(rows, self.modalities) if evidence else None
        return batch if known is None else replace(batch, truth=self.truth(known, batch))

    def read_samples(self, samples: Sequence[Any]) -> Batch:
        """Read samples, or rows without labels."""
        raw = None if self.holds_inputs(samples[0]) else self.samples(samples)
        return Batch(_stacked(samples)) if raw is None else self.prepare(raw)

    def holds_inputs(self, sample: Any) -> bool:
        """Whether a row holds the model's own inputs and no raw sample, whatever its columns are called."""
        if not isinstance(sample, Mapping):
            return False
        if any(name in READY for name in sample):
            return any(name not in sample for name in self.modalities)
        held = all(holds_modality(sample, name, self.columns) for name in self.modalities)
        return not held and any(self._may_be_input(name, value) for name, value in sample.items())

    def _may_be_input(self, column: Any, value: Any) -> bool:
        # a table with tensors holds numbers as tensors without axes, and prepared pictures under the name of pictures
        picture = "image" in self.modalities and column in PICTURE_COLUMNS
        return isinstance(value, Tensor) and value.ndim > 0 and not picture

    def join(self, parts: Sequence[tuple[Batch, int]]) -> Batch:
        """One batch of samples that were read in several.

        Args:
            parts: for each sample the batch that it was read in, and its place there.

        Returns:
            Inputs and evidence, equal to those of reading the samples together.
        """
        rows = [
            {k: v[i] for k, v in batch.inputs.items()}
            | {_TRUTH + m: v[i] for m, v in (batch.truth or {}).items()}
            for batch, i in parts
        ]
        rows = self.alike(rows)
        stacked = {k: torch.stack([row[k] for row in rows]) for k in rows[0]}
        truth = {k.removeprefix(_TRUTH): v for k, v in stacked.items() if k.startswith(_TRUTH)}
        return Batch({k: v for k, v in stacked.items() if not k.startswith(_TRUTH)}, truth=truth or None)

    def alike(self, rows: list[dict[str, Tensor]]) -> list[dict[str, Tensor]]:
        """Inputs of single samples, brought to one shape as reading them together would have done."""
        return rows


def label_tensor(labels: Sequence[Any]) -> Tensor:
    """``[B]`` class numbers, or ``[B, L]`` flags of independent labels.

    Raises:
        InputError: a label is neither, or rows differ in it.
    """
    found = [label_number(label) for label in labels]
    kinds = {len(label) if isinstance(label, list) else 0 for label in found}
    if len(kinds) > 1:
        raise InputError(
            "labels must be class numbers, or lists of zeros and ones of one length; got both kinds."
        )
    return torch.tensor(found)


def _stacked(samples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    """Inputs of rows that hold the model's own. Their other columns are left out."""
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
