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

from collections.abc import Sequence

import torch
from torch import Tensor

from sidelight.core.layout import Layout, grid_cells, lay_out
from sidelight.core.tensors import pooled
from sidelight.core.types import Scores
from sidelight.scorers.head import straight_through
from sidelight.training.step import Step

#: Smallest and largest side of an image's random cells, as shares of the shorter side of the image.
CELL_SIDES = (0.06, 0.2)


def rank_loss(step: Step) -> Tensor:
    """``[B]`` ``1 − p(best share kept) + p(best share removed)``, mean over the draws.

    Draws take turns: features by themselves, then groups of them (cells of a grid, words), unless ``rank_groups`` is
    off. With several modalities they also take turns between all together and each alone.
    """
    generator, config = step.generator(), step.config
    names = list(step.ranking)
    groups = [names, *([m] for m in names)] if len(names) > 1 else [names]
    first = int(torch.randint(2 * len(groups), (1,))) if step.training else 0
    losses = []
    for draw in range(config.rank_draws):
        turn = first + draw
        grouped = config.rank_groups and turn % 2 == 1
        units = draw_units(step, groups[turn // 2 % len(groups)], grouped=grouped, generator=generator)
        shares = (draw + torch.rand(len(units.real), generator=generator)) / config.rank_draws
        masks = best_share(step.ranking, units, shares, generator)
        losses.append(step.rank_errors(masks, draw))
    return torch.stack(losses).mean(0)


def draw_units(
    step: Step, modalities: Sequence[str], grouped: bool, generator: torch.Generator | None
) -> Layout:
    """The units of one draw as cells: every feature, or, ``grouped``, cells of a random grid and words."""
    found = {m: _groups(step, m, generator) for m in modalities} if grouped else {}
    cells = {m: own for m, own in found.items() if own is not None}
    return lay_out({m: step.feature_mask[m] for m in modalities}, cells)


def _groups(step: Step, modality: str, generator: torch.Generator | None) -> Tensor | None:
    if step.ranking[modality].ndim == 4:
        return random_grid(step.ranking[modality].shape, generator).to(step.ranking[modality].device)
    return step.target.words(step.inputs).get(modality)


def random_grid(shape: Sequence[int], generator: torch.Generator | None = None) -> Tensor:
    """``[H·W]`` the cell of each pixel, in a grid of random size and offset.

    Args:
        shape: ``[B, 1, H, W]``.
    """
    height, width = shape[-2:]
    low, high = (max(2, round(share * min(height, width))) for share in CELL_SIDES)
    side = int(torch.randint(low, max(low, high) + 1, (1,), generator=generator))
    down, right = torch.randint(side, (2,), generator=generator).tolist()
    return grid_cells(height, width, side, (down, right))


def best_share(
    ranking: Scores, units: Layout, shares: Tensor, generator: torch.Generator | None = None
) -> Scores:
    """Masks that keep the best units of each sample, with the gradient of a sigmoid around the cut.

    Args:
        ranking: per modality raw scores ``[B, ...]``.
        units: the cells of a layout, which are ranked.
        shares: ``[B]`` of the units that are kept, in (0, 1).

    Returns:
        Per modality, 1 for features that are kept and 0 for others, of the scores' shape. Features that do not count
        are 1.
    """
    raw = units.flatten(ranking).float()
    scores = pooled(raw, units.cells, units.size, units.real)
    there = units.real_cells
    scores = scores.masked_fill(~there, -torch.inf)
    noisy = (scores - scores.logsumexp(1, keepdim=True)).masked_fill(~there, -torch.inf)
    noise = -torch.rand(noisy.shape, generator=generator).clamp(1e-9).log()
    noisy = noisy - noise.clamp(min=1e-9).log().to(
        noisy.device
    )  # minus the logarithm of an exponential: Gumbel
    cut = _cut(noisy.detach(), there, shares.to(noisy.device))
    margin = torch.where(there, noisy - cut, torch.zeros_like(noisy))
    kept = straight_through((margin > 0).float(), torch.sigmoid(margin))
    return units.unflatten(torch.where(units.real, units.spread(kept), torch.ones_like(raw)))


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
