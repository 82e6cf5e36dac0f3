"""Explainers to time: random weights cost what trained ones cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sidelight.data.images import ImageTransform
from sidelight.explainer import Explainer
from sidelight.scorers import Scorer
from sidelight.targets import as_target


def speed_subject(model: str, batch: int) -> tuple[Explainer, dict[str, Tensor]]:
    """An explainer and ``batch`` random inputs for ``vit-b16``, a run folder, a hub id or a model folder."""
    if (Path(model) / "config.yaml").is_file():
        from sidelight.experiment import Run

        explainer = Run.open(model).explainer()
        shape = explainer.scorer.spec.feature_shape["image"]
        return explainer, {"pixel_values": torch.randn(batch, *shape)}
    network, transform = _image_model(model)
    target = as_target(network, transform)
    assert transform is not None
    inputs = {"pixel_values": torch.randn(batch, len(transform.mean), *transform.size)}
    return Explainer(target, Scorer(target.spec(inputs))), inputs


def _image_model(name: str) -> tuple[Any, ImageTransform | None]:
    from transformers import AutoModelForImageClassification, ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    if name == "vit-b16":
        return ViTForImageClassification(ViTConfig(num_labels=1000)).eval(), ImageTransform((224, 224))
    from sidelight.data.images import as_transform
    from sidelight.targets import ImageTarget

    return (
        AutoModelForImageClassification.from_pretrained(name).eval(),
        as_transform(ImageTarget.load_processor(name, {})),
    )
