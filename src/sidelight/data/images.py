"""From whatever a user has (path, PIL image, array) to the model's pixels, and back."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from sidelight.errors import InputError, InputTypeError


def read_image(source: Any) -> Image.Image:
    """Open a path, bytes, PIL image, ``{"bytes": ...}`` row or uint8 array as a PIL image.

    Raises:
        InputError: the file is missing or is not an image.
        InputTypeError: ``source`` is none of the above.
    """
    if isinstance(source, Image.Image):
        return source
    if isinstance(source, Mapping) and (source.get("bytes") or source.get("path")):
        source = source.get("bytes") or source.get("path")
    if isinstance(source, bytes):
        return _open(io.BytesIO(source), f"{len(source)} bytes")
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if not path.is_file():
            raise InputError(f"no image file at {str(path)!r}.")
        return _open(path, repr(str(path)))
    if isinstance(source, np.ndarray):
        return _from_array(source)
    raise InputTypeError(
        f"an image may be a path, a PIL image, bytes or a uint8 array; got {type(source).__name__}."
    )


def _open(source: Any, what: str) -> Image.Image:
    try:
        image = Image.open(source)
        image.load()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise InputError(
            f"cannot read {what} as an image ({error}); it may be truncated or of another type."
        ) from error
    return image


def _from_array(array: np.ndarray) -> Image.Image:
    if array.dtype != np.uint8 or array.ndim not in (2, 3):
        raise InputTypeError(
            f"an image array must be uint8, [H, W] or [H, W, C]; got {array.dtype} {array.shape}. "
            "Give normalised pixels as a torch tensor instead."
        )
    return Image.fromarray(array.squeeze(-1) if array.ndim == 3 and array.shape[-1] == 1 else array)


@dataclass(frozen=True)
class ImageTransform:
    """Resize, convert and normalise one image: a small, serialisable image processor.

    Args:
        size: height and width in pixels.
        mode: ``"RGB"`` (3 channels) or ``"L"`` (1 channel).
        mean, std: per channel, on the [0, 1] scale.
        crop: resize the shorter side and crop the centre, instead of stretching.
        resize_to: with ``crop``, length of the shorter side before cropping (default: the larger of ``size``).
    """

    size: tuple[int, int]
    mode: str = "RGB"
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    crop: bool = False
    resize_to: int | None = None

    def __post_init__(self) -> None:
        channels = {"RGB": 3, "L": 1}.get(self.mode)
        if channels is None:
            raise InputError(f"mode must be 'RGB' or 'L'; got {self.mode!r}.")
        if len(self.mean) != channels or len(self.std) != channels:
            raise InputError(
                f"mode {self.mode!r} needs {channels} mean and std value(s); "
                f"got {len(self.mean)} and {len(self.std)}."
            )

    def __call__(self, source: Any) -> Tensor:
        """``[C, H, W]`` float32, normalised."""
        image = self._fit(flatten_alpha(read_image(source)).convert(self.mode))
        array = np.asarray(image, dtype=np.float32) / 255.0
        pixels = torch.from_numpy(array.copy()).reshape(*self.size, -1).permute(2, 0, 1)
        mean, std = self._stats()
        return (pixels - mean) / std

    def _fit(self, image: Image.Image) -> Image.Image:
        height, width = self.size
        if image.size == (width, height):
            return image
        if not self.crop:
            return image.resize((width, height), Image.Resampling.BILINEAR)
        scale = (self.resize_to or max(height, width)) / min(image.size)
        scale = max(scale, height / image.height, width / image.width)
        resized = image.resize(
            (max(width, round(image.width * scale)), max(height, round(image.height * scale))),
            Image.Resampling.BILINEAR,
        )
        left, top = (resized.width - width) // 2, (resized.height - height) // 2
        return resized.crop((left, top, left + width, top + height))

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


def flatten_alpha(image: Image.Image) -> Image.Image:
    """Lay a transparent image on white, as a viewer would show it."""
    if image.mode in ("RGBA", "LA") or (image.mode == "P" and "transparency" in image.info):
        rgba = image.convert("RGBA")
        background = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(background, rgba).convert("RGB")
    return image


def as_transform(processor: Any) -> ImageTransform | None:
    """An :class:`ImageTransform` that does what a Hugging Face image processor does.

    Reading the processor's own settings, rather than calling it, keeps one code path for
    normalising, for undoing it in pictures, and for knowing what black is.

    Raises:
        InputTypeError: ``processor`` is neither ``None``, an ImageTransform, nor an image processor.
    """
    if processor is None or isinstance(processor, ImageTransform):
        return processor
    processor = getattr(processor, "image_processor", processor)
    if not hasattr(processor, "image_mean") and not hasattr(processor, "size"):
        raise InputTypeError(
            f"processor must be a Hugging Face image processor or an ImageTransform; got {type(processor).__name__}."
        )
    size, crop, resize_to = _processor_size(processor)
    normalise = getattr(processor, "do_normalize", True)
    mean = tuple(float(v) for v in (processor.image_mean or ())) if normalise else (0.0, 0.0, 0.0)
    std = tuple(float(v) for v in (processor.image_std or ())) if normalise else (1.0, 1.0, 1.0)
    return ImageTransform(
        size=size, mode="L" if len(mean) == 1 else "RGB", mean=mean, std=std, crop=crop, resize_to=resize_to
    )


def _processor_size(processor: Any) -> tuple[tuple[int, int], bool, int | None]:
    size = dict(getattr(processor, "size", None) or {})
    crop_size = (
        dict(getattr(processor, "crop_size", None) or {})
        if getattr(processor, "do_center_crop", False)
        else {}
    )
    shortest = size.get("shortest_edge")
    if crop_size:
        side = (int(crop_size["height"]), int(crop_size["width"]))
        return side, True, int(shortest) if shortest else max(side)
    if shortest:
        # ConvNeXt-style: below 384 px, resize by crop_pct and crop the centre.
        crop_pct = getattr(processor, "crop_pct", None)
        side = (int(shortest), int(shortest))
        return (
            (side, True, int(shortest / crop_pct))
            if crop_pct and shortest < 384
            else (side, crop_pct is None, None)
        )
    if "height" not in size:
        raise InputTypeError(
            f"the processor's size {size} is not understood; pass an ImageTransform(size=(H, W), mean=..., std=...)."
        )
    return (int(size["height"]), int(size["width"])), False, None
