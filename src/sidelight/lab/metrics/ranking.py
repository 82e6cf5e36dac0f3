"""From raw scores to a soft map in [0, 1] and to an order, without an advantage for any index.

All functions take ``[B, N]`` tensors. ``real`` marks the features that count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from sidelight.core.registry import Registry
from sidelight.core.seeds import one_each, sample_seed
from sidelight.core.tensors import masked_range, places, step_counts
from sidelight.lab.metrics.arguments import on_tensors


@on_tensors("BN", "BN")
def min_max(values: Tensor, real: Tensor | None = None) -> Tensor:
    """Rescale each sample to span [0, 1] over its real features.

    A constant map has no span. It becomes 1 if its value is positive (everything is evidence) and 0 otherwise
    (nothing is), never NaN.

    Args:
        values: ``[B, N]`` finite scores of any sign.
        real: ``[B, N]`` bool, default all true. Unreal features come back as 0.

    Returns:
        ``[B, N]`` float32 in [0, 1].

    Raises:
        InputTypeError: an argument is no tensor, array or list of real numbers.
        InputError: shapes do not fit each other, or a flag is neither 0 nor 1.

    Example:
        >>> min_max([[-1.0, 0.0, 3.0], [2.0, 2.0, 2.0]])
        tensor([[0.0000, 0.2500, 1.0000],
                [1.0000, 1.0000, 1.0000]])
    """
    real = torch.ones_like(values, dtype=torch.bool) if real is None else real
    # float64: the span of float32 extremes must not overflow, nor that of tiny gradients vanish
    v = values.double()
    low, high = masked_range(v, real)
    span = high - low
    scaled = torch.where(span > 0, (v - low) / span.where(span > 0, torch.ones_like(span)), (v > 0).double())
    return scaled.masked_fill(~real, 0.0).float()


def tie_keys(real: Tensor, ids: Sequence[int], seed: int = 0, draw: int = 0) -> Tensor:
    """Random keys ``[B, N]`` in [0, 1) that order tied features.

    Only real features draw keys, so the padding of a batch does not change them.

    Raises:
        InputError: not one whole number for each sample.
    """
    flags = real.cpu().numpy()
    keys = np.zeros(flags.shape)
    for row, (flag, sample) in enumerate(zip(flags, one_each(ids, len(real)), strict=True)):
        rng = np.random.default_rng(sample_seed(seed, sample, draw))
        keys[row, flag] = rng.random(int(flag.sum()))
    return torch.from_numpy(keys).to(real.device)


def ranks(values: Tensor, real: Tensor, ids: Sequence[int], seed: int = 0, draw: int = 0) -> Tensor:
    """Place of every feature in descending order, ties broken at random per sample.

    Args:
        values: ``[B, N]`` tensor of finite scores.
        real: ``[B, N]`` bool tensor. Unreal features come last.
        ids: one integer per sample. With ``seed`` and ``draw`` they are the only source of chance.
        seed: of the run.
        draw: number of the draw, if several orders of the ties are wanted.

    Returns:
        ``[B, N]`` int64, 0 to N − 1. 0 is the most important feature.

    Raises:
        InputError: not one whole number for each sample.

    Example:
        >>> ranks(torch.tensor([[0.2, 0.9, 0.5]]), torch.tensor([[True, True, True]]), ids=[0])
        tensor([[2, 0, 1]])
    """
    shuffle = tie_keys(real, ids, seed, draw).argsort(1)
    shuffled = values.masked_fill(~real, -torch.inf).gather(1, shuffle)
    return places(shuffle.gather(1, shuffled.argsort(dim=1, descending=True, stable=True)))


def ranks_of_draws(
    values: Tensor, real: Tensor, ids: Sequence[int], seed: int = 0, draws: int = 1
) -> list[Tensor]:
    """:func:`ranks` of each of ``draws`` tie draws, or of one if nothing is tied, since all would be equal."""
    if has_ties(values, real):
        return [ranks(values, real, ids, seed, draw) for draw in range(draws)]
    # keys would change nothing here, and drawing them takes longer than the rest of this function
    return [places(values.masked_fill(~real, -torch.inf).argsort(1, descending=True))]


def has_ties(values: Tensor, real: Tensor) -> bool:
    """Whether any sample holds two real features with equal scores."""
    ordered = values.masked_fill(~real, torch.nan).sort(1).values
    return bool((ordered[:, 1:] == ordered[:, :-1]).any())


def threshold_counts(soft: Tensor, real: Tensor, steps: int) -> Tensor:
    """Features at or above each of ``steps`` equal levels, from 1 down: ``#{S >= 1 − k / steps}``, none at step 0.

    Every feature reaches the last level, 0.

    Args:
        soft: ``[B, N]`` min-max map in [0, 1].
        real: ``[B, N]`` bool.
        steps: K, at least 1.

    Returns:
        ``[B, K+1]`` int64 from 0 to the number of real features.
    """
    # in the map's own precision: a score of 0.9 must reach the level 0.9
    levels = (1 - torch.arange(1, steps + 1, dtype=torch.float64) / steps).to(soft)
    ordered = (-soft.masked_fill(~real, -1.0)).sort(1).values
    reached = torch.searchsorted(ordered, (-levels).expand(len(soft), -1).contiguous(), right=True)
    return torch.cat([reached.new_zeros(len(soft), 1), reached], 1)


#: ``(soft [B, N], real [B, N], K) -> (counts, places)``, each ``[B, K+1]``: the number of top features removed at
#: each step of a curve, and the step's place on the horizontal axis, 0 to 1.
Stepping = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]

#: Ways to walk along a deletion or insertion curve, by name.
STEPPINGS: Registry[Stepping] = Registry("stepping of curves")


@STEPPINGS.register("counts")
def by_count(soft: Tensor, real: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Equal steps of the number of features, over the share really removed."""
    n = real.sum(1)
    counts = step_counts(n, steps)
    return counts, counts.double() / n[:, None]


@STEPPINGS.register("thresholds")
def by_threshold(soft: Tensor, real: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Equal steps of a threshold on the map, over ``1 − threshold``. Tied features go together."""
    counts = threshold_counts(soft, real, steps)
    places = torch.arange(steps + 1, dtype=torch.float64, device=soft.device) / steps
    return counts, places.expand(counts.shape)


def area_counts(n: Tensor, shares: Sequence[float]) -> Tensor:
    """Features in the top ``share`` of each sample: rounded, halves up, at least one.

    Returns:
        ``[B, A]`` int64 in [1, n].
    """
    share = torch.tensor(list(shares), dtype=torch.float64, device=n.device)
    counts = (share * n.double()[:, None] + 0.5 + 1e-9).floor().long()
    return torch.minimum(counts.clamp(min=1), n.long()[:, None])
