"""Frozen models behind one protocol, one file a family."""

from __future__ import annotations

from typing import Any

from torch import nn

from sidelight.registry import Registry
from sidelight.targets.base import TargetModel, fingerprint
from sidelight.targets.image import ImageTarget

#: Target families by modality name; adding a family is one file and one line here.
TARGETS: Registry[type[TargetModel]] = Registry("target family")
TARGETS.add("image", ImageTarget)

__all__ = ["TARGETS", "ImageTarget", "TargetModel", "as_target", "fingerprint"]


def as_target(model: nn.Module | TargetModel, processor: Any = None, **options: Any) -> TargetModel:
    """Wrap ``model`` in the target family that fits it.

    Args:
        model: a classifier, or a target already (returned as it is).
        processor: what turns raw samples into the model's inputs.
        options: passed on to the family, e.g. ``layers=[...]``.
    """
    if isinstance(model, TargetModel):
        return model
    return ImageTarget(model, processor, **options)
