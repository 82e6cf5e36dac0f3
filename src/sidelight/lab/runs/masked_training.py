"""Training of classifiers on inputs masked at random. They judge masks and never see a map.

After EVAL-X (Jethani et al. 2021): random masks teach a model of p(y | the features shown) for any mask. Such a
model learns about the class from the shown features only, not from the shape of a mask. :func:`random_removals` are
the milder masks of F-Fidelity (Zheng et al. 2025) and of the in-domain deletion score (Hesse et al. 2024): a small
share of the input is removed, by single features or in groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from sidelight.core.layout import Layout, grid_cells, lay_out
from sidelight.core.tensors import places
from sidelight.core.types import Inputs
from sidelight.targets import TargetModel

#: share of training batches that are shown whole: word embeddings learn from these alone
WHOLE = 0.25
#: largest side of the squares that :func:`random_removals` removes, as a share of the shorter side of an image. IDSDS
#: removes cells of a 4 × 4 grid.
LARGEST_SQUARE = 0.25

#: ``(target, inputs) -> scores``: the masks of one batch of a training.
Draw = Callable[[TargetModel, Inputs], dict[str, Tensor]]


def any_masks(target: TargetModel, inputs: Inputs) -> dict[str, Tensor]:
    """:func:`random_masks` of all areas."""
    return random_masks(target.feature_mask(inputs))


class MaskedTraining:
    """A target whose training passes see random masks. Everything else is that target's.

    Args:
        target: the classifier to train.
        fills: names of fills for removed features. Each batch draws one.
        draw: the masks of a batch.
    """

    def __init__(self, target: TargetModel, fills: Sequence[str], draw: Draw = any_masks) -> None:
        self.target, self.fills, self.draw = target, tuple(fills), draw

    def __getattr__(self, name: str) -> Any:
        return getattr(self.target, name)

    def frozen_encodings(self, inputs: Inputs) -> dict[str, Tensor]:
        """None, because masks change what the model makes of its inputs."""
        return {}

    def forward_trainable(self, inputs: Inputs) -> Tensor:
        """Logits ``[B, K]`` of the inputs, whole or under random masks, with gradients to the parameters."""
        target = self.target
        if float(torch.rand((), dtype=torch.float32)) < WHOLE:
            return target.forward_trainable(inputs)
        fill = self.fills[int(torch.randint(len(self.fills), ()))]
        size = len(next(iter(target.feature_mask(inputs).values())))
        seeds = torch.randint(2**31, (size,)).tolist()
        with target.in_training():
            return target.classify(inputs, self.draw(target, inputs), fill, seeds)


def masked_training(target: TargetModel, fills: Sequence[str], draw: Draw = any_masks) -> TargetModel:
    """``target`` for :func:`sidelight.lab.runs.classifier.train_classifier`, trained under random masks."""
    return cast(TargetModel, MaskedTraining(target, fills, draw))


def random_removals(
    target: TargetModel, inputs: Inputs, share: float, generator: torch.Generator | None = None
) -> dict[str, Tensor]:
    """Masks that remove up to ``share`` of each sample, at least one feature or group.

    A batch removes single features or groups of them by an even chance: squares of one size for the pixels of an
    image, words for the tokens of a text. Of several modalities it removes parts of all together or of one alone.

    Args:
        target: knows which tokens make a word.
        inputs: ``B`` samples.
        share: of the units, in (0, 1]. A sample removes a number of them that is uniform up to it.
        generator: of the draws (default: torch's own).

    Returns:
        Scores, 1 for features that stay and 0 for others. A modality of which nothing is removed is left out.
    """
    mask = target.feature_mask(inputs)
    names = list(mask)
    groups = [names, *([name] for name in names)] if len(names) > 1 else [names]
    chosen = groups[int(torch.randint(len(groups), (), generator=generator))]
    grouped = bool(torch.rand((), generator=generator, dtype=torch.float32) < 0.5)
    cells = {n: c for n in chosen if (c := _group(target, inputs, n, mask[n], generator)) is not None}
    units = lay_out({n: mask[n] for n in chosen}, cells if grouped else {})
    total = units.real_cells.sum(1)
    drawn = torch.rand(len(total), generator=generator, dtype=torch.float32).to(total.device)
    count = (drawn * share * total).ceil().clamp(min=1)
    keys = torch.rand(units.size.shape, generator=generator, dtype=torch.float32).to(total.device)
    return without_first(units, keys, count)


def without_first(units: Layout, keys: Tensor, count: Tensor) -> dict[str, Tensor]:
    """Scores that remove the real units with the smallest keys.

    Args:
        units: the cells of a layout of ``N`` features.
        keys: ``[B, M]`` one for each unit.
        count: ``[B]`` units to remove.
    """
    order = keys.masked_fill(~units.real_cells, torch.inf).argsort(1)
    gone = (places(order) < count[:, None]) & units.real_cells
    return dict(units.unflatten((~units.spread(gone) | ~units.real).float()))


def _group(
    target: TargetModel, inputs: Inputs, modality: str, real: Tensor, generator: torch.Generator | None
) -> Tensor | None:
    """The square or word of each feature, or ``None`` if a modality has no groups."""
    if real.ndim < 4:
        return target.words(inputs).get(modality)
    height, width = real.shape[-2:]
    largest = max(1, int(LARGEST_SQUARE * min(height, width)))
    side = int(torch.randint(1, largest + 1, (), generator=generator))
    down, right = torch.randint(side, (2,), generator=generator).tolist()
    return grid_cells(height, width, side, (down, right)).to(real.device)


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
    area = torch.rand(size, generator=generator, dtype=torch.float32).clamp(0.02, 0.98)
    hard = torch.rand(size, generator=generator, dtype=torch.float32) < 0.5
    found = {}
    for name, real in feature_mask.items():
        noise = torch.stack([_lumps(tuple(real.shape[1:]), generator) for _ in range(size)])
        flat, keep = noise.flatten(1), real.cpu().flatten(1)
        soft = flat ** ((1 - area) / area)[:, None]
        count = (area * keep.sum(1)).round().clamp(min=1)[:, None]
        # a little noise for each feature, or all of a lump would enter together
        little = 1e-4 * torch.rand(flat.shape, generator=generator, dtype=torch.float32)
        ranked = (flat + little).masked_fill(~keep, -1.0)
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
    noise = torch.rand(coarse, generator=generator, dtype=torch.float32)
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
