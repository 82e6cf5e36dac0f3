"""TODO."""

from __future__ import annotations

from torch import Tensor


def probabilities(logits: Tensor) -> Tensor:
    """``[B, K]`` probabilities of a target's logits ``[B, K]``, in float32."""
    return logits.float().softmax(-1)
