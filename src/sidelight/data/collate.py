"""From rows of a data set to a batch of model inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from sidelight.errors import InputError

LABEL_COLUMNS = ("label", "labels")


class Collator:
    """Rows to ``{model inputs..., "labels": [B]}``.

    A row is a mapping with a column named after the modality (``image``, ``text``) and,
    where labels are wanted, ``label``; or a pair ``(sample, label)``; or a sample alone.
    Rows that hold the model's own inputs (``pixel_values``) instead are stacked as they are,
    their other columns left out.

    Args:
        target: its ``prepare`` turns raw samples into inputs.
    """

    def __init__(self, target: Any) -> None:
        self.target = target

    def __call__(self, rows: Sequence[Any]) -> dict[str, Tensor]:
        if not rows:
            raise InputError("the batch is empty: give at least one row.")
        samples, labels = zip(*(split_row(row) for row in rows), strict=True)
        batch = dict(self.inputs(list(samples)))
        if all(label is not None for label in labels):
            batch["labels"] = torch.tensor([class_index(label) for label in labels])
        return batch

    def inputs(self, samples: Sequence[Any]) -> dict[str, Tensor]:
        """Model inputs of samples without labels."""
        head = samples[0]
        if isinstance(head, Mapping):
            names = list(self.target.modalities)
            missing = [n for n in names if n not in head]
            ready = [k for k, v in head.items() if isinstance(v, Tensor)] if missing else []
            if ready:
                return {k: torch.stack([s[k] for s in samples]) for k in ready}
            if missing:
                raise InputError(
                    f"a row needs the column(s) {names}; it holds {sorted(head)}. Rename the columns of the data set."
                )
            if len(names) == 1:
                samples = [s[names[0]] for s in samples]
        return self.target.prepare(samples)


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
