"""How a classifier is trained: plain values, importable without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from sidelight.core.field_checks import Count, NotNegative, Options, Positive, Seed, Share, check_fields


@dataclass(frozen=True)
class ClassifierTraining:
    """How a classifier is trained (method §5): AdamW, linear decay after warm-up.

    Attributes:
        epochs, batch_size, learning_rate, weight_decay, warmup_ratio: the usual ones.
        label_smoothing: of the cross-entropy.
        seed: of initialisation and order.
    """

    epochs: Positive = 3
    batch_size: Count = 64
    learning_rate: Positive = 1e-3
    weight_decay: NotNegative = 0.05
    warmup_ratio: Share = 0.1
    label_smoothing: Annotated[NotNegative, Field(lt=1)] = 0.0
    seed: Seed = 0
    extra: Options = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self, "target.training")
