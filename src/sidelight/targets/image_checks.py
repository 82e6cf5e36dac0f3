"""Checks of a batch of pixels before the model runs on it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from torch import Tensor, nn

from sidelight.core.types import Inputs
from sidelight.errors import InputError, InputTypeError
from sidelight.inputs.images import PictureTransform
from sidelight.inputs.pixels import require_range
from sidelight.targets.input_checks import (
    OTHER_INPUTS,
    missing_tensor,
    require_channels,
    require_finite,
    require_plain,
)


def check_pixels(inputs: Inputs, model: nn.Module, transform: PictureTransform | None) -> None:
    """Check ``pixel_values`` ``[B, C, H, W]`` for ``model``.

    Args:
        transform: what prepares its pictures, if that is known.

    Raises:
        InputTypeError: there is no such tensor, or it does not hold floating point numbers.
        InputError: shape, channels, size or values are not what the model takes, or the batch is empty.
    """
    if not isinstance(inputs, Mapping):
        raise InputTypeError(
            f"expected a mapping with a 'pixel_values' tensor [B, C, H, W]; got {type(inputs).__name__}."
        )
    pixels = inputs.get("pixel_values")
    if not isinstance(pixels, Tensor):
        raise InputTypeError(
            f"expected a 'pixel_values' tensor [B, C, H, W]{missing_tensor(inputs, 'pixel_values')}"
        )
    require_plain("pixel_values", pixels)
    if pixels.ndim != 4:
        several = "This row is a batch: give its rows one by one, or the DataLoader itself."
        single = "The first axis counts images, so one [C, H, W] is read as C. Give it as x.unsqueeze(0)."
        advice = several if pixels.ndim > 4 else single
        raise InputError(
            f"pixel_values must be [B, C, H, W]; got shape {tuple(pixels.shape)}. {advice} {OTHER_INPUTS}"
        )
    if not pixels.is_floating_point():
        raise InputTypeError(
            f"pixel_values must be floating point, normalised as the model takes it; got {pixels.dtype}."
        )
    if len(pixels) == 0:
        raise InputError("the batch is empty: give at least one image.")
    require_channels(pixels, getattr(getattr(model, "config", None), "num_channels", None))
    size = fixed_size(model)
    if size is not None and tuple(pixels.shape[-2:]) != size:
        raise InputError(
            f"the model takes {size[0]}×{size[1]} pixels; got {pixels.shape[-2]}×{pixels.shape[-1]}. "
            "Resize the image, or pass raw images together with the model's processor."
        )
    require_finite("pixel_values", pixels)
    require_range(pixels, transform)


def fixed_size(model: nn.Module) -> tuple[int, int] | None:
    """Return rows and columns of the only pictures that ``model`` takes, or ``None`` if it takes several sizes."""
    # A model takes one size only if it has learned positions and does not resize them by itself.
    # DINOv2 always resizes them. ViT resizes them on request, and its forward has a parameter for it.
    asked = "interpolate_pos_encoding" in inspect.signature(model.forward).parameters
    if not asked or not any("position_embedding" in name for name, _ in model.named_parameters()):
        return None
    size = getattr(getattr(model, "config", None), "image_size", None)
    if size is None:
        return None
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
