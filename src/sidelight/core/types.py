"""The vocabulary of the library: the values that travel between its rooms, and the *modalities* they are of.

A *feature* is a pixel of an image or a token of a text. A modality fixes one thing: along which axis of the
differentiable input ``x`` the channels of one feature lie. Masking, reducing an attribution and ranking follow from it.

=========  =====================  =================
modality   differentiable ``x``   scores ``S``
=========  =====================  =================
image      ``[B, C, H, W]``       ``[B, 1, H, W]``
text       ``[B, T, D]``          ``[B, T]``
=========  =====================  =================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from sidelight.core.tensors import decisions, predictable, probabilities

#: The inputs of the model itself, e.g. ``{"pixel_values": [B,C,H,W]}``.
Inputs = Mapping[str, Tensor]
#: Modality name -> the differentiable input: image ``[B,C,H,W]``, text ``[B,T,D]``.
Features = Mapping[str, Tensor]
#: Modality name -> one score per feature: image ``[B,1,H,W]``, text ``[B,T]``.
Scores = Mapping[str, Tensor]
#: How values of a word's pieces become one: ``max`` for scores, ``rank`` for the same with unseen words last, ``sum`` for
#: values that add up.
Join = Literal["max", "rank", "sum"]


@dataclass(frozen=True)
class Encoding:
    """The result of one clean pass of the target.

    Attributes:
        logits: ``[B, K]`` (:mod:`sidelight.targets.verdict`).
        states: per modality the intermediate activations a scorer reads, shallow to deep;
            image ``[B, C_i, h_i, w_i]``, text ``[B, T, D]``.
        feature_mask: per modality a boolean tensor of the scores' shape, true where a
            feature is real (not padding, not a special token).
        fusion: ``[B, D]`` output of a fusion layer, if the target has one.
        encoded: per modality the output of its encoder, if the target can continue from it.
        independent: whether the classes are L labels that may be true together, and their L opposites.
    """

    logits: Tensor
    states: Mapping[str, tuple[Tensor, ...]]
    feature_mask: Mapping[str, Tensor]
    fusion: Tensor | None = None
    encoded: Mapping[str, Tensor] = field(default_factory=dict)
    independent: bool = False

    @property
    def probabilities(self) -> Tensor:
        """``[B, K]`` probabilities of the classes, in float32."""
        return probabilities(self.logits, self.independent)

    @property
    def prediction(self) -> Tensor:
        """``[B]`` index of the most probable class, or label."""
        return predictable(self.logits, self.independent).argmax(-1)

    def verdict(self, classes: Tensor) -> Tensor:
        """``[B]`` what the model decides about ``classes [B]`` (:func:`~sidelight.core.tensors.decisions`)."""
        return decisions(self.logits, classes, self.independent)


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
class Reading:
    """What a scorer says of one class a sample, as tensors. Per modality, image ``[B, 1, H, W]``, text ``[B, T]``.

    Attributes:
        scores: in [0, 1], the map that is shown. What it keeps should keep the probability.
        ranking: without bounds, larger for features that come first.
        effects: change of the class's probability by each feature, with a sign. ``None`` if the scorer has not learnt
            them.
    """

    scores: Scores
    ranking: Scores
    effects: Scores | None = None


@dataclass(frozen=True)
class StateSpec:
    """Shape of one state: ``channels`` and, for images, its ``grid`` (rows, columns)."""

    channels: int
    grid: tuple[int, int] | None = None


@dataclass(frozen=True)
class TargetSpec:
    """The shapes that a scorer is built for: the states of each modality, shallow to deep."""

    states: Mapping[str, tuple[StateSpec, ...]]
    feature_shape: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    fusion_dim: int | None = None
    #: classes of the target. ``None`` in a scorer that was saved before scorers knew classes.
    classes: int | None = None


@dataclass(frozen=True)
class Modality:
    """Axis convention of one kind of input.

    Args:
        name: e.g. ``"image"``. Registries of fills, decoders and renderers have an entry of this name.
        channel_dim: axis of ``x`` over which one feature extends.
        keeps_channel_dim: whether scores keep that axis with length 1.
    """

    name: str
    channel_dim: int
    keeps_channel_dim: bool

    def expand(self, scores: Tensor) -> Tensor:
        """Scores with a channel axis of length 1, ready to multiply ``x``."""
        return scores if self.keeps_channel_dim else scores.unsqueeze(self.channel_dim)

    def reduce_sum(self, attribution: Tensor) -> Tensor:
        """One signed score per feature: the sum over its channels."""
        return attribution.sum(self.channel_dim, keepdim=self.keeps_channel_dim)

    def reduce_norm(self, attribution: Tensor) -> Tensor:
        """One non-negative score per feature: the L2 norm over its channels."""
        return attribution.norm(dim=self.channel_dim, keepdim=self.keeps_channel_dim)

    def by_channel(self) -> ChannelModality:
        """The same modality with every channel a feature of its own."""
        return ChannelModality(self.name, self.channel_dim, self.keeps_channel_dim)


@dataclass(frozen=True)
class ChannelModality(Modality):
    """A modality with one score per channel, so that scores have the shape of ``x`` itself."""

    def expand(self, scores: Tensor) -> Tensor:
        return scores

    def reduce_sum(self, attribution: Tensor) -> Tensor:
        """The attribution as it is: every channel is a feature."""
        return attribution

    def reduce_norm(self, attribution: Tensor) -> Tensor:
        """The norm of a single number: its absolute value."""
        return attribution.abs()


IMAGE = Modality("image", channel_dim=1, keeps_channel_dim=True)
TEXT = Modality("text", channel_dim=-1, keeps_channel_dim=False)
MODALITIES = {m.name: m for m in (IMAGE, TEXT)}


def is_batched(value: Tensor, size: int) -> bool:
    """Whether ``value`` has a batch axis of ``size`` samples. A value without one belongs to every sample."""
    return value.ndim > 0 and len(value) == size


def take_rows(tensors: Mapping[str, Tensor], rows: Tensor, size: int) -> dict[str, Tensor]:
    """Select ``rows [R]`` from every batched tensor. Rows may repeat. Other tensors are returned unchanged."""
    return {k: v.index_select(0, rows) if is_batched(v, size) else v for k, v in tensors.items()}
