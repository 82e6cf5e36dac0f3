"""A Hugging Face image processor prepares the pictures, so the model gets the processor's own pixels.

A trial on a few pictures shows the processor's mode, whether all results have one size, the order of the channels, and
the values of black and white. If sidelight cannot hand the result on to the model, the trial raises an error. This
happens before any training.
"""

from __future__ import annotations

import copy
import inspect
import json
import logging
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sidelight.errors import InputError, InputTypeError, SidelightError, first_line
from sidelight.inputs.image_transform import read_picture
from sidelight.inputs.picture_files import max_pixels, require_pixels

log = logging.getLogger(__name__)

#: width and height of the pictures that a processor is tried on
TRIED = ((61, 43), (150, 310), (240, 30), (640, 420))
#: colours that tell what a processor does to a channel, on the [0, 1] scale
COLOURS = (
    (0.0, 0.0, 0.0),
    (1.0, 0.0, 0.0),
    (0.0, 1.0, 0.0),
    (0.0, 0.0, 1.0),
    (1.0, 1.0, 1.0),
    (0.2, 0.4, 0.8),
)
#: pixels may differ by this share of their range, which is rounding
ROUNDING = 5e-6
#: a processor that was saved may give pixels that differ by this share of their range before that is said, or refused
DRIFT, OTHER = 1e-3, 0.05
#: pixels of the first tried picture that are kept with a saved processor
KEPT = 24


