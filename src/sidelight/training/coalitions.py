"""The coalition term: raw scores learn what hiding random parts of the input does to the probability.

Eq. 3.3 asks only that what is kept suffices, so a scorer may keep more than decides and need not tell
what matters most. Here the target is asked with a random half of the features, and with the other half;
the difference in probability is regressed on the raw scores. Its least-squares solution is each
feature's Banzhaf value (Banzhaf 1965; the regression is Hammer & Holzman 1992; learning it with one
network for all inputs follows FastSHAP, Jethani et al. 2022). The score head blots out the scale of raw
scores and puts its floor at 0, which this term makes "no effect".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from sidelight.core.types import Scores
from sidelight.fills.base import complement
from sidelight.training.objective import masked_mean

#: cells a side of an image's random parts, smallest and largest
CELLS = (3, 7)

#: added to each change of probability by which coalitions are shared out, so that none goes without for good
FLOOR = 0.02

#: masks of some or all modalities for the samples at ``index [R]`` of the batch, to ``[R]``, the goal's probability
Probability = Callable[[Scores, Tensor], Tensor]


def coalition_loss(
    raw: Mapping[str, Tensor],
    feature_mask: Mapping[str, Tensor],
    probability: Probability,
    draws: int,
    *,
    unit: float,
    solo: bool = True,
    modalities: Sequence[str] = (),
    whole: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """``[B]`` squared error of the effects that ``raw`` predicts: a sample's sum over its coalitions, over ``draws``.

    Args:
        raw: per modality, raw scores before the score head.
        feature_mask: per modality, boolean of the same shape.
        probability: the goal's, of masked samples of the batch; called without gradient.
        draws: coalitions per sample; each costs two passes of the target.
        unit: a part of this share of the input, whose raw scores are 1, changes the probability by 1.
        solo: of several modalities one is hidden in part at a time, in turn, and the others stay whole: what
            words decide would be noise in what pixels are asked. Otherwise all are hidden in part together.
        modalities: of several modalities, those that are hidden and taught; default: all.
        whole: ``[B]``, the probability of the whole input. Where given, the batch's coalitions go where there is
            something to find: to each sample and modality in proportion to how much the probability changes when
            all of that modality is hidden (one more pass for each). Otherwise to all alike.
        generator: on the CPU; makes the draws repeatable.
    """
    taught = [m for m in raw if not modalities or m in modalities]
    parts = [[m] for m in taught] if solo else [taught]
    size = len(raw[taught[0]])
    if whole is None:
        plan = [(parts[draw % len(parts)], torch.arange(size)) for draw in range(draws)]
    else:
        changes = torch.stack([(whole - _without(p, feature_mask, probability)).abs() for p in parts])
        plan = [(parts[i], index) for i, index in share_out(changes, draws * size, generator)]
    # under autocast raw scores come in half precision, too coarse for sums over an image
    raw = {m: raw[m].to(torch.promote_types(raw[m].dtype, torch.float32)) for m in taught}
    errors = []
    for part, places in plan:
        index = places.to(raw[taught[0]].device)
        real = {m: feature_mask[m][index] for m in part}
        kept = {m: random_part(real[m], generator).to(raw[m].dtype) for m in part}
        both = {m: torch.cat([k, complement(k, real[m])]) for m, k in kept.items()}
        with torch.no_grad():
            with_kept, with_rest = probability(both, index.repeat(2)).chunk(2)
        predicted = [predicted_effect(raw[m][index], k, real[m], unit) for m, k in kept.items()]
        errors.append((with_kept - with_rest - torch.stack(predicted).sum(0)) ** 2)
    asked = torch.cat([index for _, index in plan])
    # index_add would sum in another order every time on a GPU
    owner = (asked[:, None] == torch.arange(size)).to(errors[0].device)
    return (owner * torch.cat(errors)[:, None]).sum(0) / draws


def _without(part: Sequence[str], feature_mask: Mapping[str, Tensor], probability: Probability) -> Tensor:
    """``[B]`` probability with every feature of the modalities in ``part`` hidden."""
    hidden = {m: (~feature_mask[m]).float() for m in part}
    with torch.no_grad():
        return probability(hidden, torch.arange(len(hidden[part[0]]), device=hidden[part[0]].device))


def share_out(
    changes: Tensor, count: int, generator: torch.Generator | None = None
) -> list[tuple[int, Tensor]]:
    """``count`` draws among the samples of a batch and their parts, in proportion to ``changes + FLOOR``.

    Args:
        changes: ``[P, B]`` for P parts, at least 0.
        count: of draws in all.
        generator: on the CPU.

    Returns:
        ``(part, samples)`` with at most B samples each, some more than once, all on the CPU. By systematic
        sampling: each count is less than 1 away from its share.
    """
    size = changes.shape[1]
    ends = (changes.detach().cpu().double() + FLOOR).flatten().cumsum(0)
    marks = (torch.arange(count) + torch.rand(1, generator=generator)).double() / count * ends[-1]
    drawn = torch.searchsorted(ends, marks, right=True).clamp(max=len(ends) - 1)
    plan = []
    for part in range(len(changes)):
        samples = drawn[drawn // size == part] % size
        shuffled = samples[torch.randperm(len(samples), generator=generator)]
        plan += [(part, chunk) for chunk in shuffled.split(size) if len(chunk)]
    return plan


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
