"""What a *feature* is in each modality, and how scores sit on it.

A modality fixes one thing: along which axis of the differentiable input ``x`` the
channels of one feature lie. Everything else (masking, reducing an attribution,
ranking) follows, so no other module asks which modality it deals with.

=========  =====================  =================
modality   differentiable ``x``   scores ``S``
=========  =====================  =================
image      ``[B, C, H, W]``       ``[B, 1, H, W]``
text       ``[B, T, D]``          ``[B, T]``
=========  =====================  =================
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Modality:
    """Axis convention of one kind of input.

    Args:
        name: ``"image"`` or ``"text"``.
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
    """A modality whose channels are scored one by one: scores have the shape of ``x`` itself."""

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
