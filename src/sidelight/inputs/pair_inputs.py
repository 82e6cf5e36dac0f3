"""The tensors that a model of pairs takes and leaves: what is the image's, what the text's."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from sidelight.core.types import Inputs
from sidelight.errors import InputTypeError

PIXELS = "pixel_values"
IMAGE_INPUTS = (PIXELS, "pixel_mask")
#: names of what :meth:`sidelight.targets.image_text.ImageTextTarget.encoded` gives, by modality
ENCODED = {"image": "image_encoded", "text": "text_encoded"}


def image_inputs(inputs: Inputs) -> dict[str, Tensor]:
    """The part of ``inputs`` that belongs to the image; what is encoded already belongs to neither."""
    return {k: v for k, v in inputs.items() if k in IMAGE_INPUTS}


def text_inputs(inputs: Inputs) -> dict[str, Tensor]:
    """The part of ``inputs`` that belongs to the text."""
    return {k: v for k, v in inputs.items() if k not in IMAGE_INPUTS and k not in ENCODED.values()}


def check_kinds(inputs: Inputs) -> None:
    """Raise :class:`InputTypeError` where pixels or token ids are missing, or not of the kind they must be."""
    if not isinstance(inputs, Mapping) or PIXELS not in inputs or "input_ids" not in inputs:
        given = sorted(inputs) if isinstance(inputs, Mapping) else type(inputs).__name__
        raise InputTypeError(
            f"expected a mapping with 'pixel_values' [B, C, H, W] and 'input_ids' [B, T]; got {given}."
        )
    for name, wanted in ((PIXELS, True), ("input_ids", False)):
        value = inputs[name]
        if isinstance(value, Tensor) and value.is_floating_point() is not wanted:
            raise InputTypeError(
                f"{name} must hold {'floating point numbers' if wanted else 'integers'}; got {value.dtype}. "
                "Are pixel_values and input_ids swapped?"
            )


def tokens_mean(tokens: Tensor, attended: Tensor) -> Tensor:
    """``[B, D]`` mean of ``tokens`` ``[B, T, D]`` where ``attended`` ``[B, T, 1]``."""
    return (tokens * attended).sum(1) / attended.sum(1).clamp(min=1)
