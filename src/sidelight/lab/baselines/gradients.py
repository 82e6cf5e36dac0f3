"""Plain gradients: a refined method must differ from these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sidelight.core.seeds import stream
from sidelight.core.tensors import slopes_of
from sidelight.lab.baselines.base import Job, Rival, at_least, class_output, reduce_channels, register
from sidelight.lab.baselines.reference import reference_inputs


def class_gradients(job: Job, points: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Gradient of each sample's class logit with respect to ``points``, of their shapes.

    A modality gets zeros if the logit does not depend on it.
    """
    leaves = {name: x.detach().requires_grad_() for name, x in points.items()}
    output = class_output(job.target.forward(job.inputs, leaves), job.classes)
    return slopes_of(output.sum(), leaves)


@register
@dataclass(frozen=True)
class Gradient(Rival):
    """The signed gradient of the class logit, summed over channels (Simonyan et al. 2014)."""

    name = "gradient"
    signed = True
    reduction = "sum"

    def _maps(self, job: Job) -> Mapping[str, Tensor]:
        return reduce_channels(job.target, class_gradients(job, job.features), self.reduction)


@register
@dataclass(frozen=True)
class InputXGradient(Rival):
    """``(x − baseline) × gradient``, summed over channels.

    Source: Shrikumar et al. 2016.

    Args:
        baseline: a fill's name. ``"zero"`` gives plain input × gradient.
    """

    name = "input_x_gradient"
    signed = True
    reduction = "sum"

    baseline: str = "zero"

    def _maps(self, job: Job) -> Mapping[str, Tensor]:
        base = job.target.fill_values(job.inputs, self.baseline, job.ids, job.features)
        grads = class_gradients(job, job.features)
        product = {name: (x - base[name]) * grads[name] for name, x in job.features.items()}
        return reduce_channels(job.target, product, self.reduction)


@dataclass(frozen=True)
class MeanReferenceXGradient(Rival):
    """``(x − mean reference) × gradient``: DeepLIFT-SHAP on a model of which DeepLIFT knows no layer.

    It is not in the registry, because only the degeneracy check uses it. The options are those of DeepLIFT-SHAP.
    """

    name = "reference_x_gradient"
    signed = True
    reduction = "sum"

    n_baselines: int = at_least(1, 10)
    seed: int = 0

    def _maps(self, job: Job) -> Mapping[str, Tensor]:
        bank = reference_inputs(job, self.n_baselines, self.seed)
        grads = class_gradients(job, job.features)
        product = {name: (x - bank[name].mean(0)) * grads[name] for name, x in job.features.items()}
        return reduce_channels(job.target, product, self.reduction)


@register
@dataclass(frozen=True)
class GradientShap(Rival):
    """Expected gradients over random points between the input and random references.

    The definition is Captum's. Captum draws from numpy's global state, so that a map would depend on its batch
    and on earlier calls. Here each sample has its own stream instead.

    Source: Lundberg & Lee 2017; Erion et al. 2021.

    Args:
        n_samples: random points per sample.
        n_baselines: size of the reference distribution (see
            :func:`~sidelight.lab.baselines.reference.reference_inputs`).
        stdev: standard deviation of Gaussian noise added to the input of each draw.
        seed: with a sample's id, decides all its draws.
    """

    name = "gradient_shap"
    signed = True
    reduction = "sum"

    n_samples: int = at_least(1, 20)
    n_baselines: int = at_least(1, 10)
    stdev: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("stdev", self.stdev >= 0, "not be negative")

    def _maps(self, job: Job) -> Mapping[str, Tensor]:
        bank = reference_inputs(job, self.n_baselines, self.seed)
        count = len(next(iter(bank.values())))
        streams = [stream(self.seed, i, 11) for i in job.ids]
        total = {name: torch.zeros_like(x) for name, x in job.features.items()}
        for _ in range(self.n_samples):
            alpha = torch.stack([torch.rand((), generator=g, dtype=torch.float32) for g in streams])
            rows = torch.stack([torch.randint(count, (), generator=g) for g in streams])
            points, deltas = self._draw(job, bank, alpha, rows, streams)
            for name, grad in class_gradients(job, points).items():
                total[name] += deltas[name] * grad / self.n_samples
        return reduce_channels(job.target, total, self.reduction)

    def _draw(
        self,
        job: Job,
        bank: Mapping[str, Tensor],
        alpha: Tensor,
        rows: Tensor,
        streams: list[torch.Generator],
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        points, deltas = {}, {}
        for name, x in job.features.items():
            base = bank[name][rows.to(x.device), torch.arange(job.size, device=x.device)]
            if self.stdev:
                x = x + self.stdev * torch.stack(
                    [torch.randn(x.shape[1:], generator=g, dtype=torch.float32) for g in streams]
                ).to(x)
            share = alpha.to(x).view(-1, *[1] * (x.ndim - 1))
            deltas[name] = x - base
            points[name] = base + share * deltas[name]
        return points, deltas
