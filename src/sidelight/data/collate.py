"""From rows of a data set to a batch of model inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from sidelight.errors import InputError

LABEL_COLUMNS = ("label", "labels")


class Collator:
    """Rows to ``{model inputs..., "labels": [B]}``.

    A row is a mapping with a column named after the modality (``image``, ``text``) and,
    where labels are wanted, ``label``; or a pair ``(sample, label)``; or a sample alone.
    Rows that hold the model's own inputs (``pixel_values``) are stacked as they are.

    Args:
        target: its ``prepare`` turns raw samples into inputs.
    """

    def __init__(self, target: Any) -> None:
        self.target = target

    def __call__(self, rows: Sequence[Any]) -> dict[str, Tensor]:
        samples, labels = zip(*(split_row(row) for row in rows), strict=True)
        batch = dict(self.inputs(list(samples)))
        if all(label is not None for label in labels):
            batch["labels"] = torch.tensor([int(label) for label in labels])
        return batch

    def inputs(self, samples: Sequence[Any]) -> dict[str, Tensor]:
        """Model inputs of samples without labels."""
        first = samples[0]
        if isinstance(first, Mapping):
            names = list(self.target.modalities)
            if all(isinstance(v, Tensor) for v in first.values()):
                return {k: torch.stack([s[k] for s in samples]) for k in first}
            missing = [n for n in names if n not in first]
            if missing:
                raise InputError(
                    f"a row needs the column(s) {names}; it holds {sorted(first)}. Rename the columns of the data set."
                )
            if len(names) == 1:
                samples = [s[names[0]] for s in samples]
        return self.target.prepare(samples)


def split_row(row: Any) -> tuple[Any, Any]:
    """``(sample, label or None)`` of a row."""
    if isinstance(row, tuple) and len(row) == 2:
        return row
    if isinstance(row, Mapping):
        found = next((c for c in LABEL_COLUMNS if c in row), None)
        label = row[found] if found else None
        return {k: v for k, v in row.items() if k not in LABEL_COLUMNS}, label
    return row, None
