"""The coalition term: raw scores learn how much random parts of the input change the probability.

Eq. 3.3 only demands that the kept part of the input is enough. So a scorer may keep more than the decisive features, and
need not rank them. This term masks a random half of the features, and then the other half. The raw scores must predict
the difference of the two probabilities, by least squares. The solution is each feature's Banzhaf value (Banzhaf 1965; as
a regression: Hammer & Holzman 1992). One network learns it for all inputs, as in FastSHAP (Jethani et al. 2022). A raw
score of 0 then means "no effect", and the score head has its floor there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sidelight.core.tensors import masked_mean
from sidelight.core.types import Scores
from sidelight.fills.base import complement
from sidelight.training.step import Step

#: Smallest and largest number of cells on the shorter side of an image's random parts.
CELLS = (3, 7)

#: Added to each change of probability before coalitions are shared out, so that every sample gets some in the long run.
FLOOR = 0.02


@dataclass(frozen=True)
class Coalition:
    """A random part of the features of some modalities, for R samples of a batch. Other modalities stay whole.

    Attributes:
        index: ``[R]`` places of the samples in the batch, on the CPU. A sample may come more than once.
        kept: per modality ``[R, ...]``, 1 for features that are kept and 0 for those that are hidden.
        real: per modality ``[R, ...]`` boolean, true for features that count.
    """

    index: Tensor
    kept: Scores
    real: Mapping[str, Tensor]


def coalition_loss(step: Step) -> Tensor:
    """``[B]`` squared error of the predicted effects: the sum over a sample's coalitions, divided by the draws."""
    taught = _taught(step)
    # Under autocast raw scores come in half precision, which is too coarse for sums over an image.
    raw = {m: step.effects[m].to(_exact(step.effects[m].dtype)) for m in taught}
    places, errors = [], []
    for coalition in draw_coalitions(step):
        effect = measured_effect(step, coalition)
        errors.append((effect - regressed_effect(raw, coalition, step.effect_unit)) ** 2)
        places.append(coalition.index)
    # index_add would sum in another order every time on a GPU
    owner = (torch.cat(places)[:, None] == torch.arange(len(raw[taught[0]]))).to(errors[0].device)
    return (owner * torch.cat(errors)[:, None]).sum(0) / _draws(step)


def draw_coalitions(step: Step) -> Iterator[Coalition]:
    """``coalition_draws`` coalitions for each sample.

    If ``solo``, a coalition hides a part of one modality, and the others stay whole. Otherwise the effect of decisive
    words would be noise in the effects of pixels. If not ``solo``, it hides a part of all modalities.

    If ``coalition_focus``, samples and modalities get coalitions in proportion to how much the probability changes when
    the whole modality is hidden. This costs one more pass for each modality. Otherwise all get equally many. If there
    are fewer draws than modalities, a part of the samples has one of them hidden, and the others another one.
    """
    taught, config, generator = _taught(step), step.config, step.generator()
    draws = _draws(step)
    parts = [[m] for m in taught] if config.solo else [taught]
    size, device = len(step.effects[taught[0]]), step.effects[taught[0]].device
    if config.coalition_focus:
        clean = step.clean_probability()
        changes = torch.stack([(clean - _without(step, p)).abs() for p in parts])
        shared = share_out(changes, draws * size, generator)
        plan = [(parts[i], index) for i, index in shared]
    elif draws % len(parts):
        equal = torch.zeros(len(parts), size)
        plan = [(parts[i], index) for i, index in share_out(equal, draws * size, generator)]
    else:
        plan = [(parts[draw % len(parts)], torch.arange(size)) for draw in range(draws)]
    for part, index in plan:
        real = {m: step.feature_mask[m][index.to(device)] for m in part}
        kept = {m: random_part(real[m], generator).to(_exact(step.effects[m].dtype)) for m in part}
        yield Coalition(index, kept, real)


def measured_effect(step: Step, coalition: Coalition) -> Tensor:
    """``[R]`` probability of the kept part minus that of the rest, by two passes of the target without gradient."""
    both = {m: torch.cat([k, complement(k, coalition.real[m])]) for m, k in coalition.kept.items()}
    device = next(iter(both.values())).device
    with torch.no_grad():
        with_kept, with_rest = step.probability(both, coalition.index.to(device).repeat(2)).chunk(2)
    return with_kept - with_rest


def regressed_effect(raw: Scores, coalition: Coalition, unit: float) -> Tensor:
    """``[R]`` the effect that raw scores predict.

    Args:
        raw: per modality ``[B, ...]``.
        coalition: of the samples.
        unit: if a part covers this share of the input and its raw scores are 1, it changes the probability by 1.
    """
    index = coalition.index.to(next(iter(raw.values())).device)
    return torch.stack(
        [predicted_effect(raw[m][index], k, coalition.real[m], unit) for m, k in coalition.kept.items()]
    ).sum(0)


def _taught(step: Step) -> list[str]:
    """The modalities that the term hides and teaches."""
    return [m for m in step.effects if m in (step.config.coalition_modalities or step.effects)]


def _draws(step: Step) -> int:
    """``coalition_draws``, which a training knows (:meth:`ObjectiveConfig.for_modalities`)."""
    assert step.config.coalition_draws is not None
    return step.config.coalition_draws


def _exact(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _without(step: Step, part: Sequence[str]) -> Tensor:
    """``[B]`` probability with every feature of the modalities in ``part`` hidden."""
    hidden = {m: (~step.feature_mask[m]).float() for m in part}
    first = hidden[part[0]]
    with torch.no_grad():
        return step.probability(hidden, torch.arange(len(first), device=first.device))


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
    shift = torch.rand(1, generator=generator, dtype=torch.float32)
    marks = (torch.arange(count) + shift).double() / count * ends[-1]
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

    An image ``[B, 1, H, W]`` keeps or hides each cell of a grid independently. Cells are squares, 3 to 7 along the
    shorter side, so that objects beside each other in a wide picture are told apart. The grid has a random place. A
    text ``[B, T]`` keeps half of its tokens, rounded at random. Raw scores of a text have mean 0, so only their
    differences can be learnt, and parts of equal size depend on nothing else.
    """
    drawn = (
        _random_cells(feature_mask, generator)
        if feature_mask.ndim == 4
        else _random_half(feature_mask, generator)
    )
    return drawn | ~feature_mask


def _random_half(feature_mask: Tensor, generator: torch.Generator | None) -> Tensor:
    noise = torch.rand(feature_mask.shape, generator=generator, dtype=torch.float32).to(feature_mask.device)
    odd = torch.rand(len(feature_mask), 1, generator=generator, dtype=torch.float32).to(feature_mask.device)
    rank = noise.masked_fill(~feature_mask, 2).argsort(1).argsort(1)
    return rank < (feature_mask.sum(1, keepdim=True) / 2 + odd - 0.5).round()


def _random_cells(feature_mask: Tensor, generator: torch.Generator | None) -> Tensor:
    size, _, height, width = feature_mask.shape
    cells = int(torch.randint(CELLS[0], CELLS[1] + 1, (1,), generator=generator))
    side = -(-min(height, width) // cells)
    counts = [max(cells, -(-length // side)) + 1 for length in (height, width)]
    drawn = torch.rand(size, *counts, generator=generator, dtype=torch.float32) < 0.5
    places = []
    for length in (height, width):
        shift = torch.randint(side, (size, 1), generator=generator)
        places.append((torch.arange(length) + shift) // side)
    rows, columns = places
    index = torch.arange(size)[:, None, None]
    return drawn[index, rows[:, :, None], columns[:, None, :]].unsqueeze(1).to(feature_mask.device)
