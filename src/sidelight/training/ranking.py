"""The rank term: raw scores learn in which order features should be kept and removed.

Eq. 3.4 says which part to keep, but every order within that part is as good. This term draws a share of the input. In
one pass it keeps the best features, as many as the share says, and removes the rest. In another pass it removes them
and keeps the rest. The probability of the class must stay high in the first pass and fall in the second. The mean over
all shares is 1 − insertion + deletion. Each of K draws takes its share from one of K equal bins.

The cut between kept and removed features is hard. Its gradient is that of a sigmoid around it (straight-through), so
features near the cut learn whether they should cross it. In training, masks are moved towards one half by random
distances (:func:`softened`). Gumbel noise on the scores tries other orders: ranking by noisy
scores samples orders of the Plackett-Luce model. Ra-NEM also trains one network for all inputs by a rank loss (Møller,
Igel & Ibragimov 2026, arXiv 2610.09844).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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

    Draws alternate between single features and groups of them (cells of a grid, words), unless ``rank_groups`` is off. With
    several modalities they also alternate between all modalities together and each alone.
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
        place = torch.rand(len(units.real), generator=generator, dtype=torch.float32)
        shares = (draw + place) / config.rank_draws
        masks = best_share(step.ranking, units, shares, generator)
        if step.training and not config.rank_hard:
            masks = softened(masks, step.feature_mask)
        losses.append(step.rank_errors(masks, draw))
    return torch.stack(losses).mean(0)


def softened(masks: Scores, feature_mask: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``masks`` moved towards one half by a random distance for each sample: ``m + u·(1 − 2m)`` with u in [0, 1/2).

    The gradient at a hard mask says little of what a feature is worth: a model that normalises its input hardly sees
    the last tenth of a feature go, and a sure model nothing at all. Over all u the gradient is averaged along the way from
    the mask to its opposite, as Integrated Gradients averages it (Sundararajan et al. 2017).
    Features that do not count stay.
    """
    size = len(next(iter(masks.values())))
    distance = torch.rand(size, dtype=torch.float32) / 2
    found = {}
    for m, mask in masks.items():
        u = distance.to(mask).view(-1, *[1] * (mask.ndim - 1))
        found[m] = torch.where(feature_mask[m], mask + u * (1 - 2 * mask), mask)
    return found


def draw_units(
    step: Step, modalities: Sequence[str], grouped: bool, generator: torch.Generator | None
) -> Layout:
    """The units that one draw ranks: single features or, if ``grouped``, cells of a random grid and words."""
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
        units: what is ranked, as the cells of a layout.
        shares: ``[B]`` share of the units that are kept, in (0, 1).

    Returns:
        Per modality, of the scores' shape: 1 for features that are kept and 0 for others. Padding and special tokens
        are 1.
    """
    raw = units.flatten(ranking).float()
    scores = pooled(raw, units.cells, units.size, units.real)
    there = units.real_cells
    scores = scores.masked_fill(~there, -torch.inf)
    noisy = (scores - scores.logsumexp(1, keepdim=True)).masked_fill(~there, -torch.inf)
    noise = -torch.rand(noisy.shape, generator=generator, dtype=torch.float32).clamp(1e-9).log()
    noisy = noisy - noise.clamp(min=1e-9).log().to(
        noisy.device
    )  # minus the logarithm of an exponential: Gumbel
    cut = _cut(noisy.detach(), there, shares.to(noisy.device))
    margin = torch.where(there, noisy - cut, torch.zeros_like(noisy))
    kept = straight_through((margin > 0).float(), torch.sigmoid(margin))
    return units.unflatten(torch.where(units.real, units.spread(kept), torch.ones_like(raw)))


def _cut(scores: Tensor, there: Tensor, shares: Tensor) -> Tensor:
    """``[B, 1]`` a value midway between the last unit that is kept and the first that is not.

    If there are two units or more, at least one is kept and at least one is not.
    """
    counts = there.sum(1)
    kept = (shares * counts).floor().long().clamp(min=1)
    kept = torch.minimum(kept, (counts - 1).clamp(min=1))
    ordered = scores.sort(1, descending=True).values
    ordered = torch.cat([ordered, ordered[:, -1:] - 1], 1)
    last, following = (ordered.gather(1, place[:, None]) for place in (kept - 1, kept))
    following = torch.where(following.isfinite(), following, last - 1)  # no unit is left for the other side
    return (last + following) / 2
