"""The rank term: raw scores learn in which order features should be kept, and removed.

Eq. 3.4 says what to keep, but every order within the kept part is as good. This term draws a share of the input, keeps
that share of the best features and removes the rest, and the other way round. The probability of the class must stay
high in the first and fall in the second. In expectation over shares this is 1 − insertion + deletion: the two curves
themselves, with the better features found by trying. Shares are drawn one from each of K equal bins.

The gradient passes the cut by a sigmoid (straight-through): features near the cut learn whether they should cross it.
Gumbel noise tries other orders. Ranking by noisy scores samples orders of the Plackett-Luce model. A rank loss on one
network for all inputs is also what Ra-NEM trains (Møller, Igel & Ibragimov 2026, arXiv 2610.09844).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sidelight.core.tensors import pooled, spread_cells
from sidelight.core.types import Scores
from sidelight.scorers.head import straight_through
from sidelight.training.step import Step

#: Smallest and largest side of an image's random cells, as shares of the shorter side of the image.
CELL_SIDES = (0.06, 0.2)


@dataclass(frozen=True)
class Units:
    """What is ranked: the features of some modalities of B samples, or groups of features.

    Attributes:
        shapes: per modality the shape of the scores, ``[B, ...]``, in order.
        cells: ``[B, N]`` the unit of each feature, 0 to M − 1.
        real: ``[B, N]`` boolean, true for features that count.
        size: ``[B, M]`` features of each unit that count. A unit without any is none.
    """

    shapes: Mapping[str, torch.Size]
    cells: Tensor
    real: Tensor
    size: Tensor


def rank_loss(step: Step) -> Tensor:
    """``[B]`` ``1 − p(best share kept) + p(best share removed)``, mean over the draws.

    Draws take turns: features by themselves, then groups of them (cells of a grid, words). With several modalities they
    also take turns between all together and each alone.
    """
    generator, config = step.generator(), step.config
    names = list(step.ranking)
    groups = [names, *([m] for m in names)] if len(names) > 1 else [names]
    first = int(torch.randint(2 * len(groups), (1,))) if step.training else 0
    losses = []
    for draw in range(config.rank_draws):
        turn = first + draw
        units = draw_units(step, groups[turn // 2 % len(groups)], grouped=turn % 2 == 1, generator=generator)
        shares = (draw + torch.rand(len(units.real), generator=generator)) / config.rank_draws
        masks = best_share(step.ranking, units, shares, generator)
        losses.append(step.rank_errors(masks, draw))
    return torch.stack(losses).mean(0)


def draw_units(
    step: Step, modalities: Sequence[str], grouped: bool, generator: torch.Generator | None
) -> Units:
    """The units of one draw: every feature, or, ``grouped``, cells of a random grid and words."""
    cells, offset = [], 0
    for m in modalities:
        own = _groups(step, m, generator) if grouped else None
        if own is None:
            own = torch.arange(step.ranking[m][0].numel(), device=step.ranking[m].device)
        cells.append(own.expand(len(step.ranking[m]), -1) + offset)
        offset += int(own.max()) + 1
    real = torch.cat([step.feature_mask[m].flatten(1) for m in modalities], 1)
    joined = torch.cat(cells, 1)
    size = torch.zeros(len(real), offset, device=real.device).scatter_add_(1, joined, real.float())
    return Units({m: step.ranking[m].shape for m in modalities}, joined, real, size)


def _groups(step: Step, modality: str, generator: torch.Generator | None) -> Tensor | None:
    if step.ranking[modality].ndim == 4:
        return grid_cells(step.ranking[modality].shape, generator).to(step.ranking[modality].device)
    return step.target.words(step.inputs).get(modality)


def grid_cells(shape: Sequence[int], generator: torch.Generator | None = None) -> Tensor:
    """``[H·W]`` the cell of each pixel, in a grid of random size and offset.

    Args:
        shape: ``[B, 1, H, W]``.
    """
    height, width = shape[-2:]
    low, high = (max(2, round(share * min(height, width))) for share in CELL_SIDES)
    side = int(torch.randint(low, max(low, high) + 1, (1,), generator=generator))
    shift = torch.randint(side, (2,), generator=generator)
    rows, columns = ((torch.arange(n) + s) // side for n, s in zip((height, width), shift, strict=True))
    return (rows[:, None] * (int(columns[-1]) + 1) + columns).flatten()


def best_share(
    ranking: Scores, units: Units, shares: Tensor, generator: torch.Generator | None = None
) -> dict[str, Tensor]:
    """Masks that keep the best units of each sample, with the gradient of a sigmoid around the cut.

    Args:
        ranking: per modality raw scores ``[B, ...]``.
        shares: ``[B]`` of the units that are kept, in (0, 1).

    Returns:
        Per modality, 1 for features that are kept and 0 for others, of the scores' shape. Features that do not count
        are 1.
    """
    raw = torch.cat([ranking[m].flatten(1) for m in units.shapes], 1).float()
    scores = pooled(raw, units.cells, units.size, units.real)
    there = units.size > 0
    scores = scores.masked_fill(~there, -torch.inf)
    noisy = (scores - scores.logsumexp(1, keepdim=True)).masked_fill(~there, -torch.inf)
    noise = -torch.rand(noisy.shape, generator=generator).clamp(1e-9).log()
    noisy = noisy - noise.clamp(min=1e-9).log().to(
        noisy.device
    )  # minus the logarithm of an exponential: Gumbel
    cut = _cut(noisy.detach(), there, shares.to(noisy.device))
    margin = torch.where(there, noisy - cut, torch.zeros_like(noisy))
    kept = straight_through((margin > 0).float(), torch.sigmoid(margin))
    flat = torch.where(units.real, spread_cells(kept, units.cells), torch.ones_like(raw))
    widths = [shape[1:].numel() for shape in units.shapes.values()]
    parts = flat.split(widths, 1)
    return {m: part.reshape(shape) for (m, shape), part in zip(units.shapes.items(), parts, strict=True)}


def _cut(scores: Tensor, there: Tensor, shares: Tensor) -> Tensor:
    """``[B, 1]`` a value midway between the last unit that is kept and the first that is not. At least one is on each
    side, if there are two."""
    counts = there.sum(1)
    kept = (shares * counts).floor().long().clamp(min=1)
    kept = torch.minimum(kept, (counts - 1).clamp(min=1))
    ordered = scores.sort(1, descending=True).values
    ordered = torch.cat([ordered, ordered[:, -1:] - 1], 1)
    last, following = (ordered.gather(1, place[:, None]) for place in (kept - 1, kept))
    following = torch.where(following.isfinite(), following, last - 1)  # nothing else is there
    return (last + following) / 2
