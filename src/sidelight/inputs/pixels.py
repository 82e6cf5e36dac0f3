"""Pixels on their way into a model: one batch of pictures, values that the processor could give, sizes the model takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from sidelight.core.quiet import is_told, warn
from sidelight.errors import InputError, InputTypeError, SidelightError, first_line
from sidelight.inputs.images import PictureTransform, ProcessorTransform, read_image

#: values may lie beyond black and white by so many times the distance of the two
BEYOND = 3.0
#: and beyond this share of that distance without a word: resizing overshoots a little, and noise may be added
OVERSHOOT = 0.25
#: pixels within [0, 1] are doubted if black lies below 0 by more than this share of the same distance, or white above so much
BELOW, ABOVE = 0.1, 20.0
#: what to give in place of other pixels
_PREPARED = (
    "give the pictures themselves, or what processor(images=..., return_tensors='pt')['pixel_values'] gives"
)
#: errors that tell of a device or of memory, never of the pixels given
_DEVICE = re.compile(r"CUDA|cuDNN|CUBLAS|cublas|HIP|NCCL|MPS|out of memory|allocate", re.IGNORECASE)


class PixelRangeWarning(UserWarning):
    """Pixels that came ready do not look like those that the model's processor gives."""


def picture_batch(
    samples: Sequence[Any],
    transform: PictureTransform | None,
    sizes: list[tuple[int, int] | None] | None = None,
) -> Tensor:
    """``[B, C, H, W]`` pixels of pictures, which ``transform`` prepares, and tensors, which are prepared already.

    Args:
        sizes: gets height and width of each upright picture, and ``None`` for each tensor.

    Raises:
        InputError, InputTypeError: one cannot be prepared (the message counts within ``samples``), or they differ in size.
    """
    pixels = []
    for number, sample in enumerate(samples):
        try:
            found, size = (sample, None) if isinstance(sample, Tensor) else _prepared(sample, transform)
        except (InputError, InputTypeError) as error:
            if len(samples) == 1:
                raise
            raise type(error)(f"sample {number}: {error}") from error
        pixels.append(found)
        if sizes is not None:
            sizes.append(size)
    wrong = next((p for p in pixels if not p.is_floating_point()), None)
    if wrong is not None:
        advice = "Give pictures as uint8 arrays, files or PIL images, not as tensors: tensor.permute(1, 2, 0).numpy() of [C, H, W]."
        raise InputTypeError(
            f"pixel_values must be floating point, normalised as the model takes it; got {wrong.dtype}. "
            + ("If it is the label of an image, leave it out." if wrong.ndim == 0 else advice)
        )
    return stacked(pixels, transform)


def _prepared(sample: Any, transform: PictureTransform | None) -> tuple[Tensor, tuple[int, int]]:
    if transform is None:
        raise InputError(
            "raw images need the model's image processor: pass processor=AutoImageProcessor.from_pretrained(...) "
            "or a sidelight ImageTransform, or give normalised [B, C, H, W] tensors."
        )
    if isinstance(sample, tuple):
        raise InputTypeError(
            f"one picture is expected, but the sample is a tuple of {len(sample)}. This model is read as a classifier of "
            "images alone; a pair (image, text) needs a model of both."
        )
    picture = read_image(sample)
    return transform(picture), (picture.height, picture.width)


def stacked(pixels: Sequence[Tensor], transform: PictureTransform | None = None) -> Tensor:
    """Pixels of several pictures, ``[C, H, W]`` each, as one batch. Raises :class:`InputError` where they differ in size."""
    shapes = sorted({tuple(p.shape) for p in pixels})
    if len(shapes) == 1:
        return torch.stack(list(pixels))
    found = f"[{', '.join(map(str, shapes[:4]))}{', ...' if len(shapes) > 4 else ''}]"
    if isinstance(transform, ProcessorTransform) and transform.size is None:
        raise InputError(
            f"images of one batch must share one shape; got {found}. {transform.name} gives each picture a size of its "
            "own (it keeps the aspect ratio, or does not resize). Give pictures of one size, explain them one at a time, "
            "or choose one size: processor=ImageTransform(size=(H, W), crop=True, mean=..., std=...) crops the centre."
        )
    raise InputError(f"images of one batch must share one shape; got {found}.")


