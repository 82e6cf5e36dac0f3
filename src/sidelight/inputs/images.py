"""From whatever a user has (path, PIL image, array) to the model's pixels, and back.

Pictures are read as a viewer would show them. The EXIF orientation turns them, and transparent places become white.
An animation gives its first frame, and 16-bit grey gives its high byte. Processors get that same
picture, so every comparison of pixels begins with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sidelight.errors import InputTypeError
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
    "nearly_plain",
    "read_image",
    "read_picture",
    "transform_from_dict",
]

#: what prepares pictures: our own settings, or a processor of Hugging Face
PictureTransform = ImageTransform | ProcessorTransform


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
            f"processor must be a Hugging Face image processor or an ImageTransform; got {type(processor).__name__}."
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
    ours, (black, white) = from_settings(transform.processor), transform.bounds()
    if ours is None or black is None or white is None:
        return None
    level = 1.5 * (white - black).abs().view(-1, 1, 1) / 255
    pictures = [picture_of(*size) for size in TRIED]
    pixels = [(transform(picture), ours(picture)) for picture in pictures]
    near = all(
        one.shape == other.shape and bool(((one - other).abs() <= level).all()) for one, other in pixels
    )
    return ours if near else None


def _is_processor(value: Any) -> bool:
    from transformers.image_processing_base import ImageProcessingMixin

    if isinstance(value, type) or not callable(value):
        return False
    return isinstance(value, ImageProcessingMixin) or hasattr(value, "image_mean") or hasattr(value, "size")
