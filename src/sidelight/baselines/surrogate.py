"""LIME and KernelSHAP: a linear model of which features are shown, fitted by Captum.

Captum gets the choice of features itself as its input, one bit a feature, and the masked
target as the function of it. So any fill and any modality will do, and what is no feature
(padding, special tokens) has no bit and stays in.
"""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from captum._utils.models.model import Model
from captum.attr import Lime as CaptumLime
from captum.attr._core.lime import get_exp_kernel_similarity_function
from sklearn.linear_model import LinearRegression, Ridge
from torch import Tensor
from torch.utils.data import DataLoader

from sidelight.baselines.base import Job, register, stream
from sidelight.baselines.perturbation import WINDOWS_PER_SIDE, Perturbation
from sidelight.errors import ConfigError

#: stands for the infinite weight of showing all and of showing nothing
_INFINITE = 1e9


class WeightedRegression(Model):
    """Weighted least squares in float64, with a ridge penalty where ``alpha`` is above 0.

    Captum's own wrapper computes in float32, where a very large weight drowns all others.
    """

    def __init__(self, alpha: float = 0.0) -> None:
        self._regression = Ridge(alpha=alpha) if alpha else LinearRegression()

    def fit(self, train_data: DataLoader, **kwargs: object) -> None:
        """Fit on the batches ``(x [M, N], y [M], weight [M])``."""
        x, y, weight = (torch.cat(part).double().cpu().numpy() for part in zip(*train_data, strict=True))
        self._regression.fit(x, y, sample_weight=weight)

    def representation(self) -> Tensor:
        """``[N]`` coefficients, without the intercept."""
        return torch.from_numpy(self._regression.coef_)

    def __call__(self, x: Any) -> Tensor:
        """``[M]`` predictions for ``[M, N]``."""
        return torch.from_numpy(self._regression.predict(x.double().cpu().numpy()))