def require_range(pixels: Tensor, transform: PictureTransform | None) -> None:
    """Raise :class:`InputError` where ``pixels`` lie far beyond what ``transform`` makes of black and white.

    Warns: PixelRangeWarning: they lie a little less far beyond, or look like pixels in [0, 1] that were not normalised.
    """
    black, white = transform.bounds() if transform is not None else (None, None)
    if black is None or white is None or not pixels.numel():
        return
    low, high = float(torch.minimum(black, white).min()), float(torch.maximum(black, white).max())
    least, most, margin = float(pixels.detach().min()), float(pixels.detach().max()), BEYOND * (high - low)
    if least < low - margin or most > high + margin:
        raise InputError(
            f"pixel_values reach from {least:.4g} to {most:.4g}, but the processor gives values from {low:.4g} to "
            f"{high:.4g}. They look like raw pixels that were not normalised: {_PREPARED}."
        )
    if least == most or is_told(PixelRangeWarning):  # one colour may be anything
        return
    doubt = _doubt(least, most, low, high)
    if doubt is not None and not _on_levels(pixels, black, white):
        # without numbers of the pixels, so that Python shows it once, not for each of many batches
        warn(
            f"pixel_values {doubt}, but the processor gives values from {low:.4g} to {high:.4g}. If they were prepared in "
            f"another way than in the model's training, prediction and map are wrong: {_PREPARED}.",
            PixelRangeWarning,
            stacklevel=3,
        )


def _doubt(least: float, most: float, low: float, high: float) -> str | None:
    """What is odd about pixels from ``least`` to ``most``, if a processor gives values from ``low`` to ``high``."""
    span = high - low
    if least < low - OVERSHOOT * span or most > high + OVERSHOOT * span:
        return "lie far beyond black and white"
    if least >= 0 and most <= 1 and (low < -BELOW * span or high > ABOVE):
        return "all lie between 0 and 1, like pixels that were not normalised"
    return None


def _on_levels(pixels: Tensor, black: Tensor, white: Tensor) -> bool:
    """Whether ``pixels`` are grey levels of 0 to 255 as the processor scales them, such as those of a very bright picture."""
    if pixels.shape[1] != len(black):
        return False
    low, high = (bound.to(pixels.device).float().view(1, -1, 1, 1) for bound in (black, white))
    levels = (pixels.detach().float() - low) / (high - low) * 255
    rounded = levels.round()
    return bool(((levels - rounded).abs() < 0.01).all() and (rounded >= 0).all() and (rounded <= 255).all())


def blamed(
    error: Exception, run: Callable[[Tensor], Any], pixels: Tensor, good: Tensor | None, name: str
) -> InputError | None:
    """The error to raise where ``pixels`` are why ``run`` failed. ``None`` where they may not be.

    They are if the same pass works with pixels of another shape, which fit. Where none are known that fit, the words of
    the error decide.

    Args:
        error: what ``run(pixels)`` raised.
        pixels: ``[B, C, H, W]``.
        good: pixels that the model takes, where they are known.
    """
    if isinstance(error, (SidelightError, MemoryError, torch.OutOfMemoryError, torch.AcceleratorError)):
        return None
    if good is not None and good.shape[1:] == pixels.shape[1:]:
        return None  # the model takes such pixels
    if _DEVICE.search(str(error)) or not _fits(error, run, good):
        return None
    shape = "×".join(map(str, pixels.shape[1:]))
    said = first_line(error, None)
    hint = "" if good is None else f" It takes {'×'.join(map(str, good.shape[1:]))}, for example."
    return InputError(f"{name} cannot take pixels of shape {shape}: {said}.{hint}")


def _fits(error: Exception, run: Callable[[Tensor], Any], good: Tensor | None) -> bool:
    if good is None:
        return isinstance(error, RuntimeError) and any(w in str(error) for w in ("channels", "shape", "size"))
    try:
        with torch.no_grad():
            run(good)
    except Exception:  # noqa: BLE001 - the model fails with whatever it is given
        return False
    return True
