"""The target families, and the choice of one for a model."""

from __future__ import annotations

from typing import Any

from torch import nn

from sidelight.core.registry import Registry
from sidelight.errors import UnsupportedTargetError
from sidelight.targets.architectures import reads_pairs
from sidelight.targets.base import TargetModel
from sidelight.targets.image import ImageTarget
from sidelight.targets.image_text import ImageTextTarget
from sidelight.targets.text import TextTarget
from sidelight.targets.wrappers import held

#: Target families by modality name. A new family needs one file and one line here.
TARGETS: Registry[type[TargetModel]] = Registry("target family")
TARGETS.add("image", ImageTarget)
TARGETS.add("text", TextTarget)
TARGETS.add("image+text", ImageTextTarget)


def family_of(model: Any) -> str:
    """Return the name in :data:`TARGETS` of the family that reads the inputs of ``model``.

    Raises:
        UnsupportedTargetError: ``model`` is no ``nn.Module``.
    """
    if isinstance(model, TargetModel):
        return model.family
    if not isinstance(model, nn.Module):
        raise UnsupportedTargetError(
            f"a target must be a torch module, e.g. AutoModelForImageClassification; got {type(model).__name__}.{held(model)}"
        )
    # Hugging Face models declare their inputs. We assume that a plain module reads images.
    if reads_pairs(model):
        return "image+text"
    return "text" if getattr(model, "main_input_name", "pixel_values") == "input_ids" else "image"
