"""The coalition term: raw scores learn what hiding random parts of the input does to the probability.

Eq. 3.3 asks only that what is kept suffices, so a scorer may keep more than decides and need not tell
what matters most. Here the target is asked with a random half of the features, and with the other half;
the difference in probability is regressed on the raw scores. Its least-squares solution is each
feature's Banzhaf value (Banzhaf 1965; the regression is Hammer & Holzman 1992; learning it with one
network for all inputs follows FastSHAP, Jethani et al. 2022). The score head blots out the scale of raw
scores and puts its floor at 0, which this term makes "no effect".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from sidelight.masking import complement
from sidelight.objective import masked_mean
from sidelight.types import Scores

#: cells a side of an image's random parts, smallest and largest
CELLS = (3, 7)


def coalition_loss(
    raw: Mapping[str, Tensor],
    feature_mask: Mapping[str, Tensor],
    probability: Callable[[Scores], Tensor],
    draws: int,
    *,
    unit: float,
    solo: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """``[B]`` squared error of the effects that ``raw`` predicts, mean over ``draws`` coalitions.

    Args:
        raw: per modality, raw scores before the score head.
        feature_mask: per modality, boolean of the same shape.
        probability: masks of some or all modalities to ``[B]``, the goal's probability; called without gradient.
        draws: coalitions per sample; each costs two passes of the target.
        unit: a part of this share of the input, whose raw scores are 1, changes the probability by 1.
        solo: of several modalities one is hidden in part at a time, in turn, and the others stay whole: what
            words decide would be noise in what pixels are asked. Otherwise all are hidden in part together.
        generator: on the CPU; makes the draws repeatable.
    """
    names = list(raw)
    parts = [[m] for m in names] if solo else [names]
    total = []
    for draw in range(draws):
        chosen = parts[draw % len(parts)]
        kept = {m: random_part(feature_mask[m], generator).to(raw[m].dtype) for m in chosen}
        with torch.no_grad():
            rest = {m: complement(k, feature_mask[m]) for m, k in kept.items()}
            effect = probability(kept) - probability(rest)
        predicted = [predicted_effect(raw[m], k, feature_mask[m], unit) for m, k in kept.items()]
        total.append((effect - torch.stack(predicted).sum(0)) ** 2)
    return torch.stack(total).mean(0)


def predicted_effect(raw: Tensor, kept: Tensor, feature_mask: Tensor, unit: float) -> Tensor:
    """``[B]`` ``Σ φ_i·(2·kept_i − 1)`` over real features, with ``φ = raw / (N·unit)``."""
    return masked_mean(raw * (2 * kept.to(raw.dtype) - 1), feature_mask) / unit


def random_part(feature_mask: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Boolean of ``feature_mask``'s shape: a random half of each sample's features, true outside them.

    Of an image ``[B, 1, H, W]`` each cell of a grid at a random place, independently; of a text ``[B, T]`` half
    of the tokens (one more or less where they are odd): its raw scores have mean 0, so only their
    differences can be learnt, and parts of one size show nothing else.
    """
    drawn = (
        _random_cells(feature_mask, generator)
        if feature_mask.ndim == 4
        else _random_half(feature_mask, generator)
    )
    return drawn | ~feature_mask


def _random_half(feature_mask: Tensor, generator: torch.Generator | None) -> Tensor:
    noise = torch.rand(feature_mask.shape, generator=generator).to(feature_mask.device)
    odd = torch.rand(len(feature_mask), 1, generator=generator).to(feature_mask.device)
    rank = noise.masked_fill(~feature_mask, 2).argsort(1).argsort(1)
    return rank < (feature_mask.sum(1, keepdim=True) / 2 + odd - 0.5).round()


def _random_cells(feature_mask: Tensor, generator: torch.Generator | None) -> Tensor:
    size, _, height, width = feature_mask.shape
    cells = int(torch.randint(CELLS[0], CELLS[1] + 1, (1,), generator=generator))
    drawn = torch.rand(size, cells + 1, cells + 1, generator=generator) < 0.5
    places = []
    for length in (height, width):
        side = -(-length // cells)
        shift = torch.randint(side, (size, 1), generator=generator)
        places.append((torch.arange(length) + shift) // side)
    rows, columns = places
    index = torch.arange(size)[:, None, None]
    return drawn[index, rows[:, :, None], columns[:, None, :]].unsqueeze(1).to(feature_mask.device)
