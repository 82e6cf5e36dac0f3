"""The section of a configuration about the judge of ``fidelity_plus``, ``fidelity_minus`` and ``single_deletion``.

Imports no torch.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sidelight.core.field_checks import LARGEST_SEED, MOST_DRAWS, Epochs
from sidelight.lab.config.scorer_sections import Section


class JudgeSection(Section):
    """A copy of the classifier that is trained on with parts of its inputs removed, and what it is asked.

    It is trained only if ``evaluation.metrics`` names a metric that asks it.

    Attributes:
        rows: of the training split, at most (default: all).
        epochs, batch_size, learning_rate: of its training.
        beta: largest share of the features that is removed at once, in its training and by ``fidelity_plus`` and
            ``fidelity_minus``.
        alpha: share of a part that these two remove, as far as ``beta`` allows.
        sizes: of the top part, as shares of the features.
        draws: random removals of each part. Each costs two passes for a sample, method, fill and size.
        cells: at most so many patches or words of a sample are removed one by one for ``single_deletion``. Each costs a
            pass for a sample and fill, whatever the number of methods.
        seed: of its training.
    """

    rows: int | None = Field(default=4000, ge=2)
    epochs: Epochs = 1.0
    batch_size: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=1e-4, gt=0)
    beta: float = Field(default=0.1, gt=0, le=1)
    alpha: float = Field(default=0.5, gt=0, le=1)
    sizes: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        default_factory=lambda: [0.1, 0.3, 0.5, 0.7, 0.9], min_length=1
    )
    draws: int = Field(default=10, ge=1, le=MOST_DRAWS)
    cells: int = Field(default=64, ge=2)
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
