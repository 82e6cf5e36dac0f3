"""Every image processor that the installed transformers can make, and pictures to try them on."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import transformers
from PIL import Image
from transformers.image_processing_base import ImageProcessingMixin

#: classes that take no picture without more than their defaults: what they are made with instead
SETTINGS: dict[str, dict[str, Any]] = {
    "ImageGPTImageProcessorPil": {"clusters": np.linspace(-1, 1, 24).reshape(8, 3).tolist()},
    "LayoutLMv2ImageProcessorPil": {"apply_ocr": False},
    "LayoutLMv3ImageProcessorPil": {"apply_ocr": False},
}


def modules() -> Iterator[Any]:
    """Modules of image processors that can be imported (those of torchvision cannot without it)."""
    root = Path(transformers.__file__).parent / "models"
    for path in sorted(root.glob("*/image_processing_*.py")):
        try:
            yield importlib.import_module(f"transformers.models.{path.parent.name}.{path.stem}")
        except ModuleNotFoundError as error:
            if error.name != "torchvision":
                raise


@cache
def classes() -> dict[str, type]:
    """Classes by name; of a class for both backends the one of Pillow, because the other one needs torchvision."""
    found: dict[str, type] = {}
    for module in modules():
        own = [c for c in vars(module).values() if inspect.isclass(c) and c.__module__ == module.__name__]
        found |= {c.__name__: c for c in own if issubclass(c, ImageProcessingMixin)}
    return {n: c for n, c in sorted(found.items()) if f"{n}Pil" not in found}


def made(name: str, **settings: Any) -> Any:
    """A processor of class ``name`` with its defaults but for ``settings``."""
    return classes()[name](**{**SETTINGS.get(name, {}), **settings})


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    """Colour ramps with texture, so that a wrong filter, a shifted crop or swapped channels show."""
    rows, columns = np.mgrid[:height, :width]
    noise = np.random.default_rng(seed).integers(0, 60, (height, width, 3))
    base = np.stack(
        [columns * 190 / width, rows * 120 / height, (rows + columns) * 60 / (width + height)], -1
    )
    return Image.fromarray((base + noise).astype(np.uint8))


def photos() -> list[Image.Image]:
    """A large landscape, a small portrait, a line of pixels, a picture in three like greys."""
    return [photo(301, 200), photo(40, 67, 1), photo(30, 2, 2), photo(90, 90, 3).convert("L").convert("RGB")]
