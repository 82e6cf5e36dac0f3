"""A target whose probabilities follow from a sum, for tests that enumerate orders."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from sidelight.core.types import IMAGE
from sidelight.targets.base import TargetModel


class PixelSum(TargetModel):
    """Two classes with logits ``(Σ w·x, 0)``; the fill ``zero`` is 0."""

    modalities: ClassVar = {"image": IMAGE}

    def __init__(self, weights: Tensor) -> None:
        super().__init__(nn.Module())
        self.model.register_buffer("image", weights)

    def features(self, inputs):
        return {"image": inputs["image"]}

    def feature_mask(self, inputs):
        return {"image": torch.ones_like(inputs["image"], dtype=torch.bool)}

    def forward(self, inputs, features):
        logit = (self.model.image * features["image"]).flatten(1).sum(1)
        return torch.stack([logit, torch.zeros_like(logit)], 1)


def pixel_toy(shape: tuple[int, int], batch: int = 1, seed: int = 0) -> tuple[PixelSum, dict[str, Tensor]]:
    """A target of images of ``shape`` and a batch of them."""
    g = torch.Generator().manual_seed(seed)
    target = PixelSum(torch.randn(1, 1, *shape, generator=g))
    return target, {"image": torch.randn(batch, 1, *shape, generator=g)}
