"""From whatever a user has (path, PIL image, array) to the model's pixels, and back.

Pictures are read as a viewer would show them. The EXIF orientation turns them, and transparent places become white.
An animation gives its first frame, and 16-bit grey gives its high byte. Processors get that same
picture, so every comparison of pixels begins with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sidelight.errors import InputError, InputTypeError
from sidelight.inputs.image_transform import FILTERS, ImageTransform, eight_bits, flatten_alpha, read_picture
from sidelight.inputs.picture_files import read_image
from sidelight.inputs.processor_settings import from_settings
from sidelight.inputs.processors import TRIED, ProcessorTransform, picture_of

__all__ = [
    "FILTERS",
    "ImageTransform",
    "PictureTransform",
    "ProcessorTransform",
    "as_transform",
    "eight_bits",
    "flatten_alpha",
    "levels_between",
    "nearly_plain",
    "read_image",
    "read_picture",
    "transform_from_dict",
]

#: what prepares pictures: our own settings, or a processor of Hugging Face
PictureTransform = ImageTransform | ProcessorTransform

#: grey levels of 255 by which pixels may differ without a word: resizing by torchvision rounds otherwise than by Pillow
NEAR = 1.5


def as_transform(processor: Any, channels: int | None = None) -> PictureTransform | None:
    """What prepares pictures exactly as a Hugging Face image processor does.

    An :class:`ImageTransform` with the processor's settings, where it gives the same pixels for a few pictures of
    different shapes. Else a :class:`ProcessorTransform`, which calls the processor itself.

    Args:
        processor: a Hugging Face image processor, an object with one as ``image_processor``, one of the two
            transforms, or ``None``.
        channels: of the pixels that the model takes, where that is known.

    Raises:
        InputTypeError: ``processor`` is none of these, or sidelight cannot hand its result on to the model. The
            message names the reason.
    """
    if processor is None or isinstance(processor, PictureTransform):
        return processor
    processor = getattr(processor, "image_processor", processor)
    if isinstance(processor, PictureTransform):
        return processor
    if not _is_processor(processor):
        raise InputTypeError(
            f"processor must be a Hugging Face image processor or an ImageTransform; got {type(processor).__name__}. "
            "Say the steps of another transform, e.g. of torchvision, by ImageTransform(size, mean=..., std=...), or apply it "
            "and give rows of its tensors: {'pixel_values': tensor}."
        )
    theirs = ProcessorTransform(processor, channels)
    ours = from_settings(processor)
    return ours if theirs.same_as(ours) and ours is not None else theirs


def transform_from_dict(values: Mapping[str, Any]) -> PictureTransform:
    """Inverse of ``to_dict`` of either transform.

    Raises:
        InputError: the values are of neither, or the processor cannot be made again.
    """
    return ProcessorTransform.from_dict(values) if "settings" in values else ImageTransform.from_dict(values)


def nearly_plain(transform: ProcessorTransform) -> ImageTransform | None:
    """The plain settings that give the pixels of ``transform`` up to one grey level of 255, or ``None``.

    Processors that resize by torchvision round otherwise than Pillow does.
    """
    ours = from_settings(transform.processor)
    return ours if ours is not None and levels_between(ours, transform) <= NEAR else None


def levels_between(one: PictureTransform, other: PictureTransform) -> float:
    """The largest difference of the pixels of some made-up pictures, in grey levels of 255.

    Infinite if shapes differ, or one of them cannot prepare a picture.
    """
    black, white = other.bounds()
    if black is None or white is None:
        return math.inf
    level, largest = (white - black).abs().view(-1, 1, 1) / 255, 0.0
    for size in TRIED:
        try:
            first, second = one(picture_of(*size)), other(picture_of(*size))
        except InputError:
            return math.inf
        if first.shape != second.shape:
            return math.inf
        largest = max(largest, float(((first - second).abs() / level).max()))
    return largest


def _is_processor(value: Any) -> bool:
    from transformers.image_processing_base import ImageProcessingMixin

    if isinstance(value, type) or not callable(value):
        return False
    return isinstance(value, ImageProcessingMixin) or hasattr(value, "image_mean") or hasattr(value, "size")
