"""Pictures read for a model: paths, PIL images and arrays as pixels, and pixels as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from sidelight.core.columns import column_of
from sidelight.core.files import write_json
from sidelight.core.types import Join, Scores
from sidelight.errors import InputError
from sidelight.inputs.base import Batch, Reader
from sidelight.inputs.image_transform import ImageTransform
from sidelight.inputs.images import PictureTransform, as_transform
from sidelight.inputs.loading import TRANSFORM_FILE, load_transform
from sidelight.inputs.pixels import picture_batch
from sidelight.inputs.processors import stretched

PIXELS = "pixel_values"


class ImageReader(Reader):
    """Reads pictures.

    Args:
        processor: Hugging Face image processor or :class:`ImageTransform`. ``None`` if pixels come prepared.
        channels: of the pixels that the model takes, if that is known.

    Raises:
        InputTypeError: ``processor`` is none.
    """

    modalities = ("image",)

    def __init__(self, processor: Any = None, channels: int | None = None) -> None:
        #: as it was given; the model by itself is called with it
        self.processor = processor
        self.transform: PictureTransform | None = as_transform(processor, channels)

    def is_row(self, value: Any) -> bool:
        picture = value.get(column_of(value, "image")) if isinstance(value, Mapping) else None
        if isinstance(picture, Tensor):
            return picture.ndim == 3
        # an array [B, H, W] is a column of grey pictures
        return isinstance(picture, np.ndarray) and picture.ndim == 3 and picture.shape[-1] in (1, 3, 4)

    def prepare(self, samples: Any) -> Batch:
        if isinstance(samples, Tensor):
            return Batch({PIXELS: samples})
        if len(samples) == 0:
            raise InputError("the batch is empty: give at least one image.")
        sizes: list[tuple[int, int] | None] = []
        return Batch({PIXELS: picture_batch(samples, self.transform, sizes)}, sizes=sizes)

    def truth(self, evidence: Sequence[Mapping[str, Any]], batch: Batch) -> dict[str, Tensor]:
        """``{"image": [B, 1, H, W]}`` of masks ``[h, w]`` of any sizes.

        A mask goes the way of its picture: what resizes, crops or pads one does so to the other.

        Raises:
            InputError: a mask is not [h, w] numbers, or lies across its picture.
        """
        size = tuple(batch.inputs[PIXELS].shape[-2:])
        masks = [_mask(e["image"], number) for number, e in enumerate(evidence)]
        for number, (mask, shown) in enumerate(zip(masks, batch.sizes, strict=False)):
            _require_same_way(mask, shown, number)
        return {"image": torch.stack([self._placed(mask, size) for mask in masks]).unsqueeze(1)}

    def _placed(self, mask: Tensor, size: tuple[int, ...]) -> Tensor:
        """``[h, w]`` bool to ``[H, W]`` bool."""
        whole = type(self.transform) is ImageTransform and not self.transform.crop
        if self.transform is None or whole:  # only stretched, so that masks stay what they were
            return nn.functional.interpolate(mask[None, None].float(), size=size, mode="nearest")[0, 0] > 0.5
        picture = Image.fromarray(mask.cpu().numpy().astype(np.uint8) * 255)
        black, white = (Image.new("L", picture.size, value) for value in (0, 255))
        found, none, every = (self.transform(p) for p in (picture, black, white))
        # what the transform adds at the sides is alike in all three, and is no evidence
        placed: Tensor = (found - none).abs().sum(0) > (found - every).abs().sum(0)
        return placed

    def show(self, batch: Batch, real: Mapping[str, Tensor]) -> list[dict[str, Any]]:
        """``{"image": [H, W, C] in [0, 1]}`` per sample, the picture as the model saw it."""
        picture = stretched if self.transform is None else self.transform.to_display
        return [{"image": picture(p)} for p in batch.inputs[PIXELS]]

    def show_scores(
        self, batch: Batch, scores: Scores, real: Mapping[str, Tensor], join: Join = "max"
    ) -> list[dict[str, Any]]:
        """``{"image": [H, W]}`` per sample."""
        return [{"image": s[0].float().cpu().numpy()} for s in scores["image"]]

    def state(self) -> dict[str, Any]:
        return self.transform.to_dict() if self.transform is not None else {}

    def save(self, folder: Path) -> None:
        if self.transform is not None:
            write_json(folder / TRANSFORM_FILE, self.transform.to_dict())

    @classmethod
    def load(cls, name: str, state: Mapping[str, Any], revision: str | None = None) -> Any:
        return load_transform(name, state, revision)


def _mask(values: Any, number: int) -> Tensor:
    """``[h, w]`` bool of the evidence in the picture of row ``number``: an array, a tensor or a picture of one channel."""
    found: Tensor | None = None
    with suppress(TypeError, ValueError, RuntimeError):
        found = torch.as_tensor(np.array(values) if isinstance(values, Image.Image) else values)
    if found is None or found.ndim != 2 or found.numel() == 0 or found.is_complex():
        given = type(values).__name__ if found is None else f"shape {tuple(found.shape)}"
        raise InputError(
            f"the evidence of row {number} must be a mask of its picture, a boolean array [H, W]; got {given}."
        )
    return found.float() > 0.5


def _require_same_way(mask: Tensor, size: tuple[int, int] | None, number: int) -> None:
    """Raise :class:`InputError` if ``mask`` has the proportions of its picture, which has ``size``, but turned by 90 degrees.

    It would be stretched until it fits, and mark other places.
    """
    (h, w), (height, width) = mask.shape, size or mask.shape
    if h * width != w * height and h * height == w * width:
        raise InputError(
            f"the evidence of row {number} is a mask of {h} rows and {w} columns, and its picture has {height} rows and {width} "
            "columns: the mask is turned. Masks are [H, W] of the picture as a viewer shows it. If the axes are [W, H], give "
            "mask.T. If EXIF turns the picture, turn the mask likewise, or apply PIL.ImageOps.exif_transpose before you mark."
        )
