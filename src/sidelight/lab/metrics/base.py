"""What a metric is: an entry of :data:`METRICS`, computed from the evidence the engine gathered.

An entry says which passes through the target it needs, so the engine runs those and no
others, and adding a metric touches only the file that defines it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from sidelight.core.registry import Registry

Direction = Literal["lower", "higher"]
#: ``mask``: one pass under the soft map; ``steps``: both curves; ``areas``: the fixed shares of ERASER.
Need = Literal["mask", "steps", "areas"]


def _absent() -> Tensor:
    return torch.empty(0)


@dataclass
class Evidence:
    """Everything known about ``B`` samples under one method, reduction, granularity and fill.

    Fields that no requested metric needs stay empty. ``N`` counts the features of all
    modalities that are ranked together; ``p`` is the softmax probability of the class
    predicted on the clean input, or what else the protocol takes for confidence.

    Attributes:
        mask: ``[B, N]`` soft map in [0, 1] (min-max per sample).
        order: ``[B, N]`` values that rank the features, larger first; may be negative.
        real: ``[B, N]`` true where a feature counts.
        clean: ``[B]`` p of the clean input.
        truth: ``[B, N]`` true where the evidence is known to be.
        threshold: level at which ``mask`` becomes a region for IoU and F1.
        masked: ``[B]`` p under the soft map.
        shares: ``[B, K+1]`` where each step lies, 0 to 1: the share of features removed (added), or what
            else the protocol walks along.
        deletion, insertion: ``[B, K+1]`` p at each step.
        removed, kept: ``[B, A]`` p with the top features removed, or alone, at each area.
    """

    mask: Tensor
    order: Tensor
    real: Tensor
    clean: Tensor
    truth: Tensor | None = None
    threshold: float = 0.5
    masked: Tensor = field(default_factory=_absent)
    shares: Tensor = field(default_factory=_absent)
    deletion: Tensor = field(default_factory=_absent)
    insertion: Tensor = field(default_factory=_absent)
    removed: Tensor = field(default_factory=_absent)
    kept: Tensor = field(default_factory=_absent)


@dataclass(frozen=True)
class Metric:
    """One registered metric.

    Attributes:
        name: key in :data:`METRICS`.
        direction: ``"lower"`` or ``"higher"`` is better.
        doc: one line for tables and ``list``.
        compute: :class:`Evidence` to ``[B]`` values; NaN where undefined.
        needs: passes through the target that must be made first.
        needs_truth: whether ground truth is required.
    """

    name: str
    direction: Direction
    doc: str
    compute: Callable[[Evidence], Tensor]
    needs: frozenset[Need] = frozenset()
    needs_truth: bool = False

    @property
    def needs_fill(self) -> bool:
        """Whether the value depends on what replaces a removed feature."""
        return bool(self.needs)

    @property
    def one_pass(self) -> bool:
        """Whether at most one masked pass is needed, so that the value is cheap on many samples."""
        return self.needs <= {"mask"}


#: Every metric by name, in the order tables show them.
METRICS: Registry[Metric] = Registry("metric")


def define(
    name: str,
    direction: Direction,
    doc: str,
    compute: Callable[[Evidence], Tensor],
    *needs: Need,
    truth: bool = False,
) -> Metric:
    """Register a metric; raises :class:`~sidelight.errors.ConfigError` if the name is taken."""
    return METRICS.add(name, Metric(name, direction, doc, compute, frozenset(needs), truth))
