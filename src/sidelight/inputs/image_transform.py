"""From a picture to the model's pixels, and back: resize, convert, normalise, by plain settings.

First a picture becomes the one that a viewer would show: transparent places become white, and 16-bit grey gives its
high byte.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sidelight.core.guard import public_class
from sidelight.errors import InputError
from sidelight.inputs.picture_files import read_image, require_pixels

log = logging.getLogger(__name__)

#: Filters by name, as in Pillow; what ``resample`` of a Hugging Face processor numbers.
FILTERS = {f.name.lower(): f for f in Image.Resampling}


def read_picture(source: Any, mode: str = "RGB") -> Image.Image:
    """A picture as a viewer would show it, in ``mode``. Transforms and processors get this picture.

    Args:
        source: see :func:`~sidelight.inputs.picture_files.read_image`.
        mode: ``"RGB"`` or ``"L"``.

    Raises:
        InputError, InputTypeError: it cannot be read, or holds pixels of unknown range.
    """
    return flatten_alpha(eight_bits(read_image(source))).convert(mode)


@public_class
@dataclass(frozen=True)
class ImageTransform:
    """Resize, convert and normalise one image. This is a small image processor that can be saved.

    A pixel ``p`` in [0, 1] becomes ``(p - mean) / std``. The defaults of 0.5 map black to -1 and white to 1. They are a
    guess: give the ``mean`` and ``std`` that your model was trained with. Other values give it other pixels. Then its
    predictions and maps are wrong, and no error says so. For a model that reads pixels in [0, 1] as they are, give a mean
    of 0 and a std of 1. ``mode="L"`` needs one value each, because the defaults have three.

    Args:
        size: height and width in pixels.
        mode: ``"RGB"`` (3 channels) or ``"L"`` (1 channel).
        mean, std: one value per channel, on the [0, 1] scale.
        crop: resize the shorter side and crop the centre, instead of stretching.
        resize_to: with ``crop``, length of the shorter side before cropping, or ``(height, width)`` to
            stretch to before cropping. The default is the larger of ``size``, as the shorter side.
        resample: filter of the resizing, a name in :data:`FILTERS`.
        centre: where a crop begins if the margin is odd: ``"down"`` as processors of Hugging Face do, or ``"even"`` as
            torchvision's ``CenterCrop`` does, which rounds half a pixel to the even number.

    Example:
        >>> white = np.full((8, 8, 3), 255, dtype=np.uint8)
        >>> ImageTransform((4, 4))(white).max()
        tensor(1.)
        >>> imagenet = ImageTransform((4, 4), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
        >>> imagenet(white).amax((1, 2))
        tensor([2.2489, 2.4286, 2.6400])
    """

    size: Sequence[int]
    mode: str = "RGB"
    mean: Sequence[float] = (0.5, 0.5, 0.5)
    std: Sequence[float] = (0.5, 0.5, 0.5)
    crop: bool = False
    resize_to: int | Sequence[int] | None = None
    resample: str = "bilinear"
    centre: str = "down"

    def __post_init__(self) -> None:
        _require_types(self)
        _warn_of_scale(self.mean)
        # a list says the same, but cannot be compared or hashed
        for name in ("size", "mean", "std", "resize_to"):
            if isinstance(values := getattr(self, name), list):
                object.__setattr__(self, name, tuple(values))
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
        if self.centre not in ("down", "even"):
            raise InputError(f"centre must be 'down' or 'even'; got {self.centre!r}.")
        if len(self.size) != 2 or min(self.size) < 1:
            raise InputError(f"size must be (height, width) in pixels; got {self.size}.")
        if isinstance(self.resize_to, tuple) and (
            len(self.resize_to) != 2 or any(r < s for r, s in zip(self.resize_to, self.size, strict=True))
        ):
            raise InputError(f"resize_to {self.resize_to} must be at least as large as size {self.size}.")

    def __call__(self, source: Any) -> Tensor:
        """``[C, H, W]`` float32, normalised.

        Raises:
            InputError: the picture cannot be read, or is too large.
        """
        image = self._fit(read_picture(source, self.mode))
        array = np.asarray(image, dtype=np.float32) / 255.0
        pixels = torch.from_numpy(array.copy()).reshape(*self.size, -1).permute(2, 0, 1)
        mean, std = self._stats()
        return (pixels - mean) / std

    def _fit(self, image: Image.Image) -> Image.Image:
        height, width = self.size
        if not self.crop:
            return _resize(image, width, height, self.resample)
        if isinstance(self.resize_to, Sequence):
            rows, columns = self.resize_to
        else:
            least = min(image.size)
            # The shorter side never leaves an edge of the crop without pixels.
            fill = max(-(-width * least // image.width), -(-height * least // image.height))
            short = max(self.resize_to or max(height, width), fill)
            # The longer side is cut, not rounded, as Hugging Face's processors and torchvision do.
            columns, rows = (short * side // least for side in image.size)
        require_pixels(
            columns, rows, f"a picture of {image.width}×{image.height} pixels, resized to be cropped,"
        )
        image = _resize(image, columns, rows, self.resample)
        begin = {"down": lambda margin: margin // 2, "even": lambda margin: round(margin / 2)}[self.centre]
        left, top = begin(image.width - width), begin(image.height - height)
        return image.crop((left, top, left + width, top + height))

    def _stats(self) -> tuple[Tensor, Tensor]:
        mean, std = self._values()
        return mean.view(-1, 1, 1), std.view(-1, 1, 1)

    def _values(self) -> tuple[Tensor, Tensor]:
        # the caller's default dtype may not be float32, nor the default device the CPU
        mean, std = (torch.tensor(v, dtype=torch.float32, device="cpu") for v in (self.mean, self.std))
        return mean, std

    @property
    def channels(self) -> int:
        """Number of channels of the pixels, 3 or 1."""
        return len(self.mean)

    def bounds(self) -> tuple[Tensor, Tensor]:
        """``[C]`` values of black and white after normalisation."""
        mean, std = self._values()
        return -mean / std, (1 - mean) / std

    def to_display(self, pixels: Tensor) -> np.ndarray:
        """Undo the normalisation: ``[C, H, W]`` to ``[H, W, C]`` in [0, 1]."""
        mean, std = self._stats()
        return (pixels.detach().cpu().float() * std + mean).clamp(0, 1).permute(1, 2, 0).numpy()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        # earlier versions do not know the newest setting
        return {k: v for k, v in values.items() if k != "centre" or v != "down"}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ImageTransform:
        """Inverse of :meth:`to_dict`. Raises :class:`InputError` for anything else."""
        if not isinstance(values, Mapping):
            raise InputError(
                f"the settings of an image transform are a mapping; got {type(values).__name__}."
            )
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        try:
            return cls(**fields)
        except TypeError as error:
            raise InputError(f"not the settings of an image transform: {error}.") from error


#: the longest side that a transform may make, in pixels
_LONGEST_SIDE = 65_535


def _require_types(transform: ImageTransform) -> None:
    """Raise :class:`InputError` for settings of another type than is documented. They may come from a file."""
    for name in ("mean", "std"):
        values = getattr(transform, name)
        if not isinstance(values, (tuple, list)) or not all(map(_is_number, values)):
            raise InputError(
                f"{name} must be a tuple of finite numbers, one a channel, e.g. (0.5, 0.5, 0.5); got {values!r}."
            )
    if any(v <= 0 for v in transform.std):
        raise InputError(f"std must be above 0; got {transform.std!r}.")
    if not isinstance(transform.size, (tuple, list)) or not all(map(_is_side, transform.size)):
        raise InputError(f"size must be (height, width) in pixels, e.g. (224, 224); got {transform.size!r}.")
    sides = transform.resize_to if isinstance(transform.resize_to, (tuple, list)) else (transform.resize_to,)
    if transform.resize_to is not None and not all(map(_is_side, sides)):
        raise InputError(
            f"resize_to must be pixels, as a number or (height, width); got {transform.resize_to!r}."
        )
    if not isinstance(transform.crop, (bool, np.bool_)):
        raise InputError(f"crop must be True or False; got {transform.crop!r}.")
    if not isinstance(transform.mode, str) or not isinstance(transform.resample, str):
        raise InputError(f"mode and resample are names; got {transform.mode!r} and {transform.resample!r}.")


def _warn_of_scale(mean: Sequence[float]) -> None:
    """Say that a mean of pixels from 0 to 255, as older code has it, stands beside pixels from 0 to 1."""
    if any(value > 1 for value in mean):
        # a warning and no error: a model may have been trained with this very mistake
        log.warning(
            "ImageTransform has mean=%s, but here pixels lie between 0 and 1 before the mean is subtracted. If mean and std are "
            "for pixels from 0 to 255, divide both by 255. Otherwise prediction and map are wrong.",
            tuple(float(value) for value in mean),
        )


def _is_number(value: Any) -> bool:
    real = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    return real and abs(value) < 1e30  # false for NaN too


def _is_side(value: Any) -> bool:
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return whole and 1 <= value <= _LONGEST_SIDE


def _resize(image: Image.Image, width: int, height: int, resample: str) -> Image.Image:
    return image if image.size == (width, height) else image.resize((width, height), FILTERS[resample])


def eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey down to 8 bits, which Pillow's own conversion clips instead.

    Raises:
        InputError: floating-point pixels, whose range no file tells, or whole numbers that may have 8 bits or 16.
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
    if image.mode == "I" and image.format is None and array.size and 0 < array.max() <= 255:
        raise InputError(
            f"the image was made of whole numbers up to {array.max()}, and nothing tells whether white is 255 or 65535. Give "
            "Image.fromarray(array.astype('uint8')) for the one, and astype('uint16') for the other."
        )
    grey = Image.fromarray((array >> 8).astype(np.uint8))
    # one value of 16 bits may be transparent, which fewer bits do not tell from its neighbours
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        grey.putalpha(Image.fromarray(np.where(array == clear, 0, 255).astype(np.uint8)))
    return grey


def flatten_alpha(image: Image.Image) -> Image.Image:
    """Lay a transparent image on white, as a viewer would show it."""
    # a palette may hold alpha itself, as that of quantize() does
    palette = image.palette if image.mode == "P" else None
    has_alpha = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or (palette and palette.mode.endswith("A"))
    if has_alpha or "transparency" in image.info:
        # Pillow turns grey with premultiplied alpha into plain grey with alpha only
        rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        background = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(background, rgba).convert("RGB")
    return image
