"""LIME and KernelSHAP: a linear model of which features are shown, fitted by Captum.

Captum gets the choice of features itself as its input, one bit a feature, and the masked
target as the function of it. So any fill and any modality will do, and what is no feature
(padding, special tokens) has no bit and stays in.
"""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from captum._utils.models.linear_model import SkLearnRidge
from captum._utils.models.model import Model
from captum.attr import Lime as CaptumLime
from captum.attr._core.lime import get_exp_kernel_similarity_function
from torch import Tensor
from torch.utils.data import DataLoader

from sidelight.core.seeds import stream
from sidelight.lab.baselines.base import Job, register
from sidelight.lab.baselines.cells import CellMethod, Cells

#: Captum's ``similarity_func(original, perturbed, bits, **kwargs)``
Weigh = Callable[..., Any]


class ShapleyRegression(Model):
    """Weighted least squares, in float64, under the two conditions that Shapley values meet.

    The empty row gives the value of the empty input, and the coefficients sum to the difference between the full
    and the empty input. (Captum's own class has two rows of very large weight instead. Beside the small weights of
    complete sizes these make the system ill-conditioned.) If the rows do not determine the coefficients, the
    solution nearest to equal shares is taken.
    """

    def fit(self, train_data: DataLoader, **kwargs: object) -> None:
        """Fit on batches ``(bits [M, N], value [M], weight [M])`` with a row of ones and one of zeros."""
        bits, values, weights = (torch.cat(p).double().cpu().numpy() for p in zip(*train_data, strict=True))
        share = bits.mean(1)
        self._empty = values[share == 0][0]
        self._equal = (values[share == 1][0] - self._empty) / bits.shape[1]
        inner = (share > 0) & (share < 1)
        root = np.sqrt(weights[inner])
        # each row sums to 0, and so does the smallest solution
        rows = bits[inner] - share[inner, None]
        rest = values[inner] - self._empty - self._equal * bits[inner].sum(1)
        self._excess = np.linalg.lstsq(rows * root[:, None], rest * root, rcond=None)[0]

    def representation(self) -> Tensor:
        """``[N]`` Shapley values."""
        return torch.from_numpy(self._equal + self._excess)

    def __call__(self, x: Any) -> Tensor:
        """``[M]`` predictions for bits ``[M, N]``."""
        return x.double() @ self.representation().to(x.device) + self._empty


@dataclass(frozen=True)
class _Surrogate(CellMethod):
    """The common part of LIME and KernelSHAP.

    If a sample has so few features that all choices of them need at most ``n_samples`` passes, each choice is
    tried once, and chance plays no part.
    """

    signed = True

    @abstractmethod
    def _draws(self, count: int, generator: torch.Generator) -> Tensor:
        """``[n_samples, count]`` bits to learn from if there are too many choices to try all."""

    @abstractmethod
    def _weigh(self, bits: Tensor) -> Weigh:
        """The weight of a row among ``bits`` ``[M, N]``."""

    @abstractmethod
    def _regression(self, rows: int) -> Model: ...

    def _scores(self, job: Job, cells: Cells) -> Tensor:
        count = cells.count
        bits = self._bits(count, stream(self.seed, job.ids[0], 4))

        def rows(_original: Tensor, **_: Any) -> Iterator[Tensor]:
            yield from bits.to(job.classes.device).split(1)

        method = CaptumLime(cells.outputs, self._regression(len(bits)), self._weigh(bits), rows)
        whole = torch.ones(1, count, dtype=torch.float32, device=job.classes.device)
        with torch.random.fork_rng(devices=[]):  # Captum's loader draws a seed that it does not use
            scores = method.attribute(
                whole,
                n_samples=len(bits),
                perturbations_per_eval=self.internal_batch,
                return_input_shape=False,
            )
        return scores.flatten().to(whole)

    def _bits(self, count: int, generator: torch.Generator) -> Tensor:
        if 2**count <= self.n_samples:
            return torch.tensor(list(itertools.product((1, 0), repeat=count)))
        return self._draws(count, generator).long()


