"""From rows of a data set to a batch of model inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from sidelight.errors import InputError
from sidelight.quiet import told_once

LABEL_COLUMNS = ("label", "labels")


class Collator:
    """Rows to ``{model inputs..., "labels": [B]}``.

    A row is a mapping with a column named after each modality (``image``, ``text``) and,
    where labels are wanted, ``label``; or a pair ``(sample, label)``; or a sample alone, which
    for a target of images and texts is itself a pair ``(image, text)``.
    Rows that hold the model's own inputs (``pixel_values``) instead are stacked as they are,
    their other columns left out. A kind of warning is passed on once, not for every batch.

    Args:
        target: its ``prepare`` turns raw samples into inputs.
    """

    def __init__(self, target: Any) -> None:
        self.target = target
        self._told: set[type[Warning]] = set()

    def __call__(self, rows: Sequence[Any]) -> dict[str, Tensor]:
        if not rows:
            raise InputError("the batch is empty: give at least one row.")
        samples, labels = zip(*(self.split(row) for row in rows), strict=True)
        batch = dict(self.inputs(list(samples)))
        if all(label is not None for label in labels):
            batch["labels"] = torch.tensor([class_index(label) for label in labels])
        return batch

    def split(self, row: Any) -> tuple[Any, Any]:
        """``(sample, label or None)`` of a row; a pair that is a sample itself has no label."""
        if isinstance(row, tuple) and self.target.is_sample(row):
            return row, None
        return split_row(row)

    def inputs(self, samples: Sequence[Any]) -> dict[str, Tensor]:
        """Model inputs of samples without labels."""
        raw = self.samples(samples)
        if raw is None:
            ready = [k for k, v in samples[0].items() if isinstance(v, Tensor)]
            return {k: torch.stack([s[k] for s in samples]) for k in ready}
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
            and any(isinstance(v, Tensor) for v in head.values())
        ):
            return None
        return self.target.read_rows(samples, first)


def class_index(label: Any) -> int:
    """A label as an integer; raises :class:`InputError` for names and fractions."""
    index: int | None = None
    with suppress(TypeError, ValueError):
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
