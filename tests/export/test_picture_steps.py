"""The steps from a picture to pixels beside an exported file, where a processor rounds otherwise than Pillow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from rounding_processor import Rounding
from sidelight.export.sidecar import picture_steps
from sidelight.inputs.images import ImageTransform, ProcessorTransform, as_transform

SIZE = {"height": 24, "width": 32}


def test_a_processor_that_rounds_otherwise_has_plain_steps() -> None:
    """Whoever had torchvision got no steps for any processor, so no program without PyTorch could make the pixels."""
    transform = as_transform(Rounding(size=SIZE))
    assert isinstance(transform, ProcessorTransform)  # the explainer itself keeps the processor's pixels
    steps = picture_steps(transform)
    assert (steps["size"], steps["mean"], steps["std"]) == ([24, 32], [0.5] * 3, [0.5] * 3)
    assert steps["resample"] == "bilinear"
    assert "one grey level" in steps["exact"]
    own = ImageTransform((24, 32), mean=(0.5,) * 3, std=(0.5,) * 3)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 40, 3), dtype=np.uint8))
    away = (transform(picture) - own(picture)).abs().max()
    assert float(away) == pytest.approx(1 / 255 / 0.5, rel=1e-3)


@pytest.mark.parametrize("options", [{"levels": 3}, {"do_resize": False}])
def test_other_pixels_have_no_plain_steps(options: dict[str, Any]) -> None:
    steps = picture_steps(as_transform(Rounding(**{"size": SIZE, **options})))
    assert "size" not in steps
    assert steps["processor"] == "Rounding"


class Choosy(Rounding):
    """Takes no picture that is wider than 200 pixels."""

    def _preprocess(self, images: list[Any], **options: Any) -> Any:
        if any(image.shape[-1] > 200 for image in images):
            raise ValueError("too wide")
        return super()._preprocess(images, **options)


def test_a_processor_that_cannot_prepare_every_picture_has_no_plain_steps() -> None:
    assert "size" not in picture_steps(as_transform(Choosy(size=SIZE)))
