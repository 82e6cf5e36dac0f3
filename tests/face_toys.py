"""Explainers of each family with random scorers, for the faces in other tools."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image

import pair_models
import text_models
import toy_models
from sidelight import Explainer
from sidelight.inputs.images import ImageTransform
from sidelight.scorers import Scorer, ScorerConfig
from sidelight.targets import TargetModel, as_target

SIDE, CLASSES = 32, 4
TRANSFORM = ImageTransform((SIDE, SIDE))
NAMES = {0: "cat", 1: "dog", 2: "cow", 3: "hen"}


def lively(model: Any, factor: float = 1.5) -> Any:
    """``model`` in eval mode with weights large enough to tell inputs apart."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(factor)
    return model.eval()


def beside(target: TargetModel, inputs: dict[str, torch.Tensor], by_class: bool) -> Explainer:
    """An explainer with a scorer of random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        scorer = Scorer(target.spec(inputs), ScorerConfig(by_class=by_class))
    return Explainer(target, scorer)


def image_model() -> Any:
    """A ResNet of four named classes."""
    options = {"num_labels": CLASSES, "id2label": NAMES, "label2id": {n: i for i, n in NAMES.items()}}
    return lively(toy_models.seeded(lambda: toy_models.resnet(**options)))


def image_explainer(by_class: bool = True) -> Explainer:
    """Beside :func:`image_model`."""
    target = as_target(image_model(), TRANSFORM)
    return beside(target, {"pixel_values": pixels(1)}, by_class)


def text_explainer(family: str = "bert", by_class: bool = True) -> Explainer:
    """Beside a tiny text classifier of three classes."""
    target = as_target(*text_models.make_pair(family))
    return beside(target, dict(target.reader.read(text_models.TEXTS).inputs), by_class)


def pair_explainer(name: str = "fusion-resnet", by_class: bool = True) -> Explainer:
    """Beside a tiny classifier of pairs."""
    target = pair_models.make_target(name)
    target.model.eval()
    return beside(target, dict(target.reader.read(pair_models.pairs()).inputs), by_class)


def pixels(count: int, seed: int = 3) -> torch.Tensor:
    """``[count, 3, SIDE, SIDE]`` between the transform's black and white."""
    return torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def pictures(count: int, seed: int = 0) -> list[Image.Image]:
    """RGB noise of another size than the model's."""
    return pair_models.images(count, seed, (40, 36))
