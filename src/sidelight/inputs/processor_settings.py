"""From the settings of a Hugging Face image processor to an :class:`ImageTransform` that may do the same.

Whether it does is found out by comparing pixels (:mod:`sidelight.inputs.processors`). Nothing here is taken on trust.
"""

from __future__ import annotations

from typing import Any

from sidelight.errors import InputError
from sidelight.inputs.image_transform import FILTERS, ImageTransform


def from_settings(processor: Any) -> ImageTransform | None:
    """What the usual settings of ``processor`` ask for. ``None`` where they ask for what no transform does."""
    try:
        size, crop, resize_to = _size(processor)
        mean, std = _stats(processor)
        number = getattr(processor, "resample", None)
        names = {int(f): name for name, f in FILTERS.items()}
        return ImageTransform(
            size=size,
            mode="L" if len(mean) == 1 else "RGB",
            mean=mean,
            std=std,
            crop=crop,
            resize_to=resize_to,
            resample="bilinear" if number is None else names[int(number)],
        )
    except (InputError, LookupError, TypeError, ValueError, ArithmeticError):
        return None


def _stats(processor: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    # (v * factor - offset - mean) / std for v in 0..255, written for pixels on the [0, 1] scale
    mean, std = (_channels(getattr(processor, f"image_{name}", None)) for name in ("mean", "std"))
    if not getattr(processor, "do_normalize", True) or not mean:
        mean, std = (0.0,) * (len(mean) or 3), (1.0,) * (len(mean) or 3)
    rescales = getattr(processor, "do_rescale", True) is not False
    factor = getattr(processor, "rescale_factor", None)
    scale = 255.0
    if rescales:
        scale *= float(1 / 255 if factor is None else factor)
    offset = 1.0 if rescales and getattr(processor, "rescale_offset", False) else 0.0
    return tuple((m + offset) / scale for m in mean), tuple(s / scale for s in std)


def _channels(values: Any) -> tuple[float, ...]:
    if values is None:
        return ()
    return (float(values),) * 3 if isinstance(values, (int, float)) else tuple(float(v) for v in values)


def _size(processor: Any) -> tuple[tuple[int, int], bool, int | tuple[int, int] | None]:
    """``(size, crop, resize_to)`` of an :class:`ImageTransform` that resizes and crops alike."""
    size = _size_dict(getattr(processor, "size", None))
    cropped = bool(getattr(processor, "do_center_crop", False))
    crop_size = _size_dict(getattr(processor, "crop_size", None)) if cropped else {}
    shortest = size.get("shortest_edge")
    if getattr(processor, "do_resize", True) is False:
        raise LookupError("pictures keep their size")
    if crop_size and shortest:
        return (crop_size["height"], crop_size["width"]), True, shortest
    if crop_size and "height" in size:
        # DeiT-style: stretch, then crop
        return (crop_size["height"], crop_size["width"]), True, (size["height"], size["width"])
    if shortest:
        # ConvNeXt-style: below 384 px, resize by crop_pct and crop the centre.
        crop_pct = getattr(processor, "crop_pct", None)
        side = (shortest, shortest)
        if crop_pct and shortest < 384:
            return side, True, int(shortest / crop_pct)
        return side, crop_pct is None, None
    return (size["height"], size["width"]), False, None


def _size_dict(size: Any) -> dict[str, int]:
    if isinstance(size, int):
        return {"height": size, "width": size}
    return {k: int(v) for k, v in dict(size or {}).items() if v is not None}
