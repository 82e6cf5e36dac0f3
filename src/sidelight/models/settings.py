"""How a classifier is trained: plain values, importable without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ClassifierTraining:
    """How a classifier is trained (method §5): AdamW, linear decay after warm-up.

    Attributes:
        epochs, batch_size, learning_rate, weight_decay, warmup_ratio: the usual ones.
        label_smoothing: of the cross-entropy.
        seed: of initialisation and order.
    """

    epochs: float = 3
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup_ratio: float = 0.1
    label_smoothing: float = 0.0
    seed: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)
