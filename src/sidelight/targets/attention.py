"""Attention weights of a Hugging Face transformer. Reading them leaves the model unchanged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from sidelight.core.types import Scores
from sidelight.errors import UnsupportedTargetError
from sidelight.targets.verdict import Verdict

_ADVICE = "Leave 'attention_rollout' out of the rivals of this target."


@dataclass(frozen=True)
class AttentionPass:
    """One pass of a transformer with its attention weights.

    Attributes:
        logits: ``[B, K]``, with a graph that reaches ``last``.
        layers: ``[B, H, L, L]`` weights of each layer, shallow to deep, without a graph. Row ``i`` holds the
            attention of token ``i`` and sums to 1, or to 0 if the token is padding.
        last: ``[B, L, D]`` output of the last layer.
        layout: turns one value a token ``[B, L]`` into scores by modality.
    """

    logits: Tensor
    layers: tuple[Tensor, ...]
    last: Tensor
    layout: Callable[[Tensor], Scores]

    def read_by(self, verdict: Verdict) -> AttentionPass:
        """Return the same pass with logits of classes in place of the model's own output."""
        return replace(self, logits=verdict.read(self.logits, len(self.logits)))


def attention_pass(
    model: nn.Module,
    arguments: Mapping[str, Any],
    layout: Callable[[Tensor], Scores],
    attended: Tensor | None = None,
) -> AttentionPass:
    """Call ``model`` for its attention weights. The caller must freeze it and make an input differentiable.

    Args:
        arguments: the arguments of the call.
        layout: see :class:`AttentionPass`.
        attended: ``[B, L]`` boolean, false at padding. By default the model attends to everything.

    Raises:
        UnsupportedTargetError: the model gives no weights, or a layer's weights are not one square
            matrix over the same tokens (windows, pyramids, reduced keys).
    """
    with torch.enable_grad(), eager_attention(model):
        try:
            out = model(**arguments, output_attentions=True, output_hidden_states=True)
        except TypeError as error:
            raise _no_attention(model) from error
    weights, states = getattr(out, "attentions", None), getattr(out, "hidden_states", None)
    if not weights or not states or not all(isinstance(w, Tensor) for w in weights):
        raise _no_attention(model)
    last = states[-1]
    _check_shapes(model, weights, last)
    layers = tuple(w.detach() for w in weights)
    if attended is not None:
        # rows of padding may hold anything, even NaN, so they become zero
        layers = tuple(torch.where(attended[:, None, :, None], w, torch.zeros_like(w)) for w in layers)
    return AttentionPass(out.logits, layers, last, layout)


@contextmanager
def eager_attention(model: nn.Module) -> Iterator[None]:
    """Switch ``model`` to eager attention, because fused kernels do not return the weights.

    The exit restores the model's own implementation, also after an error. Models without a switch stay as they are.
    """
    from transformers import PreTrainedModel

    parts = [m for m in model.modules() if isinstance(m, PreTrainedModel)]
    before = [(part.config, part.config._attn_implementation) for part in parts]
    try:
        for part in parts:
            if part._can_set_attn_implementation():
                # the public setter also sets absent parts, and warns about them
                part.config._attn_implementation_internal = "eager"
        yield
    finally:
        for config, own in before:
            config._attn_implementation_internal = own


def _check_shapes(model: nn.Module, weights: tuple[Tensor, ...], last: Tensor) -> None:
    batch, length = last.shape[0], last.shape[1]
    for number, weight in enumerate(weights):
        fits = weight.ndim == 4 and weight.shape[0] == batch and weight.shape[-2:] == (length, length)
        if last.ndim != 3 or not fits:
            raise UnsupportedTargetError(
                f"attention rollout needs square weights [B, heads, L, L] over the same tokens in every layer; "
                f"layer {number} of {type(model).__name__} has {tuple(weight.shape)} and the last state "
                f"{tuple(last.shape)}. {_ADVICE}"
            )


def _no_attention(model: nn.Module) -> UnsupportedTargetError:
    return UnsupportedTargetError(
        f"{type(model).__name__} gives no attention weights. If it is a transformer, load it with "
        f"attn_implementation='eager'. {_ADVICE}"
    )
