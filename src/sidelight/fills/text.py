"""Fills of texts by name. Importing this module registers them in ``FILLS["text"]``.

The values of ``zero``, ``mean``, ``mask``, ``pad`` and ``random`` are word embeddings. ``drop`` also takes the token out
of attention, which no value can do. So its zeros have a mark (:class:`Dropped`), which the target reads.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sidelight.core.seeds import drawing
from sidelight.errors import InputError
from sidelight.fills.base import FILLS, FillContext, TokenContext


class Dropped(Tensor):
    """Zeros with a mark: the target must take the token out of attention too. Slices and copies keep the mark."""

    @classmethod
    def like(cls, x: Tensor) -> Dropped:
        """Marked zeros of ``x``'s shape, dtype and device, without its storage."""
        return x.new_zeros(1).expand(x.shape).as_subclass(cls)


def split_drop(fill: Tensor, scores: Tensor, attention_mask: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """Plain fill values, and the attention mask without the dropped tokens.

    A token with a score below 0.5 is dropped. If no token would be left (all are dropped, and there are no special
    tokens), the last real token stays in attention, with its embedding masked like the others.

    Args:
        fill: values, marked or not.
        scores: ``[B, T]`` in [0, 1].
        attention_mask: ``[B, T]``.
        real: ``[B, T]`` boolean feature mask.

    Returns:
        ``(values, attention_mask)``. Both are unchanged if ``fill`` has no mark.
    """
    if not isinstance(fill, Dropped):
        return fill, attention_mask
    keep = attention_mask.bool() & ((scores >= 0.5) | ~real)
    position = torch.arange(keep.shape[1], device=keep.device).expand_as(keep)
    last = (position * real).argmax(1, keepdim=True)
    anchor = torch.zeros_like(keep).scatter(1, last, True)
    keep = keep | (anchor & ~keep.any(1, keepdim=True))
    return fill.as_subclass(Tensor), keep.to(attention_mask.dtype)


def _tokens(context: FillContext, name: str) -> TokenContext:
    if context.tokens is None:
        raise InputError(f"text fill {name!r} needs the model's vocabulary; use it through a text target.")
    return context.tokens


def _constant(name: str, token_id: int | None, x: Tensor, tokens: TokenContext) -> Tensor:
    if token_id is None:
        raise InputError(
            f"fill {name!r} needs a {name} token; this tokenizer has none, or there is no tokenizer. "
            "Give the tokenizer to the target, or choose another fill: zero, mean, random, drop."
        )
    value = tokens.embed(torch.tensor([token_id], device=x.device))[0]
    return value.to(x).expand_as(x)


@FILLS["text"].register("zero")
def zero(x: Tensor, context: FillContext) -> Tensor:
    """The zero vector: the thesis's fill."""
    return torch.zeros_like(x)


@FILLS["text"].register("mean")
def mean(x: Tensor, context: FillContext) -> Tensor:
    """The mean word embedding of the vocabulary.

    The mean of the text itself would still show the topic of the removed words.
    """
    return _tokens(context, "mean").mean().to(x).expand_as(x)


@FILLS["text"].register("mask")
def mask(x: Tensor, context: FillContext) -> Tensor:
    """The embedding of the tokenizer's mask token."""
    tokens = _tokens(context, "mask")
    return _constant("mask", tokens.mask_id, x, tokens)


@FILLS["text"].register("pad")
def pad(x: Tensor, context: FillContext) -> Tensor:
    """The embedding of the padding token. Unlike padding, the model still attends to it."""
    tokens = _tokens(context, "pad")
    return _constant("pad", tokens.pad_id, x, tokens)


@FILLS["text"].register("random")
def random(x: Tensor, context: FillContext) -> Tensor:
    """Ordinary vocabulary tokens drawn at random, one for each real token, by the sample's seed.

    The n-th real token of a sample gets the n-th draw, so padding changes nothing.
    """
    tokens = _tokens(context, "random")
    ordinary = tokens.ordinary()
    ids = torch.stack(
        [
            _draw(seed, real, len(ordinary))
            for seed, real in zip(context.seeds, tokens.real.cpu(), strict=True)
        ]
    )
    return tokens.embed(ordinary[ids].to(x.device)).to(x)


def _draw(seed: int, real: Tensor, size: int) -> Tensor:
    """``[T]`` indices below ``size``: the n-th true position of ``real`` holds the n-th draw."""
    picks = torch.zeros(len(real), dtype=torch.long)
    picks[real] = torch.randint(size, (int(real.sum()),), generator=drawing(seed, 11))
    return picks


@FILLS["text"].register("drop")
def drop(x: Tensor, context: FillContext) -> Tensor:
    """Zeros, and the model no longer attends to the token. The positions of the others stay."""
    return Dropped.like(x)
