"""Methods that show or hide a sample's cells, one bit each, and learn from the target's outputs.

A cell is a token, or a square of a grid. Padding and special tokens are no features, have no bit and stay in. So any fill
and any modality will do.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from sidelight.lab.baselines.base import Job, at_least
from sidelight.lab.baselines.perturbation import WINDOWS_PER_SIDE, Perturbation


@dataclass(frozen=True)
class Cells:
    """The cells of one sample.

    Attributes:
        places: per modality the cell of each position, -1 if it is no feature.
        count: C, the number of cells.
        outputs: bits ``[M, C]`` -> ``[M]`` output of the target with the cells shown whose bit is 1.
    """

    places: Mapping[str, Tensor]
    count: int
    outputs: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class CellMethod(Perturbation):
    """The common part of methods that give each cell a score.

    Args:
        n_samples: passes of the target per sample, at most.
        window: side in features of a cell, which is shown or hidden as one (default: one token, or on a grid 1/7
            of each side). All features of a cell get its score.
        seed: with a sample's id, decides all its draws.
    """

    reduction = "none"

    n_samples: int = at_least(2, 500)
    window: int | None = at_least(1, None)
    seed: int = 0

    @abstractmethod
    def _scores(self, job: Job, cells: Cells) -> Tensor:
        """``[C]`` scores of the cells of a job of one sample."""

    @torch.no_grad()
    def _maps(self, job: Job) -> Mapping[str, Tensor]:
        values = self._values(job)
        found = []
        for i in range(job.size):
            own = {k: v[i : i + 1] if len(v) == job.size else v for k, v in values.items()}
            found.append(self._one(job.single(i), own))
        return {name: torch.cat([f[name] for f in found]) for name in job.features}

    def _one(self, job: Job, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The map of a job of one sample. Positions without a feature get 0."""
        places, count = self._cells(job)
        shapes = job.score_shapes()
        scores = self._scores(job, Cells(places, count, partial(self._masked, job, values, places)))
        scores = torch.cat([scores, scores.new_zeros(1)])
        return {name: scores[cell].view(shapes[name]) for name, cell in places.items()}

    def _masked(
        self, job: Job, values: Mapping[str, Tensor], places: Mapping[str, Tensor], bits: Tensor
    ) -> Tensor:
        shapes = job.score_shapes()
        shown = torch.cat([bits, torch.ones_like(bits[:, :1])], 1)  # cell -1: no feature, always shown
        masks = {n: shown[:, c].view(1, -1, *shapes[n][1:]).to(job.features[n]) for n, c in places.items()}
        return self._outputs(job, masks, values)[0]

    def _cells(self, job: Job) -> tuple[dict[str, Tensor], int]:
        """Per modality the cell of each position, -1 if it is no feature, and the number of cells."""
        found, count = {}, 0
        for name, real in job.target.feature_mask(job.inputs).items():
            flags = real[0].view(job.spatial(name))
            kinds, dense = self._group(flags)[flags].unique(return_inverse=True)
            cells = torch.full(flags.shape, -1, device=flags.device)
            cells[flags] = dense + count
            found[name] = cells
            count += len(kinds)
        return found, count

    def _group(self, flags: Tensor) -> Tensor:
        """Cell of each position of a grid, or of each real position of a sequence."""
        if flags.ndim == 1:
            return torch.div(flags.cumsum(0) - 1, self.window or 1, rounding_mode="floor")
        total = torch.zeros(flags.shape, dtype=torch.long, device=flags.device)
        for axis, side in enumerate(flags.shape):
            window = self.window or math.ceil(side / WINDOWS_PER_SIDE)
            places = torch.arange(side, device=flags.device) // window
            total = total * side + places.view(-1, *[1] * (flags.ndim - axis - 1))
        return total
