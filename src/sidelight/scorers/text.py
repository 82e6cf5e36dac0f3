"""The text scorer: a narrow transformer over the target's token states (thesis §3.3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sidelight.core.field_checks import Layers, Share, Size
from sidelight.core.tensors import masked_mean
from sidelight.core.types import Encoding, StateSpec
from sidelight.errors import ConfigError, InputError
from sidelight.scorers.base import DECODERS
from sidelight.scorers.readout import ClassReadout


class TextDecoder(nn.Module):
    """States of the frozen target to one raw score per token.

    The states are first projected to a narrow width. So the whole decoder costs under one per cent of a base-size
    encoder. They hold the target's positions, and the decoder adds none, so texts may have any length. Padding is
    neither attended to nor scored. Raw scores are relative to the mean of their text. Otherwise a training could push a
    whole short text below 0, where the ReLU of the score head has no gradient.

    Args:
        states: shape of each state, shallow to deep.
        width: width of the decoder.
        layers: transformer layers. 0 scores every token by itself.
        heads: attention heads, a divisor of ``width``.
        expand: width of the feed-forward part, as a multiple of ``width``.
        dropout: in training only.
        cond_dim: width of a fusion vector that shifts and scales the projected states, if there is one.
        classes: of the target. With them there are three readings of each class
            (:data:`~sidelight.scorers.readout.READINGS`), without them one, of the class that the target predicts.

    Raises:
        ConfigError: ``heads`` does not divide ``width``, a size is not positive, or there is no state.
    """

    def __init__(
        self,
        states: Sequence[StateSpec],
        width: int = 128,
        layers: int = 2,
        heads: int = 4,
        expand: int = 2,
        dropout: float = 0.0,
        cond_dim: int | None = None,
        classes: int | None = None,
    ) -> None:
        super().__init__()
        if not states:
            raise ConfigError("a text scorer needs at least one state to read.")
        if min(width, heads, expand) < 1 or layers < 0 or width % heads:
            raise ConfigError(
                f"width must be a positive multiple of heads, and layers not negative; "
                f"got width={width}, heads={heads}, expand={expand}, layers={layers}."
            )
        self.projections = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(s.channels), nn.Linear(s.channels, width)) for s in states
        )
        self.film = nn.Linear(cond_dim, 2 * width) if cond_dim else None
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, expand * width, dropout, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.readout = nn.Linear(width, width if classes else 1, bias=False)
        self.of_class = ClassReadout(width, classes) if classes else None

    def forward(
        self,
        states: Sequence[Tensor],
        feature_mask: Tensor,
        attention_mask: Tensor | None = None,
        fusion: Tensor | None = None,
        classes: Tensor | None = None,
    ) -> Tensor:
        """Raw scores ``[B, T]``, or ``[B, C, 3, T]`` of the three readings of each class.

        Raw scores of the map have mean 0 over a text's features. They are 0 at tokens that are not attended to.

        Args:
            states: ``[B, T, D_i]`` each, shallow to deep.
            feature_mask: ``[B, T]`` boolean, true for tokens that are scored.
            attention_mask: ``[B, T]``, true or 1 for tokens that are attended to. Default:
                the features, and all positions with a state that is not exactly zero. Targets
                zero the states of padding, so special tokens are attended to.
            fusion: ``[B, cond_dim]``, if the decoder is conditioned.
            classes: ``[B, C]`` classes to score, if the decoder knows classes.

        Raises:
            InputError: another number of states than the decoder was built for.
        """
        if len(states) != len(self.projections):
            raise InputError(f"the scorer reads {len(self.projections)} state(s); got {len(states)}.")
        if attention_mask is None:
            # the largest of each position is found several times as fast as whether any is not 0
            seen = feature_mask | (states[-1].abs().amax(-1) != 0)
        else:
            seen = attention_mask.bool()
        dtype = self.readout.weight.dtype
        terms = [p(s.to(dtype)) for p, s in zip(self.projections, states, strict=True)]
        x = terms[0] if len(terms) == 1 else torch.stack(terms).sum(0)
        if self.film is not None and fusion is not None:
            scale, shift = self.film(fusion.to(dtype)).unsqueeze(1).chunk(2, -1)
            x = x * (1 + scale) + shift
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=~seen)
        features = self.readout(self.norm(x))
        if self.of_class is None or classes is None:
            return _centred(features.squeeze(-1), feature_mask, seen)
        raw = torch.einsum("btd,bcrd->crbt", features, self.of_class.weights(classes))
        return torch.stack([self._readings(of_class, feature_mask, seen) for of_class in raw], 1)

    def _readings(self, raw: Tensor, feature_mask: Tensor, seen: Tensor) -> Tensor:
        """``[B, 3, T]`` readings of one class, of raw scores ``[3, B, T]``."""
        assert self.of_class is not None
        mapped, ranked, effects = raw + self.of_class.bias.view(-1, 1, 1)
        # effects add up to a change of the probability, so their mean is not subtracted
        kept = [self.of_class.ranked(ranked, feature_mask), effects]
        rest = [reading.to(raw.dtype).masked_fill(~seen, 0.0) for reading in kept]
        return torch.stack([_centred(mapped, feature_mask, seen), *rest], 1)


def _centred(raw: Tensor, feature_mask: Tensor, seen: Tensor) -> Tensor:
    return (raw - masked_mean(raw, feature_mask).unsqueeze(1)).masked_fill(~seen, 0.0)


@DECODERS.register("text")
class TextScorer(nn.Module):
    """:class:`TextDecoder` behind the decoder protocol of :mod:`sidelight.scorers.base`.

    Args:
        width: width of the decoder.
        layers: transformer layers. 0 scores every token by itself.
        heads: attention heads, a divisor of ``width``.
        expand: width of the feed-forward part, as a multiple of ``width``.
        dropout: share of values that are dropped in training.
    """

    OPTIONS: ClassVar[dict[str, Any]] = {
        **dict.fromkeys(("width", "heads", "expand"), Size),
        "layers": Layers,
        "dropout": Share,
    }

    def __init__(
        self,
        states: Sequence[StateSpec],
        feature_shape: Sequence[int] | None = None,
        cond_dim: int | None = None,
        width: int = 128,
        layers: int = 2,
        heads: int = 4,
        expand: int = 2,
        dropout: float = 0.0,
        classes: int | None = None,
    ) -> None:
        super().__init__()
        self.decoder = TextDecoder(states, width, layers, heads, expand, dropout, cond_dim, classes)

    def forward(self, encoding: Encoding, modality: str, classes: Tensor | None = None) -> Tensor:
        mask = encoding.feature_mask[modality]
        return self.decoder(encoding.states[modality], mask, fusion=encoding.fusion, classes=classes)
