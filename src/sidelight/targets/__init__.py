"""Frozen models behind one protocol, one file a family."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from torch import nn

from sidelight.errors import UnsupportedTargetError
from sidelight.registry import Registry
from sidelight.targets.base import TargetModel
from sidelight.targets.image import ImageTarget
from sidelight.targets.image_text import ImageTextTarget
from sidelight.targets.opening import open_model
from sidelight.targets.pair_readers import reads_pairs
from sidelight.targets.pairs import ImageTextProcessor
from sidelight.targets.text import TextTarget
from sidelight.targets.wrappers import plain_model
from sidelight.weights import fingerprint

#: Target families by modality name; adding a family is one file and one line here.
TARGETS: Registry[type[TargetModel]] = Registry("target family")
TARGETS.add("image", ImageTarget)
TARGETS.add("text", TextTarget)
TARGETS.add("image+text", ImageTextTarget)

__all__ = [
    "TARGETS",
    "ImageTarget",
    "ImageTextProcessor",
    "ImageTextTarget",
    "TargetModel",
    "TextTarget",
    "as_target",
    "fingerprint",
]


def as_target(
    model: nn.Module | TargetModel | str | os.PathLike[str],
    processor: Any = None,
    family: str | None = None,
    **options: Any,
) -> TargetModel:
    """Wrap ``model`` in the target family that fits it.

    Args:
        model: a classifier, its folder or hub id, or a target already (returned as it is). What is wrapped around
            it is taken off (:func:`~sidelight.targets.wrappers.plain_model`).
        processor: what turns raw samples into the model's inputs.
        family: a name in :data:`TARGETS`; default: told by what the model reads.
        options: passed on to the family, e.g. ``layers=[...]``.

    Raises:
        UnsupportedTargetError: ``model`` is no ``nn.Module``, or not a classifier sidelight can read.
    """
    if isinstance(model, TargetModel):
        return model
    if isinstance(model, (str, os.PathLike)):
        model, beside = open_model(model)
        processor = beside if processor is None else processor
    if not isinstance(model, nn.Module):
        raise UnsupportedTargetError(
            f"a target must be a torch module, e.g. AutoModelForImageClassification; got {type(model).__name__}."
        )
    model = plain_model(model)
    if family is None:
        # Hugging Face models say what they read; a plain module is taken to read images.
        words = getattr(model, "main_input_name", "pixel_values") == "input_ids"
        family = "image+text" if reads_pairs(model) else "text" if words else "image"
    build: Callable[..., TargetModel] = TARGETS[family]
    return build(model, processor, **options)
