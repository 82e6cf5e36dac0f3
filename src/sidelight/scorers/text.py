"""The text scorer: a narrow transformer over the target's token states (thesis §3.3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sidelight.core.field_checks import Layers, Share, Size
from sidelight.core.tensors import masked_mean, unless_all
from sidelight.core.types import Encoding, StateSpec
from sidelight.errors import ConfigError, InputError
from sidelight.scorers.base import DECODERS
from sidelight.scorers.readout import ClassReadout


class Layer(nn.TransformerEncoderLayer):
    """torch's layer with an attention that is several times as fast on a CPU as the layer's own, and the same weights."""

    def forward(self, x: Tensor, seen: Tensor | None) -> Tensor:  # type: ignore[override]
        """One layer.

        Args:
            x: ``[B, T, D]``.
            seen: ``[B, T]`` boolean, true for positions that are attended to. ``None``: all.
        """
        x = x + self.dropout1(self._attended(self.norm1(x), seen))
        inner = self.dropout(F.gelu(self.linear1(self.norm2(x))))
        return x + self.dropout2(self.linear2(inner))

    def _attended(self, x: Tensor, seen: Tensor | None) -> Tensor:
        own = self.self_attn
        parts = F.linear(x, own.in_proj_weight, own.in_proj_bias).unflatten(2, (3, own.num_heads, -1))
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # [B, heads, T, D / heads] each
        found = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=None if seen is None else seen[:, None, None],
            dropout_p=own.dropout if self.training else 0.0,
        )
        return own.out_proj(found.transpose(1, 2).flatten(2))


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
            Layer(width, heads, expand * width, dropout, "gelu", batch_first=True, norm_first=True)
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
            # the largest and the smallest are found many times as fast as whether any is not 0
            last = states[-1]
            seen = feature_mask | (last.amax(-1) != 0) | (last.amin(-1) != 0)
        else:
            seen = attention_mask.bool()
        dtype = self.readout.weight.dtype
        terms = [p(s.to(dtype)) for p, s in zip(self.projections, states, strict=True)]
        x = terms[0] if len(terms) == 1 else torch.stack(terms).sum(0)
        if self.film is not None and fusion is not None:
            scale, shift = self.film(fusion.to(dtype)).unsqueeze(1).chunk(2, -1)
            x = x * (1 + scale) + shift
        attended = unless_all(seen)
        for layer in self.layers:
            x = layer(x, attended)
        x, real = self.norm(x), unless_all(feature_mask)
        if self.of_class is None or classes is None:
            return _seen(_centred(self.readout(x).squeeze(-1), real), attended)
        # one product for the readout and the classes, which are fewer than the tokens
        asked = self.of_class.weights(classes)
        raw = (asked.flatten(1, 2) @ self.readout.weight) @ x.transpose(1, 2)
        return self._readings(raw.unflatten(1, asked.shape[1:3]), real, attended)

    def _readings(self, raw: Tensor, real: Tensor | None, seen: Tensor | None) -> Tensor:
        """``[B, C, 3, T]`` readings of raw scores of that shape."""
        assert self.of_class is not None
        size, count = raw.shape[:2]
        mapped, ranked, effects = (raw + self.of_class.bias.view(-1, 1)).flatten(0, 1).unbind(1)
        real = None if real is None else real.repeat_interleave(count, 0)
        # effects add up to a change of the probability, so their mean is not subtracted
        kept = [_centred(mapped, real), self.of_class.ranked(ranked, real).to(raw.dtype), effects]
        found = torch.stack(kept, 1).unflatten(0, (size, count))
        return _seen(found, None if seen is None else seen[:, None, None])


def _seen(raw: Tensor, seen: Tensor | None) -> Tensor:
    return raw if seen is None else raw.masked_fill(~seen, 0.0)


def _centred(raw: Tensor, real: Tensor | None) -> Tensor:
    return raw - masked_mean(raw, real).unsqueeze(1)


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
