"""Methods that only use outputs: they mask, classify and compare."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sidelight.core.seeds import stream
from sidelight.core.tensors import probabilities
from sidelight.lab.baselines.base import Job, Rival, at_least, class_output, of_class, register

#: default window on a grid: each side holds so many
WINDOWS_PER_SIDE = 7


@dataclass(frozen=True)
class Perturbation(Rival):
    """The common part of methods that mask: they classify many masks of every sample in bounded batches.

    Args:
        fill: name of the fill for removed features.
        output: ``"logit"`` or ``"probability"`` of the class.
    """

    fill: str = "zero"
    output: str = "logit"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("output", self.output in ("logit", "probability"), "be 'logit' or 'probability'")

    def _values(self, job: Job) -> dict[str, Tensor]:
        return job.target.fill_values(job.inputs, self.fill, job.ids, job.features)

    def _outputs(self, job: Job, masks: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> Tensor:
        """``[B, M]`` class output under masks ``[B, M, *scores]``, all in one batch."""
        count = next(iter(masks.values())).shape[1]
        fills = {k: v.expand(job.size, *v.shape[1:]).repeat_interleave(count, 0) for k, v in values.items()}
        logits = job.target.classify(
            job.repeated(count), {k: m.flatten(0, 1) for k, m in masks.items()}, fills
        )
        return self._read(job, logits, job.classes.repeat_interleave(count)).view(job.size, count)

    def _read(self, job: Job, logits: Tensor, classes: Tensor) -> Tensor:
        as_probability = self.output == "probability"
        if as_probability:
            return of_class(probabilities(logits, job.target.independent), classes)
        return class_output(logits, classes)

    def _masks_per_batch(self, job: Job) -> int:
        return max(1, self.internal_batch // job.size)


@register
@dataclass(frozen=True)
class Occlusion(Perturbation):
    """Drop of the class logit when a window of features is removed.

    A feature gets the mean drop over the windows that cover it (Captum's convention). On a grid the window slides
    over rows and columns. In a sequence it covers tokens. Padding and special tokens stay, so they score 0.

    Source: Zeiler & Fergus 2014.

    Args:
        window: side of the window in features (default: 1/7 of each side of a grid, one token).
        stride: step in features (default: half the window, at least 1).
    """

    name = "occlusion"
    signed = True
    reduction = "none"

    window: int | None = at_least(1, None)
    stride: int | None = at_least(1, None)

    @torch.no_grad()
    def _maps(self, job: Job) -> Mapping[str, Tensor]:
        values = self._values(job)
        whole = self._read(job, job.target.forward(job.inputs, job.features), job.classes)
        return {name: self._one(job, name, whole, values) for name in job.features}

    def _one(self, job: Job, name: str, whole: Tensor, values: Mapping[str, Tensor]) -> Tensor:
        shape = job.score_shapes()[name]
        real = job.target.feature_mask(job.inputs)[name]
        dtype = _at_least_float(whole)
        total, covered = (torch.zeros(shape, dtype=dtype, device=whole.device) for _ in range(2))
        sides = job.spatial(name)
        somewhere = real.view(job.size, *sides).any(0)
        # positions that are padding in every sample would cost a pass and change nothing
        windows = (w for w in self._windows(sides) if bool(somewhere[w].any()))
        while batch := list(itertools.islice(windows, self._masks_per_batch(job))):
            removed = torch.zeros((len(batch), *sides), dtype=torch.bool, device=real.device)
            for row, window in enumerate(batch):
                removed[row][window] = True
            gone = removed.view(len(batch), *shape[1:]) & real[:, None]
            keep = (~gone).to(values[name].dtype)
            drop = whole[:, None] - self._outputs(job, {name: keep}, values)
            total += (gone * drop.view(*drop.shape, *[1] * (len(shape) - 1))).sum(1)
            covered += gone.sum(1)
        return total / covered.clamp(min=1)

    def _windows(self, sides: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
        grid = len(sides) > 1
        axes = []
        for side in sides:
            window = self.window or (math.ceil(side / WINDOWS_PER_SIDE) if grid else 1)
            stride = self.stride or max(1, window // 2)
            count = 1 + max(0, math.ceil((side - window) / stride))
            axes.append([slice(i * stride, min(i * stride + window, side)) for i in range(count)])
        return itertools.product(*axes)


@register
@dataclass(frozen=True)
class Rise(Perturbation):
    """The mean of random masks, weighted by the class probability under each mask.

    Masks of a grid are coarse random bits, enlarged smoothly and shifted at random. In a sequence every token
    has its own bit.

    Source: Petsiuk et al. 2018.

    Args:
        n_masks: masks per sample.
        grid: cells per side of the coarse masks.
        p: share of cells that is kept.
        seed: with a sample's id, decides all its masks.
    """

    name = "rise"
    signed = False
    reduction = "none"

    output: str = "probability"
    n_masks: int = at_least(1, 500)
    grid: int = at_least(1, 7)
    p: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("p", 0 < self.p < 1, "lie between 0 and 1")

    @torch.no_grad()
    def _maps(self, job: Job) -> Mapping[str, Tensor]:
        values = self._values(job)
        real = job.target.feature_mask(job.inputs)
        streams = [stream(self.seed, i, 3) for i in job.ids]
        totals = {
            # half precision would lose most of a long sum
            name: torch.zeros(shape, device=real[name].device, dtype=_at_least_float(job.features[name]))
            for name, shape in job.score_shapes().items()
        }
        done = 0
        while done < self.n_masks:
            count = min(self._masks_per_batch(job), self.n_masks - done)
            masks = {name: self._draw(job, name, count, streams) for name in totals}
            shown = {name: m.masked_fill(~real[name][:, None], 1) for name, m in masks.items()}
            weight = self._outputs(job, shown, values)
            for name, mask in masks.items():
                totals[name] += (mask * weight.view(*weight.shape, *[1] * (mask.ndim - 2))).sum(1)
            done += count
        return {name: total / (self.n_masks * self.p) for name, total in totals.items()}

    def _draw(self, job: Job, name: str, count: int, streams: list[torch.Generator]) -> Tensor:
        sides = job.spatial(name)
        shape = job.score_shapes()[name][1:]
        make = self._grid_mask if len(sides) == 2 else self._bits
        masks = [torch.stack([make(sides, g) for _ in range(count)]) for g in streams]
        return torch.stack(masks).view(job.size, count, *shape).to(job.features[name])

    def _bits(self, sides: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return (torch.rand(sides, generator=generator, dtype=torch.float32) < self.p).float()

    def _grid_mask(self, sides: tuple[int, ...], generator: torch.Generator) -> Tensor:
        cells = [min(self.grid, side) for side in sides]
        cell = [math.ceil(side / n) for side, n in zip(sides, cells, strict=True)]
        # one cell more than needed, so that a random shift never leaves the enlarged mask
        coarse = self._bits(tuple(n + 1 for n in cells), generator)
        size = [(n + 1) * c for n, c in zip(cells, cell, strict=True)]
        smooth = F.interpolate(coarse[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
        smooth = smooth.clamp(0, 1)  # interpolation rounds past 1
        top, left = (int(torch.randint(c, (), generator=generator)) for c in cell)
        return smooth[top : top + sides[0], left : left + sides[1]]


def _at_least_float(like: Tensor) -> torch.dtype:
    return torch.promote_types(like.dtype, torch.float32)
