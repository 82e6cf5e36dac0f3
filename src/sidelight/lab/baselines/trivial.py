"""Maps that do not use the model: any method must beat them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sidelight.core.seeds import stream
from sidelight.lab.baselines.base import Job, Reduction, Rival, register


@dataclass(frozen=True)
class _Trivial(Rival):
    signed = False
    reduction: ClassVar[Reduction] = "none"


@register
@dataclass(frozen=True)
class Random(_Trivial):
    """Independent uniform scores in [0, 1).

    Args:
        seed: with a sample's id, decides its map.
    """

    name = "random"

    seed: int = 0

    def _maps(self, job: Job) -> Mapping[str, Tensor]:
        streams = [stream(self.seed, i, 1) for i in job.ids]
        return {
            name: torch.stack([torch.rand(shape[1:], generator=g, dtype=torch.float32) for g in streams]).to(
                job.features[name]
            )
            for name, shape in job.score_shapes().items()
        }


@register
@dataclass(frozen=True)
class Centre(_Trivial):
    """A Gaussian at the centre of the input, in (0, 1].

    Args:
        width: standard deviation as a share of each side.
    """

    modalities: ClassVar[tuple[str, ...] | None] = ("image",)
    name = "centre"

    width: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("width", self.width > 0, "be positive")

    def _maps(self, job: Job) -> Mapping[str, Tensor]:
        return {name: self._bump(job, name) for name in job.features}

    def _bump(self, job: Job, name: str) -> Tensor:
        shape, sides = job.score_shapes()[name], job.spatial(name)
        bump = torch.ones(sides, dtype=torch.float32)
        for axis, side in enumerate(sides):
            offset = (torch.arange(side, dtype=torch.float32) - (side - 1) / 2) / (self.width * side)
            bump = bump * torch.exp(-0.5 * offset**2).view(-1, *[1] * (len(sides) - axis - 1))
        return bump.expand(shape).clone().to(job.features[name])


@register
@dataclass(frozen=True)
class Constant(_Trivial):
    """Ones everywhere: has the best average drop and points at nothing."""

    name = "constant"

    def _maps(self, job: Job) -> Mapping[str, Tensor]:
        return {name: job.features[name].new_ones(shape) for name, shape in job.score_shapes().items()}


@register
@dataclass(frozen=True)
class InputNorm(_Trivial):
    """L2 norm over channels of the input itself (normalised pixels, word embeddings)."""

    name = "input_norm"
    reduction = "l2"

    def _maps(self, job: Job) -> Mapping[str, Tensor]:
        return {name: m.reduce_norm(job.features[name]) for name, m in job.target.modalities.items()}
