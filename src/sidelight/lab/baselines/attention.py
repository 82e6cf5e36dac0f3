"""Attention rollout: the attention weights of all layers, multiplied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sidelight.errors import UnsupportedTargetError
from sidelight.lab.baselines.base import Job, Rival, at_least, class_output, register
from sidelight.targets.attention import AttentionPass
from sidelight.targets.base import TargetModel


@register
@dataclass(frozen=True)
class AttentionRollout(Rival):
    """Attention weights, averaged over heads and multiplied through the layers.

    Each layer counts as ``0.5 A + 0.5 I``. The identity stands for the residual connection. The map is the
    row of the token that the classifier reads: the class token of an encoder, the last real token of a
    decoder-only model. The gradient of the logit at the last layer finds this token. If the classifier reads
    several (mean pooling, a second class token), their rows are averaged with the gradient's norms as weights.
    The explained class plays a part in this average only. Patches of an image are laid out on their grid and
    upsampled.

    Source: Abnar & Zuidema 2020.

    Args:
        internal_batch: as for every method. The pass keeps the weights of all layers, so the default is small.
    """

    name = "attention_rollout"
    signed = False
    reduction = "none"

    internal_batch: int = at_least(1, 8)

    def refusal(self, target: TargetModel) -> str | None:
        inputs = target.trial_inputs()
        if inputs is None:
            kind = type(target).__name__
            return f"{kind} names no inputs to try it on, so nobody knows whether it gives attention weights."
        try:
            self(target, inputs, torch.zeros(1, dtype=torch.long))
        except UnsupportedTargetError as error:
            return str(error)
        return None

    def _maps(self, job: Job) -> Mapping[str, Tensor]:
        found = job.target.attention_pass(job.inputs)
        return found.layout(rollout(found.layers, read_tokens(found, job.classes)))


def read_tokens(found: AttentionPass, classes: Tensor) -> Tensor:
    """``[B, L]`` share of each token of the last layer in what the classifier reads.

    The share is the norm of the class logit's gradient, scaled so that each row sums to 1. A pooled single token
    gets all of it. A row is 0 if the logit depends on no token.
    """
    total = class_output(found.logits, classes).sum()
    (slope,) = torch.autograd.grad(total, [found.last], allow_unused=True)
    if slope is None:
        raise UnsupportedTargetError(
            "the logits do not follow from the last hidden state, so the token that the classifier reads cannot be "
            "found. Leave 'attention_rollout' out of evaluation.rivals."
        )
    # scale first, because tiny gradients would square to zero
    slope = slope.float()
    tiny = torch.finfo(slope.dtype).tiny
    weight = (slope / slope.abs().amax((1, 2), keepdim=True).clamp(min=tiny)).norm(dim=-1)
    return weight / weight.sum(1, keepdim=True).clamp(min=tiny)


def rollout(layers: Sequence[Tensor], start: Tensor) -> Tensor:
    """``start · (0.5 A_n + 0.5 I) ··· (0.5 A_1 + 0.5 I)`` with ``A`` the mean over heads.

    Args:
        layers: ``[B, H, L, L]`` attention weights, shallow to deep.
        start: ``[B, L]`` weights of the tokens of the last layer.

    Returns:
        ``[B, L]`` non-negative relevance of the input tokens. A row sums to the sum of its ``start``.
    """
    relevance = start
    for weights in reversed(layers):
        mean = weights.to(start.dtype).mean(1)
        relevance = 0.5 * (relevance + torch.einsum("bl,blm->bm", relevance, mean))
    return relevance
