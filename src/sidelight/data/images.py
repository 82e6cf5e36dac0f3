"""From whatever a user has (path, PIL image, array) to the model's pixels, and back.

Pictures are read as a viewer would show them: turned by their EXIF orientation, laid on white
where they are transparent, the first frame of an animation, 16-bit grey by its high byte.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from sidelight.errors import InputError, InputTypeError

#: EXIF tag that tells how a camera was held
ORIENTATION = 0x0112

#: Filters by name, as in Pillow; what ``resample`` of a Hugging Face processor numbers.
FILTERS = {f.name.lower(): f for f in Image.Resampling}


def read_image(source: Any) -> Image.Image:
    """Open a path, bytes, PIL image, ``{"bytes": ...}`` row or uint8 array as an upright PIL image.

    Raises:
        InputError: the file is missing or is not an image.
        InputTypeError: ``source`` is none of the above.
    """
    if isinstance(source, Mapping) and (source.get("bytes") or source.get("path")):
        source = source.get("bytes") or source.get("path")
    if isinstance(source, Image.Image):
        return _load(source, f"a {type(source).__name__}")
    if isinstance(source, bytes):
        return _load(io.BytesIO(source), f"{len(source)} bytes")
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if not path.is_file():
            what = "is a folder, not an image file" if path.is_dir() else "does not exist"
            raise InputError(f"{str(path)!r} {what}; give the path of an image.")
        return _load(path, repr(str(path)))
    if isinstance(source, np.ndarray):
        return _from_array(source)
    raise InputTypeError(
        f"an image may be a path, a PIL image, bytes or a uint8 array; got {type(source).__name__}."
    )


def _load(source: Any, what: str) -> Image.Image:
    try:
        image = source if isinstance(source, Image.Image) else Image.open(source)
        image.load()
        if image.getexif().get(ORIENTATION, 1) != 1:
            image = ImageOps.exif_transpose(image)
    except (
        UnidentifiedImageError,
        Image.DecompressionBombError,
        OSError,
        SyntaxError,
        ValueError,
    ) as error:
        raise InputError(
            f"cannot read {what} as an image ({error}); it may be truncated or of another type."
        ) from error
    if 0 in image.size:
        raise InputError(f"{what} is an empty image of {image.width}×{image.height} pixels.")
    return image


def _from_array(array: np.ndarray) -> Image.Image:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or channels not in (1, 3, 4) or array.size == 0:
        raise InputTypeError(
            "an image array must be uint8, [H, W] or [H, W, C] with 1, 3 or 4 channels; "
            f"got {array.dtype} {array.shape}. Give normalised pixels as a torch tensor instead."
        )
    return Image.fromarray(
        np.ascontiguousarray(array[..., 0] if array.ndim == 3 and channels == 1 else array)
    )


@dataclass(frozen=True)
class ImageTransform:
    """Resize, convert and normalise one image: a small, serialisable image processor.

    Args:
        size: height and width in pixels.
        mode: ``"RGB"`` (3 channels) or ``"L"`` (1 channel).
        mean, std: per channel, on the [0, 1] scale.
        crop: resize the shorter side and crop the centre, instead of stretching.
        resize_to: with ``crop``, length of the shorter side before cropping, or ``(height, width)`` to
            stretch to before cropping (default: the larger of ``size``, as the shorter side).
        resample: filter of the resizing, a name in :data:`FILTERS`.
    """

    size: tuple[int, int]
    mode: str = "RGB"
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    crop: bool = False
    resize_to: int | tuple[int, int] | None = None
    resample: str = "bilinear"

    def __post_init__(self) -> None:
        channels = {"RGB": 3, "L": 1}.get(self.mode)
        if channels is None:
            raise InputError(f"mode must be 'RGB' or 'L'; got {self.mode!r}.")
        if len(self.mean) != channels or len(self.std) != channels:
            raise InputError(
                f"mode {self.mode!r} needs {channels} mean and std value(s); "
                f"got {len(self.mean)} and {len(self.std)}."
            )
        if self.resample not in FILTERS:
            raise InputError(f"resample must be one of {', '.join(FILTERS)}; got {self.resample!r}.")
        if len(self.size) != 2 or min(self.size) < 1:
            raise InputError(f"size must be (height, width) in pixels; got {self.size}.")
        if isinstance(self.resize_to, tuple) and (
            len(self.resize_to) != 2 or any(r < s for r, s in zip(self.resize_to, self.size, strict=True))
        ):
            raise InputError(f"resize_to {self.resize_to} must be at least as large as size {self.size}.")

    def __call__(self, source: Any) -> Tensor:
        """``[C, H, W]`` float32, normalised."""
        image = self._fit(flatten_alpha(eight_bits(read_image(source))).convert(self.mode))
        array = np.asarray(image, dtype=np.float32) / 255.0
        pixels = torch.from_numpy(array.copy()).reshape(*self.size, -1).permute(2, 0, 1)
        mean, std = self._stats()
        return (pixels - mean) / std

    def _fit(self, image: Image.Image) -> Image.Image:
        height, width = self.size
        if not self.crop:
            return _resize(image, width, height, self.resample)
        if isinstance(self.resize_to, tuple):
            rows, columns = self.resize_to
        else:
            least = min(image.size)
            # The shorter side never leaves an edge of the crop without pixels.
            fill = max(-(-width * least // image.width), -(-height * least // image.height))
            short = max(self.resize_to or max(height, width), fill)
            # The longer side is cut, not rounded, as Hugging Face's processors and torchvision do.
            columns, rows = (short * side // least for side in image.size)
        image = _resize(image, columns, rows, self.resample)
        left, top = (image.width - width) // 2, (image.height - height) // 2
        return image.crop((left, top, left + width, top + height))

    def _stats(self) -> tuple[Tensor, Tensor]:
        return torch.tensor(self.mean).view(-1, 1, 1), torch.tensor(self.std).view(-1, 1, 1)

    def bounds(self) -> tuple[Tensor, Tensor]:
        """``[C]`` values of black and white after normalisation."""
        mean, std = torch.tensor(self.mean), torch.tensor(self.std)
        return -mean / std, (1 - mean) / std

    def to_display(self, pixels: Tensor) -> np.ndarray:
        """Undo the normalisation: ``[C, H, W]`` to ``[H, W, C]`` in [0, 1]."""
        mean, std = self._stats()
        return (pixels.detach().cpu().float() * std + mean).clamp(0, 1).permute(1, 2, 0).numpy()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ImageTransform:
        """Inverse of :meth:`to_dict`."""
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        try:
            return cls(**fields)
        except TypeError as error:
            raise InputError(f"not the settings of an image transform: {error}.") from error


def _resize(image: Image.Image, width: int, height: int, resample: str) -> Image.Image:
    return image if image.size == (width, height) else image.resize((width, height), FILTERS[resample])


def eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey down to 8 bits, which Pillow's own conversion clips instead.

    Raises:
        InputError: floating-point pixels, whose range no file tells.
    """
    if image.mode == "F":
        raise InputError(
            "the image holds floating-point pixels of unknown range; save it with 8 or 16 bits a channel."
        )
    if image.mode != "I" and not image.mode.startswith("I;16"):
        return image
    # mode "I" is what Pillow makes of 16-bit files that it does not keep as "I;16"
    array = np.asarray(image).astype(np.int64)
    if array.size and (array.min() < 0 or array.max() > 65535):
        raise InputError(
            f"the image holds 32-bit pixels from {array.min()} to {array.max()}; save it with 8 or 16 bits."
        )
    return Image.fromarray((array >> 8).astype(np.uint8))


