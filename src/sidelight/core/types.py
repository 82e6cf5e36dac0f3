"""The values that travel between the rooms of the library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from sidelight.core.batch import take_rows
from sidelight.core.tensors import probabilities

#: What the model itself takes, e.g. ``{"pixel_values": [B,C,H,W]}``.
Inputs = Mapping[str, Tensor]
#: Modality name -> the differentiable input: image ``[B,C,H,W]``, text ``[B,T,D]``.
Features = Mapping[str, Tensor]
#: Modality name -> one score per feature: image ``[B,1,H,W]``, text ``[B,T]``.
Scores = Mapping[str, Tensor]


@dataclass(frozen=True)
class Encoding:
    """What one clean pass of the target leaves behind.

    Attributes:
        logits: ``[B, K]`` of classes of which one is true (:mod:`sidelight.targets.verdict`).
        states: per modality the intermediate activations a scorer reads, shallow to deep;
            image ``[B, C_i, h_i, w_i]``, text ``[B, T, D]``.
        feature_mask: per modality a boolean tensor of the scores' shape, true where a
            feature is real (not padding, not a special token).
        fusion: ``[B, D]`` output of a fusion layer, where the target has one.
        encoded: per modality what its encoder hands on, if the target can go on from that.
    """

    logits: Tensor
    states: Mapping[str, tuple[Tensor, ...]]
    feature_mask: Mapping[str, Tensor]
    fusion: Tensor | None = None
    encoded: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def probabilities(self) -> Tensor:
        """``[B, K]`` softmax of the logits, in float32."""
        return probabilities(self.logits)

    @property
    def prediction(self) -> Tensor:
        """``[B]`` index of the most probable class."""
        return self.logits.argmax(-1)


@dataclass(frozen=True)
class Unmasked:
    """What every mask of the same inputs begins with.

    Attributes:
        features: per modality the differentiable input, without a graph.
        feature_mask: as in :class:`Encoding`.
        encoded: as in :class:`Encoding`; spares an encoder if its modality is not masked.
    """

    features: Features
    feature_mask: Mapping[str, Tensor]
    encoded: Mapping[str, Tensor] = field(default_factory=dict)

    def rows(self, index: Tensor, size: int) -> Unmasked:
        """The samples at ``index [R]`` of ``size``; a sample may be picked more than once."""
        parts = (self.features, self.feature_mask, self.encoded)
        return Unmasked(*(take_rows(part, index, size) for part in parts))


@dataclass(frozen=True)
class StateSpec:
    """Shape of one state: ``channels`` and, for images, its ``grid`` (rows, columns)."""

    channels: int
    grid: tuple[int, int] | None = None


@dataclass(frozen=True)
class TargetSpec:
    """What a scorer must know to be built: the states of each modality, shallow to deep."""

    states: Mapping[str, tuple[StateSpec, ...]]
    feature_shape: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    fusion_dim: int | None = None
