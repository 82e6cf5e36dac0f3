"""Inputs close to given ones, by target family. A steady explanation should hardly change on them.

Pixels get noise. A word cannot change a little, so some words are exchanged for near neighbours in the target's
own embedding table. The target thus always gets a text, never a vector that no word has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sidelight.core.registry import Registry
from sidelight.core.types import Inputs

#: number of nearest words among which a substitute is drawn
NEIGHBOURS = 5

#: ``(target, inputs, strength, seeds) -> inputs`` close to those given, by target family.
NEARBY: Registry[Callable[[Any, Inputs, float, Sequence[int]], dict[str, Tensor]]] = Registry("target family")


@NEARBY.register("image")
def noisy_pixels(target: Any, inputs: Inputs, strength: float, seeds: Sequence[int]) -> dict[str, Tensor]:
    """Normal noise whose deviation is ``strength`` times that of the image's own pixels.

    Args:
        target: an :class:`~sidelight.targets.ImageTarget`.
        inputs: with ``pixel_values`` ``[B, C, H, W]``.
        strength: above 0.
    """
    pixels = inputs["pixel_values"]
    draws = [
        torch.randn(p.shape, generator=torch.Generator().manual_seed(s), dtype=torch.float32)
        for p, s in zip(pixels, seeds, strict=True)
    ]
    deviation = pixels.flatten(1).std(1).view(-1, 1, 1, 1)
    return {**inputs, "pixel_values": pixels + strength * deviation * torch.stack(draws).to(pixels)}


@NEARBY.register("text")
def near_words(target: Any, inputs: Inputs, strength: float, seeds: Sequence[int]) -> dict[str, Tensor]:
    """The share ``strength`` of each text's tokens, one at the least, exchanged for near neighbours.

    A substitute is drawn among the :data:`NEIGHBOURS` ordinary tokens whose embeddings have the largest cosine
    with the token's own. Special tokens and padding stay.

    Args:
        target: a :class:`~sidelight.targets.TextTarget`.
        inputs: with ``input_ids`` ``[B, T]``.
        strength: in (0, 1].
    """
    ids, real = inputs["input_ids"].clone(), target.feature_mask(inputs)["text"].cpu()
    ordinary = target.vocabulary.ordinary_ids()
    table = F.normalize(target.vocabulary.weight.detach().float()[ordinary.to(ids.device)], dim=1)
    for row, keep, seed in zip(ids, real, seeds, strict=True):
        generator = torch.Generator().manual_seed(seed)
        places = keep.nonzero().flatten()
        count = max(1, round(strength * len(places)))
        for place in places[torch.randperm(len(places), generator=generator)[:count]].tolist():
            row[place] = _neighbour(int(row[place]), ordinary, table, target.vocabulary.weight, generator)
    return {**inputs, "input_ids": ids}


def _neighbour(
    token: int, ordinary: Tensor, table: Tensor, weight: Tensor, generator: torch.Generator
) -> int:
    own = F.normalize(weight[token].detach().float(), dim=0)
    nearest = (table @ own).topk(min(NEIGHBOURS + 1, len(ordinary))).indices.cpu()
    others = [int(i) for i in ordinary[nearest].tolist() if i != token][:NEIGHBOURS]
    return others[int(torch.randint(len(others), (), generator=generator))] if others else token


@NEARBY.register("image+text")
def near_pair(target: Any, inputs: Inputs, strength: float, seeds: Sequence[int]) -> dict[str, Tensor]:
    """Noise in the image and near words in the text, both at once.

    Args:
        target: an :class:`~sidelight.targets.ImageTextTarget`.
        strength: of both.
    """
    return near_words(target.text, noisy_pixels(target.image, inputs, strength, seeds), strength, seeds)
