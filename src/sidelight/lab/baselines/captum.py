"""Captum's gradient methods on any target. The model stays as it was."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from captum.attr import DeepLift as CaptumDeepLift
from captum.attr import GuidedBackprop as CaptumGuidedBackprop
from captum.attr import IntegratedGradients as CaptumIntegratedGradients
from captum.attr import Saliency as CaptumSaliency
from captum.attr._core.deep_lift import SUPPORTED_NON_LINEAR
from torch import Tensor, nn

from sidelight.core.tensors import both_ways
from sidelight.core.types import is_batched
from sidelight.lab.baselines.base import (
    Job,
    Rival,
    at_least,
    check_range,
    reduce_channels,
    register,
)
from sidelight.lab.baselines.gradients import Gradient, InputXGradient, MeanReferenceXGradient
from sidelight.lab.baselines.hooks import unshared
from sidelight.lab.baselines.reference import reference_inputs


class FeatureModule(nn.Module):
    """``target.forward`` as the module Captum wants: features first, then the other inputs.

    Inputs with a batch axis are extra arguments, so that Captum repeats them together with the features. The
    module keeps the other inputs.
    """

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.model = job.target.model
        self._job = job
        self._names = list(job.features)
        self._extra = [k for k, v in job.inputs.items() if is_batched(v, job.size)]

    def features(self) -> tuple[Tensor, ...]:
        """The job's features, fresh leaves in the order of :meth:`forward`."""
        return tuple(self._job.features[n].detach().clone() for n in self._names)

    def extra(self) -> tuple[Tensor, ...] | None:
        """Captum's ``additional_forward_args``."""
        return tuple(self._job.inputs[k] for k in self._extra) or None

    def named(self, values: Iterable[Tensor]) -> dict[str, Tensor]:
        """Tensors in the order of :meth:`features`, by modality."""
        return dict(zip(self._names, values, strict=True))

    def forward(self, *args: Tensor) -> Tensor:
        count = len(self._names)
        inputs = {**self._job.inputs, **dict(zip(self._extra, args[count:], strict=False))}
        logits = both_ways(self._job.target.forward(inputs, self.named(args[:count])))
        check_range(self._job.classes, logits.shape[-1])
        return logits


@register
@dataclass(frozen=True)
class Saliency(Rival):
    """L2 norm over channels of the gradient of the class logit (Simonyan et al. 2014)."""

    name = "saliency"
    signed = False
    reduction = "l2"

    def _maps(self, job: Job) -> Mapping[str, Tensor]:
        module = FeatureModule(job)
        values = CaptumSaliency(module).attribute(
            module.features(), job.classes, abs=False, additional_forward_args=module.extra()
        )
        return reduce_channels(job.target, module.named(values), self.reduction)


@register
@dataclass(frozen=True)
class GuidedBackprop(Rival):
    """Gradient that lets only positive values back through ``nn.ReLU`` modules.

    On models without such modules (GELU transformers, ReLU6 mobile nets) it is the plain signed gradient.
    :func:`~sidelight.lab.baselines.degeneracy.coincidences` reports this.

    Source: Springenberg et al. 2015.
    """

    name = "guided_backprop"
    signed = True
    reduction = "sum"

    def plain(self) -> Rival:
        return Gradient(self.internal_batch)

    def _maps(self, job: Job) -> Mapping[str, Tensor]:
        module = FeatureModule(job)
        values = CaptumGuidedBackprop(module).attribute(module.features(), job.classes, module.extra())
        return reduce_channels(job.target, module.named(values), self.reduction)


@register
@dataclass(frozen=True)
class IntegratedGradients(Rival):
    """Gradients integrated along the straight line from a baseline to the input.

    Source: Sundararajan et al. 2017.

    Args:
        n_steps: Gauss-Legendre points on the line.
        baseline: a fill's name. ``"zero"`` is Captum's default.
    """

    name = "integrated_gradients"
    signed = True
    reduction = "sum"

    n_steps: int = at_least(1, 50)
    baseline: str = "zero"

    def _maps(self, job: Job) -> Mapping[str, Tensor]:
        base = job.target.fill_values(job.inputs, self.baseline, job.ids, job.features)
        module = FeatureModule(job)
        values = CaptumIntegratedGradients(module).attribute(
            module.features(),
            _expanded(job, base),
            job.classes,
            module.extra(),
            n_steps=self.n_steps,
            internal_batch_size=max(self.internal_batch, job.size),
        )
        return reduce_channels(job.target, module.named(values), self.reduction)


@register
@dataclass(frozen=True)
class DeepLift(Rival):
    """DeepLIFT, rescale rule.

    Captum has rules for a fixed list of activation modules (ReLU, sigmoid, tanh, ...). All other modules (GELU,
    ReLU6, attention, norms) use the plain gradient. Captum fails on an activation module that is used twice,
    so each use gets its own copy during the call.

    Source: Shrikumar et al. 2017.

    Args:
        baseline: a fill's name.
    """

    name = "deep_lift"
    signed = True
    reduction = "sum"
    rows_per_sample = 2

    baseline: str = "zero"

    def plain(self) -> Rival:
        return InputXGradient(self.internal_batch, self.baseline)

    def _maps(self, job: Job) -> Mapping[str, Tensor]:
        base = job.target.fill_values(job.inputs, self.baseline, job.ids, job.features)
        with _deep_lift_ready(job) as module:
            values = deep_lift_values(job, module, base)
        return reduce_channels(job.target, values, self.reduction)


@register
@dataclass(frozen=True)
class DeepLiftShap(Rival):
    """DeepLIFT averaged over a reference distribution.

    The references run one by one, so memory does not grow with their number. The mean equals that of Captum's
    own class. If the target has no bank of references, they are zero and noise (see
    :func:`~sidelight.lab.baselines.reference.reference_inputs`).

    Source: Lundberg & Lee 2017.

    Args:
        n_baselines: size of the reference distribution.
        seed: decides which references are drawn.
    """

    name = "deep_lift_shap"
    signed = True
    reduction = "sum"
    rows_per_sample = 2

    n_baselines: int = at_least(1, 10)
    seed: int = 0

    def plain(self) -> Rival:
        return MeanReferenceXGradient(self.internal_batch, self.n_baselines, self.seed)

    def _maps(self, job: Job) -> Mapping[str, Tensor]:
        bank = reference_inputs(job, self.n_baselines, self.seed)
        count = len(next(iter(bank.values())))
        total = {name: torch.zeros_like(x) for name, x in job.features.items()}
        with _deep_lift_ready(job) as module:
            for row in range(count):
                values = deep_lift_values(job, module, {name: b[row] for name, b in bank.items()})
                for name, value in values.items():
                    total[name] += value.detach() / count
        return reduce_channels(job.target, total, self.reduction)


def deep_lift_values(job: Job, module: FeatureModule, base: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Captum's DeepLIFT attributions of the features' shape, against ``base``."""
    values = CaptumDeepLift(module).attribute(
        module.features(), _expanded(job, base), job.classes, module.extra()
    )
    return module.named(values)


@contextmanager
def _deep_lift_ready(job: Job) -> Iterator[FeatureModule]:
    module = FeatureModule(job)
    args = (*module.features(), *(module.extra() or ()))
    with unshared(job.target.model, lambda: module(*args), tuple(SUPPORTED_NON_LINEAR)):
        yield module


def _expanded(job: Job, base: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    # Captum wants baselines contiguous and of the input's own shape
    return tuple(base[name].to(x).expand_as(x).contiguous() for name, x in job.features.items())
