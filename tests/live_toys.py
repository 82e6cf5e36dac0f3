"""Explainers and inputs for the tests of the widget and the page, with names that would do harm if a page ran them."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

import text_models
from face_toys import TRANSFORM, beside, image_model, pixels
from sidelight import Explainer
from sidelight.targets import as_target

#: runs a script where a page writes it as HTML, and turns the terminal red where a program prints it
HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>\x1b[31m\u202e&amp;'
#: signs of :data:`HOSTILE` in a page that has not escaped it
SIGNS = ("<script>window", "<img src=x", "\x1b", "\u202e")


def hostile_texts() -> Explainer:
    """A text classifier whose class names are hostile."""
    target = as_target(*text_models.make_pair("bert"), class_names=[f"{HOSTILE}{i}" for i in range(3)])
    return beside(target, dict(target.reader.read(text_models.TEXTS).inputs), True)


def hostile_images() -> Explainer:
    """A classifier of pictures whose class names are hostile."""
    target = as_target(image_model(), TRANSFORM, class_names=[f"{HOSTILE}{i}" for i in range(4)])
    return beside(target, {"pixel_values": pixels(1)}, True)


def png(size: tuple[int, int] = (40, 36), seed: int = 0) -> bytes:
    """The content of a PNG file of noise."""
    noise = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    return encoded(Image.fromarray(noise), "PNG")


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The content of a picture's file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def promising_png(width: int, height: int) -> bytes:
    """A PNG of some hundred bytes whose header promises ``width`` × ``height`` grey pixels, and whose data unpack far."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(b"\0" * min(width * height, 10**7), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