def flatten_alpha(image: Image.Image) -> Image.Image:
    """Lay a transparent image on white, as a viewer would show it."""
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        background = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(background, rgba).convert("RGB")
    return image


def as_transform(processor: Any) -> ImageTransform | None:
    """An :class:`ImageTransform` that does what a Hugging Face image processor does.

    Reading the processor's own settings, rather than calling it, keeps one code path for
    normalising, for undoing it in pictures, and for knowing what black is. A processor that
    keeps an image's aspect ratio without cropping gives batches of mixed sizes; here the
    centre is cropped.

    Raises:
        InputTypeError: ``processor`` is neither ``None``, an ImageTransform, nor an image processor,
            or it prepares images in a way an ImageTransform cannot.
    """
    if processor is None or isinstance(processor, ImageTransform):
        return processor
    processor = getattr(processor, "image_processor", processor)
    if not hasattr(processor, "image_mean") and not hasattr(processor, "size"):
        raise InputTypeError(
            f"processor must be a Hugging Face image processor or an ImageTransform; got {type(processor).__name__}."
        )
    size, crop, resize_to = _processor_size(processor)
    mean, std = _processor_stats(processor)
    number = getattr(processor, "resample", None)
    names = {int(f): name for name, f in FILTERS.items()}
    return ImageTransform(
        size=size,
        mode="L" if len(mean) == 1 else "RGB",
        mean=mean,
        std=std,
        crop=crop,
        resize_to=resize_to,
        resample=names.get(int(number), "bilinear") if number is not None else "bilinear",
    )


def _processor_stats(processor: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    # (v * factor - offset - mean) / std for v in 0..255, written for pixels on the [0, 1] scale
    mean, std = (_channels(getattr(processor, f"image_{name}", None)) for name in ("mean", "std"))
    if not getattr(processor, "do_normalize", True) or not mean:
        mean, std = (0.0,) * (len(mean) or 3), (1.0,) * (len(mean) or 3)
    rescales = getattr(processor, "do_rescale", True) is not False
    factor = getattr(processor, "rescale_factor", None)
    scale = 255 * float(1 / 255 if factor is None else factor) if rescales else 255.0
    offset = 1.0 if rescales and getattr(processor, "rescale_offset", False) else 0.0
    return tuple((m + offset) / scale for m in mean), tuple(s / scale for s in std)


def _channels(values: Any) -> tuple[float, ...]:
    if values is None:
        return ()
    return (float(values),) * 3 if isinstance(values, (int, float)) else tuple(float(v) for v in values)


def _processor_size(processor: Any) -> tuple[tuple[int, int], bool, int | tuple[int, int] | None]:
    """``(size, crop, resize_to)`` of an :class:`ImageTransform` that resizes and crops alike."""
    size = _size_dict(getattr(processor, "size", None))
    cropped = bool(getattr(processor, "do_center_crop", False))
    crop_size = _size_dict(getattr(processor, "crop_size", None)) if cropped else {}
    shortest = size.get("shortest_edge")
    if getattr(processor, "do_resize", True) is False:
        raise InputTypeError(
            "the processor does not resize (do_resize=False); pass "
            "ImageTransform(size=(H, W), mean=..., std=...), or prepared [B, C, H, W] tensors."
        )
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
    if "height" not in size:
        raise InputTypeError(
            f"the processor's size {size} is not understood; pass an ImageTransform(size=(H, W), mean=..., std=...)."
        )
    return (size["height"], size["width"]), False, None


def _size_dict(size: Any) -> dict[str, int]:
    if isinstance(size, int):
        return {"height": size, "width": size}
    return {k: int(v) for k, v in dict(size or {}).items() if v is not None}
