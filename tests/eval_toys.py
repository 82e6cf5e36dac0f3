"""Targets whose probabilities are known by hand, and methods that count as rivals."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from sidelight.core.types import IMAGE, TEXT, Modality
from sidelight.inputs.base import Batch
from sidelight.lab.evaluation.loop import Measurement, run_evaluation
from sidelight.lab.evaluation.settings import EvalResult, EvalSettings, Method
from sidelight.targets.base import TargetModel

SOUND = Modality("sound", channel_dim=1, keeps_channel_dim=True)


class Weights(nn.Module):
    """One weight per feature: ``p(class 0) = sigmoid(Σ w·x)``."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        for name, value in weights.items():
            self.register_buffer(name, value)


class LinearToy(TargetModel):
    """Two classes with logits ``(Σ over modalities of w·x, 0)``; counts its passes.

    Inputs are ``{modality: x}`` and ``{modality + "_real": bool}``; every fill is the
    constant it is named after (``"zero"`` is 0, ``"one"`` is 1).
    """

    family = "toy"

    def __init__(self, weights: Mapping[str, Tensor], modalities: Sequence[Modality]) -> None:
        super().__init__(Weights(weights))
        self.modalities = {m.name: m for m in modalities}
        self.passes: list[int] = []
        self.filled: list[str] = []

    def features(self, inputs):
        return {name: inputs[name] for name in self.modalities}

    def feature_mask(self, inputs):
        return {name: inputs[f"{name}_real"] for name in self.modalities}

    def forward(self, inputs, features):
        logit = sum((getattr(self.model, n) * x).flatten(1).sum(1) for n, x in features.items())
        self.passes.append(len(logit))
        return torch.stack([logit, torch.zeros_like(logit)], 1)

    def fill_values(self, inputs, fill, seeds, features=None):
        self.filled.append(fill)
        return {n: torch.full_like(inputs[n], {"zero": 0.0, "one": 1.0}[fill]) for n in self.modalities}


def image_toy(size: int = 4, batch: int = 3, seed: int = 0) -> tuple[LinearToy, dict[str, Tensor]]:
    """A ``size × size`` image target and a batch."""
    g = torch.Generator().manual_seed(seed)
    target = LinearToy({"image": torch.randn(1, 1, size, size, generator=g)}, [IMAGE])
    x = torch.randn(batch, 1, size, size, generator=g)
    return target, {"image": x, "image_real": torch.ones_like(x, dtype=torch.bool)}


def joint_toy(batch: int = 3, seed: int = 0) -> tuple[LinearToy, dict[str, Tensor]]:
    """Image 3×5, text of 6 positions of which 4 to 6 are real, and 7 samples of sound."""
    g = torch.Generator().manual_seed(seed)
    shapes = {"image": (1, 3, 5), "text": (6, 2), "sound": (1, 7)}
    weights = {n: torch.randn(1, *s, generator=g) * 0.5 for n, s in shapes.items()}
    inputs = {n: torch.randn(batch, *s, generator=g) for n, s in shapes.items()}
    real = {n: torch.ones(batch, *s, dtype=torch.bool) for n, s in shapes.items()}
    real["text"] = torch.arange(6) < 4 + torch.arange(batch)[:, None] % 3
    return LinearToy(weights, [IMAGE, TEXT, SOUND]), inputs | {f"{n}_real": r for n, r in real.items()}


class RandomMaps:
    """Draws from the global generator, as methods that know no seeds do."""

    name, signed = "random", True

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, target, inputs, classes):
        self.calls += 1
        return {n: torch.randn(m.shape) for n, m in target.feature_mask(inputs).items()}


class KnowsIds:
    """A method whose map is the sample id everywhere, to see that it is given the ids."""

    name, signed = "ids", False

    def __call__(self, target, inputs, classes, ids=None):
        own = torch.tensor(list(ids), dtype=torch.float32)
        mask = target.feature_mask(inputs)
        return {n: own.view(-1, *[1] * (m.ndim - 1)).expand(m.shape) for n, m in mask.items()}


class Ready(list[Batch]):
    """Batches that are there already."""

    def ids(self, index: int) -> list[int]:
        return list(self[index].ids)


def evaluated(
    target: TargetModel,
    batches: Sequence[Batch],
    methods: Mapping[str, Method],
    settings: EvalSettings,
    folder: Path | None = None,
) -> EvalResult:
    """All results in memory; finished batches are kept in ``folder`` if there is one."""
    with tempfile.TemporaryDirectory() as scratch:
        measurement = Measurement(target, Ready(batches), methods, settings, folder or Path(scratch))
        return run_evaluation(measurement, progress=False)