class ProcessorTransform:
    """The pixels of a Hugging Face image processor, one picture at a time.

    Args:
        processor: a Hugging Face image processor. Later changes of it have no effect here.
        channels: of the pixels that the model takes, where that is known.

    Attributes:
        mode: of the pictures that the processor is given, ``"RGB"`` or ``"L"``.
        channels: of the pixels.
        size: height and width of the pixels, or ``None`` where they depend on the picture.

    Raises:
        InputTypeError: the processor gives something else than one ``[C, H, W]`` tensor a picture, cannot prepare a
            picture alone, or draws at random.
    """

    def __init__(self, processor: Any, channels: int | None = None) -> None:
        self.processor = copy.deepcopy(processor)
        self._saved: Mapping[str, Any] | None = None
        self.name = type(processor).__name__
        _require_sizes(self.processor)
        self.mode, first = self._first_mode(("L", "RGB") if channels == 1 else ("RGB", "L"))
        self._require_repeatable(first)
        self.channels = len(first)
        self._first = tuple(first.shape), _sampled(first), max(float(first.max() - first.min()), 1e-12)
        self._tried = [first, *(self._try(*size) for size in TRIED[1:])]
        sizes = {None if p is None else (int(p.shape[1]), int(p.shape[2])) for p in self._tried}
        self.size: tuple[int, int] | None = sizes.pop() if len(sizes) == 1 else None

    def __call__(self, source: Any) -> Tensor:
        """``[C, H, W]`` float32 pixels of a picture, as the processor gives them.

        Raises:
            InputError: the picture cannot be read, or the processor cannot prepare it.
        """
        picture = read_picture(source, self.mode)
        self._require_elongation(picture)
        try:
            return self._pixels(picture)
        except SidelightError as error:
            raise InputError(str(error)) from error
        except Exception as error:  # of a library that knows the picture as little as we do
            raise InputError(
                f"{self.name} cannot prepare a picture of {picture.width}×{picture.height} pixels ({_said(error)})."
            ) from error

    def same_as(self, other: Callable[[Any], Tensor] | None) -> bool:
        """Whether ``other`` gives the same pixels for every picture that was tried. To be asked once."""
        tried, self._tried = self._tried, []  # they are large
        try:
            return other is not None and all(
                own is not None and _same(own, other(picture_of(*size)))
                for size, own in zip(TRIED, tried, strict=True)
            )
        except InputError:
            return False

    def bounds(self) -> tuple[Tensor, Tensor] | tuple[None, None]:
        """``[C]`` values of black and white. ``None`` where the processor gives both the same."""
        black, white = self._colours[:, 0], self._colours[:, 4]
        return (black, white) if bool(((white - black).abs() > 1e-12).all()) else (None, None)

    def to_display(self, pixels: Tensor) -> np.ndarray:
        """What pixels ``[C, H, W]`` show: ``[H, W, 3]`` in [0, 1], red first, or ``[H, W, 1]``."""
        values = pixels.detach().cpu().float()
        black, white = self.bounds()
        if black is None or white is None:
            return stretched(values)
        values = values - black.view(-1, 1, 1)
        if self._inverse is not None:
            values = torch.einsum("rc,chw->rhw", self._inverse, values)
        else:
            values = values / (white - black).view(-1, 1, 1)
        return drawable(values.clamp(0, 1))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: the processor's class, all its settings, and a few pixels that it gave.

        A processor that was made again tells what was saved. Its pixels were compared with those already.
        """
        if self._saved is not None:
            return dict(self._saved)
        settings = json.loads(self.processor.to_json_string())
        settings.pop("image_processor_type", None)
        cls = type(self.processor)
        return {
            "class": cls.__qualname__,
            "module": cls.__module__,
            "settings": settings,
            "channels": self.channels,
            "shape": list(self._first[0]),
            "pixels": self._first[1].tolist(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ProcessorTransform:
        """Inverse of :meth:`to_dict`.

        Raises:
            InputError: the processor's class is not there, or it gives other pixels than when it was saved.
        """
        name = f"{values.get('module')}.{values.get('class')}"
        try:
            found = cls(_rebuilt(values), values.get("channels"))
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"the image processor {name} cannot be made again from its saved settings ({_said(error)}); "
                "pass processor=... as it was in training."
            ) from error
        found._tried = []
        found._compare(values)
        found._saved = dict(values)
        return found

    def _compare(self, values: Mapping[str, Any]) -> None:
        kept = torch.tensor(values.get("pixels", []))
        shape, now, span = self._first
        same = list(shape) == list(values.get("shape", [])) and kept.shape == now.shape
        away = float((kept - now).abs().max()) / span if same else float("inf")
        if not away <= OTHER:
            raise InputError(
                f"{self.name} gives other pixels than when it was saved, with the same settings; another version of "
                "transformers may be installed. Pass processor=... that prepares pictures as in training."
            )
        if away > DRIFT:
            log.warning(
                "%s gives pixels that differ by %.1f %% of their range from those when it was saved.",
                self.name,
                100 * away,
            )

    # -- trying the processor ---------------------------------------------------------

    def _first_mode(self, modes: tuple[str, ...]) -> tuple[str, Tensor]:
        errors = []
        for mode in modes:
            self.mode = mode
            try:
                return mode, self._pixels(picture_of(*TRIED[0]).convert(mode))
            except SidelightError:
                raise
            except Exception as error:  # noqa: BLE001 - of a library
                errors.append(error)
        hint = " It needs torchvision; AutoImageProcessor.from_pretrained(..., backend='pil') does without."
        needs = getattr(self.processor, "backend", None) == "torchvision" and not _has_torchvision()
        raise InputTypeError(
            f"{self.name} cannot prepare a picture by itself ({_said(errors[0])}).{hint if needs else ''} Pass a processor "
            "of one picture, an ImageTransform(size=(H, W), mean=..., std=...), or prepared [B, C, H, W] tensors."
        ) from errors[0]

    def _require_repeatable(self, first: Tensor) -> None:
        if not bool(torch.isfinite(first).all()):
            raise InputTypeError(f"{self.name} gives NaN or infinite pixels for an ordinary picture.")
        again = self._pixels(picture_of(*TRIED[0]).convert(self.mode))
        if not _same(first, again):
            raise InputTypeError(
                f"{self.name} gives the same picture other pixels each time; switch its random steps off."
            )

    def _try(self, width: int, height: int) -> Tensor | None:
        try:
            return self._pixels(picture_of(width, height).convert(self.mode))
        except SidelightError:
            raise
        except Exception:  # noqa: BLE001 - too small or too long for it, perhaps
            return None

    def _pixels(self, picture: Image.Image) -> Tensor:
        given = dict(self.processor(images=picture, return_tensors="pt"))
        mask = given.pop("pixel_mask", None)
        pixels = given.pop("pixel_values", None)
        if pixels is None or given:
            raise InputTypeError(
                f"{self.name} gives {', '.join(map(repr, sorted(given)))}"
                f"{' besides' if pixels is not None else ' instead of'} 'pixel_values'; sidelight hands the model "
                "pixel_values alone, so it would see something else. Such models are not supported."
            )
        if not isinstance(pixels, Tensor) or pixels.ndim != 4 or len(pixels) != 1:
            shape = tuple(pixels.shape) if isinstance(pixels, Tensor) else type(pixels).__name__
            raise InputTypeError(
                f"{self.name} gives pixel_values of shape {shape} for one picture, where [1, C, H, W] is supported."
            )
        if mask is not None and not bool(torch.as_tensor(mask).bool().all()):
            raise InputTypeError(
                f"{self.name} pads pictures and masks the padding (pixel_mask), which sidelight does not hand to the "
                "model. Switch the padding off, or let it resize every picture to one size."
            )
        return pixels[0].float()

    def _require_elongation(self, picture: Image.Image) -> None:
        # a line of pixels that is resized by its shorter side would fill the memory
        size = _sizes(getattr(self.processor, "size", None))
        short = size.get("shortest_edge")
        if not short or size.get("longest_edge") or getattr(self.processor, "do_resize", True) is False:
            return
        least = min(picture.size)
        width, height = (short * side // least for side in picture.size)
        require_pixels(
            width, height, f"a picture of {picture.width}×{picture.height} pixels, as {self.name} resizes it,"
        )

    @cached_property
    def _colours(self) -> Tensor:
        """``[C, colours]`` what the processor makes of each of :data:`COLOURS`."""
        side = 64 if self.size is None else max(16, min(64, *self.size))
        plain = [Image.new("RGB", (side, side), tuple(round(255 * v) for v in c)) for c in COLOURS]
        return torch.stack([self._pixels(p.convert(self.mode)).flatten(1).median(1).values for p in plain], 1)

    @cached_property
    def _inverse(self) -> Tensor | None:
        """``[3, C]`` from pixels above black to red, green and blue. ``None`` where they do not tell these."""
        seen = self._colours
        forward = seen[:, 1:4] - seen[:, :1]
        if forward.shape[0] != 3 or float(torch.linalg.cond(forward)) > 1e4:
            return None
        mixed = torch.tensor([round(255 * v) / 255 for v in COLOURS[5]])
        expected = torch.stack([forward.sum(1), forward @ mixed], 1)
        away = (expected - (seen[:, 4:] - seen[:, :1])).abs().max()
        return torch.linalg.inv(forward) if float(away) < 0.02 * float(forward.abs().max()) else None


def picture_of(width: int, height: int) -> Image.Image:
    """A picture with colour, edges and fine texture, always the same for a size."""
    rows, columns = np.mgrid[:height, :width]
    noise = np.random.default_rng(width * 10_007 + height).integers(0, 90, (height, width, 3))
    ramp = np.stack([columns * 165 / width, rows * 165 / height, (rows + columns) % 29 * 5], -1)
    return Image.fromarray((ramp + noise).astype(np.uint8))


def stretched(pixels: Tensor) -> np.ndarray:
    """Pixels ``[C, H, W]`` of unknown range as ``[H, W, 1 or 3]`` from 0, their least value, to 1, their largest."""
    values = pixels.detach().cpu().float()
    low, high = values.amin(), values.amax()
    return drawable((values - low) / (high - low).clamp(min=1e-8))


def drawable(values: Tensor) -> np.ndarray:
    """``[C, H, W]`` as ``[H, W, 1 or 3]``: a picture has one or three channels. Of anything else the mean is shown."""
    shown = values.permute(1, 2, 0)
    return (shown if shown.shape[-1] in (1, 3) else shown.mean(-1, keepdim=True)).numpy()


def _same(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    span = max(1.0, float(one.max() - one.min()))
    return float((one - other).abs().max()) <= ROUNDING * span


def _sampled(pixels: Tensor) -> Tensor:
    flat = pixels.flatten()
    return flat[torch.linspace(0, len(flat) - 1, KEPT).long()]


def _rebuilt(values: Mapping[str, Any]) -> Any:
    cls = _class_of(str(values.get("module")), str(values.get("class")))
    settings = dict(values["settings"])
    if "data_config" in settings and "pretrained_cfg" in inspect.signature(cls).parameters:
        # that of timm's models in transformers keeps what it made of this argument, which makes the same again
        settings = {**settings, "pretrained_cfg": settings["data_config"]}
    processor = cls(**settings)
    for key, value in settings.items():
        if value is None:  # a constructor takes None for "the default"
            setattr(processor, key, None)
    return processor


def _class_of(module: str, name: str) -> Any:
    """A class of image processors by name: of transformers, or one that the user's program has defined already."""
    import transformers
    from transformers.image_processing_base import ImageProcessingMixin

    # without torchvision, transformers answers with its class for Pillow. Whether the pixels agree is measured later
    for asked in (name, _without_backend(name)):
        known = getattr(transformers, asked, None)
        if (
            isinstance(known, type)
            and issubclass(known, ImageProcessingMixin)
            and _without_backend(known.__name__) == _without_backend(name)
        ):
            return known
    own = _defined(ImageProcessingMixin, module, name)
    if own is None:
        raise InputError(
            f"the scorer was trained with the image processor {name} of {module}, which is not part of transformers "
            "and not defined in this program: pass processor=... as it was in training."
        )
    return own


def _without_backend(name: str) -> str:
    """The name of a processor without the ending that tells the backend, torchvision or Pillow."""
    return name.removesuffix("Pil").removesuffix("Fast")


def _defined(base: type[Any], module: str, name: str) -> type[Any] | None:
    for cls in base.__subclasses__():
        if (cls.__module__, cls.__qualname__) == (module, name):
            return cls
        deeper = _defined(cls, module, name)
        if deeper is not None:
            return deeper
    return None


def _require_sizes(processor: Any) -> None:
    for name in ("size", "crop_size", "pad_size"):
        size = _sizes(getattr(processor, name, None))
        height, width = size.get("height", 0), size.get("width", 0)
        if height * width > max_pixels():
            require_pixels(width, height, f"the {name} of {type(processor).__name__}")


def _sizes(size: Any) -> dict[str, int]:
    try:
        return {k: int(v) for k, v in dict(size or {}).items() if v is not None}
    except (TypeError, ValueError):
        return {}


def _has_torchvision() -> bool:
    import importlib.util

    return importlib.util.find_spec("torchvision") is not None


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {first_line(error)}"
