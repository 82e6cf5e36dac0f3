"""Training of classifiers on inputs masked at random. They judge masks and never see a map.

After EVAL-X (Jethani et al. 2021): random masks teach a model of p(y | the features shown) for any mask. Such a
model learns about the class from the shown features only, not from the shape of a mask.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from sidelight.core.types import Inputs
from sidelight.targets import TargetModel

#: share of training batches that are shown whole: word embeddings learn from these alone
WHOLE = 0.25


class MaskedTraining:
    """A target whose training passes see random masks. Everything else is that target's.

    Args:
        target: the classifier to train.
        fills: names of fills for removed features. Each batch draws one.
    """

    def __init__(self, target: TargetModel, fills: Sequence[str]) -> None:
        self.target, self.fills = target, tuple(fills)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.target, name)

    def frozen_encodings(self, inputs: Inputs) -> dict[str, Tensor]:
        """None, because masks change what the model makes of its inputs."""
        return {}

    def forward_trainable(self, inputs: Inputs) -> Tensor:
        """Logits ``[B, K]`` of the inputs, whole or under random masks, with gradients to the parameters."""
        target = self.target
        if float(torch.rand(())) < WHOLE:
            return target.forward_trainable(inputs)
        mask = target.feature_mask(inputs)
        fill = self.fills[int(torch.randint(len(self.fills), ()))]
        seeds = torch.randint(2**31, (len(next(iter(mask.values()))),)).tolist()
        with target.in_training():
            return target.classify(inputs, random_masks(mask), fill, seeds)


def masked_training(target: TargetModel, fills: Sequence[str]) -> TargetModel:
    """``target`` for :func:`sidelight.lab.runs.classifier.train_classifier`, trained under random masks."""
    return cast(TargetModel, MaskedTraining(target, fills))


def random_masks(
    feature_mask: Mapping[str, Tensor], generator: torch.Generator | None = None
) -> dict[str, Tensor]:
    """Random masks of random area, hard or soft, scattered or in lumps, with one area a sample for all modalities.

    A sample draws an area ``a`` in (0, 1), and each of its modalities draws a lump size (1, 2, 4, ... up to half
    the side). A hard mask shows the share ``a`` of the real features. A soft one is ``u^((1 − a) / a)`` of uniform
    ``u``, whose mean is ``a``. About half the samples are hard.

    Args:
        feature_mask: per modality ``[B, 1, H, W]`` or ``[B, T]``, true for real features.
        generator: of the draws (default: torch's own).

    Returns:
        Per modality scores in [0, 1]. Positions without a feature get 1.
    """
    size = len(next(iter(feature_mask.values())))
    area = torch.rand(size, generator=generator).clamp(0.02, 0.98)
    hard = torch.rand(size, generator=generator) < 0.5
    found = {}
    for name, real in feature_mask.items():
        noise = torch.stack([_lumps(tuple(real.shape[1:]), generator) for _ in range(size)])
        flat, keep = noise.flatten(1), real.cpu().flatten(1)
        soft = flat ** ((1 - area) / area)[:, None]
        count = (area * keep.sum(1)).round().clamp(min=1)[:, None]
        # a little noise for each feature, or all of a lump would enter together
        ranked = (flat + 1e-4 * torch.rand(flat.shape, generator=generator)).masked_fill(~keep, -1.0)
        top = (ranked.argsort(1, descending=True).argsort(1) < count).float()
        mask = torch.where(hard[:, None], top, soft).masked_fill(~keep, 1.0)
        found[name] = mask.view(real.shape).to(real.device)
    return found


def _lumps(shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    """Uniform noise in [0, 1] of ``shape``, constant over lumps of a random size at a random offset."""
    longest = max(shape)
    sizes = 1 + int(math.log2(max(longest // 2, 1)))
    lump = 2 ** int(torch.randint(sizes, (), generator=generator))
    coarse = [n // lump + 2 if n > 1 else 1 for n in shape]
    noise = torch.rand(coarse, generator=generator)
    for axis, n in enumerate(shape):
        if n > 1:
            start = int(torch.randint(lump, (), generator=generator))
            noise = noise.repeat_interleave(lump, axis).narrow(axis, start, n)
    return noise


def shuffled(soft: Tensor, real: Tensor, seeds: Sequence[int]) -> Tensor:
    """Each sample's scores at random places: the values and the area stay, but they point at nothing.

    Args:
        soft: ``[B, N]``.
        real: ``[B, N]`` true for features that count. Only these change places.
    """
    out = soft.clone()
    for row, keep, seed in zip(out, real, seeds, strict=True):
        places = keep.nonzero().flatten()
        order = torch.randperm(len(places), generator=torch.Generator().manual_seed(seed))
        row[places] = row[places[order]]
    return out
