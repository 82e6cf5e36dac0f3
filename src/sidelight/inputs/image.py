"""Pictures read for a model: paths, PIL images and arrays as pixels, and pixels as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sidelight.core.files import write_json
from sidelight.core.types import Join, Scores
from sidelight.errors import InputError
from sidelight.inputs.base import Batch, Reader
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

    def prepare(self, samples: Any) -> Batch:
        if isinstance(samples, Tensor):
            return Batch({PIXELS: samples})
        if len(samples) == 0:
            raise InputError("the batch is empty: give at least one image.")
        return Batch({PIXELS: picture_batch(samples, self.transform)})

    def truth(self, evidence: Sequence[Mapping[str, Any]], batch: Batch) -> dict[str, Tensor]:
        """``{"image": [B, 1, H, W]}`` of masks ``[h, w]`` of any size."""
        size = batch.inputs[PIXELS].shape[-2:]
        masks = torch.stack([torch.as_tensor(e["image"]).float() for e in evidence]).unsqueeze(1)
        if masks.shape[-2:] != size:
            masks = nn.functional.interpolate(masks, size=size, mode="nearest")
        return {"image": masks > 0.5}

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