@dataclass(frozen=True)
class _Surrogate(Perturbation):
    """What LIME and KernelSHAP share.

    A sample with so few features that every choice of them costs no more passes than
    ``n_samples`` gets each choice once, and nothing is left to chance.

    Args:
        n_samples: passes of the target per sample, at most.
        window: side in features of what is shown or hidden as one (default: one token; on a
            grid 1/7 of each side). All features of it get its score.
        seed: with a sample's id, decides all its draws.
    """

    signed = True
    reduction = "none"

    n_samples: int = 500
    window: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window is not None and self.window < 1:
            raise ConfigError(
                f"option 'window' of rival {self.name!r} must be at least 1; got {self.window}."
            )
        if self.n_samples < 2:
            raise ConfigError(
                f"option 'n_samples' of rival {self.name!r} must be at least 2; got {self.n_samples}."
            )

    @property
    def passes(self) -> str:
        return f"up to {self.n_samples} forward"

    @abstractmethod
    def _draws(self, count: int, generator: torch.Generator) -> Tensor:
        """``[n_samples, count]`` bits to learn from, where not every choice can be tried."""

    @abstractmethod
    def _weigh(self, count: int, complete: bool) -> Callable[..., Any]:
        """Captum's ``similarity_func``: the weight of a row of bits among ``count`` features."""

    @abstractmethod
    def _regression(self, rows: int) -> WeightedRegression: ...

    @torch.no_grad()
    def _maps(self, job: Job) -> Mapping[str, Tensor]:
        values = self._values(job)
        found = []
        for i in range(job.size):
            own = {k: v[i : i + 1] if len(v) == job.size else v for k, v in values.items()}
            found.append(self._one(job.single(i), own))
        return {name: torch.cat([f[name] for f in found]) for name in job.features}

    def _one(self, job: Job, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The map of a job of one sample, zero where there is no feature."""
        cells, count = self._cells(job)
        shapes = job.score_shapes()

        def masked(bits: Tensor) -> Tensor:
            shown = torch.cat([bits, torch.ones_like(bits[:, :1])], 1)  # cell -1: no feature, always shown
            masks = {n: shown[:, c].view(1, -1, *shapes[n][1:]).to(job.features[n]) for n, c in cells.items()}
            return self._outputs(job, masks, values)[0]

        bits = self._bits(count, stream(self.seed, job.ids[0], 4))

        def rows(_original: Tensor, **_: Any) -> Iterator[Tensor]:
            yield from bits.to(next(iter(cells.values())).device).split(1)

        complete = len(bits) == 2**count
        method = CaptumLime(masked, self._regression(len(bits)), self._weigh(count, complete), rows)
        whole = torch.ones(1, count, device=job.classes.device)
        with torch.random.fork_rng(devices=[]):  # Captum's loader draws a seed that it has no use for
            scores = method.attribute(
                whole,
                n_samples=len(bits),
                perturbations_per_eval=self.internal_batch,
                return_input_shape=False,
            )
        scores = torch.cat([scores.flatten(), scores.new_zeros(1)]).to(whole)
        return {name: scores[cell].view(shapes[name]) for name, cell in cells.items()}

    def _bits(self, count: int, generator: torch.Generator) -> Tensor:
        if 2**count <= self.n_samples:
            return torch.tensor(list(itertools.product((1, 0), repeat=count)))
        return self._draws(count, generator).long()

    def _cells(self, job: Job) -> tuple[dict[str, Tensor], int]:
        """Per modality the cell of each feature, -1 where there is none; and how many cells there are."""
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


@register
@dataclass(frozen=True)
class Lime(_Surrogate):
    """Coefficients of a ridge regression from random choices of features to the class logit.

    Each feature is shown with probability one half; the original input is among the rows. A
    row weighs ``exp(−d² / 2w²)`` with ``d`` the cosine distance of its bits from all ones.

    Args:
        kernel_width: ``w``; the default is that of the authors' code.
        alpha: ridge penalty; the authors' code uses 1.
    """

    name = "lime"
    title = "LIME"
    source = "Ribeiro et al. 2016"

    kernel_width: float = 0.25
    alpha: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.kernel_width > 0:
            raise ConfigError(
                f"option 'kernel_width' of rival 'lime' must be positive; got {self.kernel_width}."
            )
        if not self.alpha >= 0:
            raise ConfigError(f"option 'alpha' of rival 'lime' must not be negative; got {self.alpha}.")

    def _draws(self, count: int, generator: torch.Generator) -> Tensor:
        bits = torch.rand(self.n_samples, count, generator=generator) < 0.5
        bits[0] = True
        return bits

    def _weigh(self, count: int, complete: bool) -> Callable[..., Any]:
        return get_exp_kernel_similarity_function("cosine", self.kernel_width)

    def _regression(self, rows: int) -> WeightedRegression:
        # every choice once stands for n_samples draws, against which the penalty is meant
        return WeightedRegression(self.alpha * rows / self.n_samples)


@register
@dataclass(frozen=True)
class KernelShap(_Surrogate):
    """Shapley values of the features, by weighted regression.

    Where every choice of features is tried the values are exact: the mean, over all orders, of
    what a feature adds to the class logit when it joins those before it. Else choices are
    drawn in pairs of complements by the Shapley kernel, as Captum's own class draws them; that
    class never tries them all, knows no seed and fails on a single feature, so it is Captum's
    LIME that is given the kernel here. Either way the values sum to the logit of the input minus that
    of the fill. Give more samples than there are features.
    """

    name = "kernel_shap"
    title = "Kernel-SHAP"
    source = "Lundberg & Lee 2017"

    def _draws(self, count: int, generator: torch.Generator) -> Tensor:
        size = torch.arange(1, count)
        chances = 1 / (size * (count - size))
        pairs = math.ceil((self.n_samples - 2) / 2)
        sizes = size[torch.multinomial(chances, max(1, pairs), replacement=True, generator=generator)]
        places = torch.rand(len(sizes), count, generator=generator).argsort(1).argsort(1)
        some = places < sizes[:, None]
        drawn = torch.stack([some, ~some], 1).flatten(0, 1)
        ends = torch.tensor([True, False])[:, None].expand(2, count)
        return torch.cat([ends, drawn])[: self.n_samples]

    def _weigh(self, count: int, complete: bool) -> Callable[..., Any]:
        def weight(_original: Tensor, _masked: Tensor, bits: Tensor, **_: Any) -> float:
            shown = int(bits.sum())
            if shown in (0, count):
                return _INFINITE
            if not complete:
                return 1.0  # rows come as often as the kernel says
            return (count - 1) / (math.comb(count, shown) * shown * (count - shown))

        return weight

    def _regression(self, rows: int) -> WeightedRegression:
        return WeightedRegression()