@register
@dataclass(frozen=True)
class Lime(_Surrogate):
    """Coefficients of a ridge regression from random choices of features to the class logit.

    Each feature is shown with probability one half. The original input is among the rows. A
    row weighs ``exp(−d² / 2w²)`` with ``d`` the cosine distance of its bits from all ones.

    Source: Ribeiro et al. 2016.

    Args:
        kernel_width: ``w``. The default is that of the authors' code.
        alpha: ridge penalty. The authors' code uses 1.
    """

    name = "lime"

    kernel_width: float = 0.25
    alpha: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("kernel_width", self.kernel_width > 0, "be positive")
        self.require("alpha", self.alpha >= 0, "not be negative")

    def _draws(self, count: int, generator: torch.Generator) -> Tensor:
        bits = torch.rand(self.n_samples, count, generator=generator, dtype=torch.float32) < 0.5
        bits[0] = True
        return bits

    def _weigh(self, bits: Tensor) -> Weigh:
        return get_exp_kernel_similarity_function("cosine", self.kernel_width)

    def _regression(self, rows: int) -> Model:
        # the penalty is meant for n_samples draws. Every choice once stands for them
        return SkLearnRidge(alpha=self.alpha * rows / self.n_samples)


@register
@dataclass(frozen=True)
class KernelShap(_Surrogate):
    """Shapley values of the features, by weighted regression.

    If every choice of features is tried, the values are exact: each is the mean, over all orders, of the rise of
    the class logit when the feature joins those before it. Otherwise the smallest choices and their complements
    are all tried, as far as ``n_samples`` allows. The Shapley kernel draws the others in pairs of complements. In
    both cases the values sum to the logit of the input minus that of the fill. Give more samples than features.

    Captum's own class draws every row, knows no seed and fails on a single feature. Therefore this class gives
    the kernel to Captum's LIME, as Captum's class does.

    Source: Lundberg & Lee 2017.
    """

    name = "kernel_shap"

    def _draws(self, count: int, generator: torch.Generator) -> Tensor:
        rows = [torch.tensor([[True], [False]]).expand(2, count)]
        complete = self._complete_sizes(count)
        for size in range(1, complete + 1):
            some = torch.zeros(math.comb(count, size), count, dtype=torch.bool)
            chosen = torch.tensor(list(itertools.combinations(range(count), size)))
            rows += [some.scatter(1, chosen, True), ~some.scatter(1, chosen, True)]
        left = self.n_samples - sum(map(len, rows))
        middle = torch.arange(complete + 1, count - complete)
        chances = 1 / (middle * (count - middle))
        pairs = torch.multinomial(chances, max(1, math.ceil(left / 2)), replacement=True, generator=generator)
        places = torch.rand(len(pairs), count, generator=generator, dtype=torch.float32).argsort(1).argsort(1)
        some = places < middle[pairs][:, None]
        return torch.cat([*rows, torch.stack([some, ~some], 1).flatten(0, 1)])[: self.n_samples]

    def _complete_sizes(self, count: int) -> int:
        """The largest size of which all choices are tried: their share of the kernel pays for them."""
        mass = {k: 1 / (k * (count - k)) for k in range(1, count)}
        left = self.n_samples - 2
        for size in range(1, (count + 1) // 2):
            share = 2 * mass[size] / sum(mass[k] for k in range(size, count - size + 1))
            needed = 2 * math.comb(count, size)
            if needed > share * left:
                return size - 1
            left -= needed
        return (count - 1) // 2

    def _weigh(self, bits: Tensor) -> Weigh:
        """Each row weighs its part of its size's mass in the kernel. Drawn sizes share their mass evenly."""
        count = bits.shape[1]
        complete = count if len(bits) == 2**count else self._complete_sizes(count)
        mass = {k: 1 / (k * (count - k)) for k in range(1, count)}
        drawn = range(complete + 1, count - complete)
        rows = sum(int(k) in drawn for k in bits.sum(1))
        share = sum(mass[k] for k in drawn) / max(1, rows)

        def weight(_original: Tensor, _masked: Tensor, row: Tensor, **_: Any) -> float:
            shown = int(row.sum())
            if shown in (0, count):
                return 0.0  # conditions, not observations
            if shown in drawn:
                return share
            return mass[shown] / math.comb(count, shown)

        return weight

    def _regression(self, rows: int) -> Model:
        return ShapleyRegression()
