"""Opening pictures: from a path, bytes, an open file, an array or a PIL image to an upright PIL image.

Only formats that Pillow decodes in this process are opened, after a look at size and kind: a file that would start an
external program (EPS starts Ghostscript), or that would fill the memory, is refused before anything is decoded.
Of an animation the first frame alone is decoded.
"""

from __future__ import annotations

import io
import logging
import os
import re
import stat
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from sidelight.core.files import told_of_home
from sidelight.errors import ConfigError, InputError, InputTypeError, SidelightError
from sidelight.inputs.samples import what_else

log = logging.getLogger(__name__)

#: EXIF tag that tells how a camera was held
ORIENTATION = 0x0112
#: TIFF tag that tells what the numbers mean. With 0, white is 0
PHOTOMETRIC = 262
#: formats that are opened, by Pillow's names; all are decoded in process
FORMATS = ("PNG", "JPEG", "MPO", "GIF", "BMP", "DIB", "TIFF", "WEBP", "PPM", "ICO", "AVIF", "JPEG2000")
#: environment variables that set the limits
PIXELS_VARIABLE = "SIDELIGHT_MAX_PIXELS"
BYTES_VARIABLE = "SIDELIGHT_MAX_BYTES"
#: width times height of a picture, unless the environment says otherwise
MAX_PIXELS = 50_000_000
#: bytes of a picture's file, unless the environment says otherwise
MAX_BYTES = 256 * 2**20

#: types that hold what a file holds
CONTENT = (bytes, bytearray, memoryview)

#: how files begin that are not opened, and what they are
_OTHERS = {
    b"%!PS": "PostScript (EPS), which only an external program draws",
    b"\xc5\xd0\xd3\xc6": "EPS, which only an external program draws",
    b"%PDF": "a PDF, which may hold many pictures",
    b"\xd7\xcd\xc6\x9a": "a Windows metafile (WMF)",
    b"<!DOCTYPE": "a web page",
    b"<html": "a web page",
    b"version https://git-lfs": "a Git LFS pointer, not the picture itself: run `git lfs pull` in its folder",
    b"<svg": "an SVG drawing, which has no pixels",
    b"<?xml": "XML, perhaps an SVG drawing, which has no pixels",
    b"8BPS": "a Photoshop document",
}
_URL = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]+://|(?:https?|ftp|s3|gs|hf|file):/|data:[a-z]+/)")
_PNG = b"\x89PNG\r\n\x1a\n"


def read_image(source: Any) -> Image.Image:
    """Open a picture as an upright PIL image: turned by its EXIF orientation, the first frame of an animation.

    Args:
        source: a path, bytes, an open binary file, a PIL image, a row ``{"bytes": ..., "path": ...}``, or a uint8
            array ``[H, W]`` or ``[H, W, C]`` of 1, 3 or 4 channels.

    Raises:
        InputError: the file is missing, is no picture, is of a format that is not opened, or is larger than the limits
            (:data:`MAX_PIXELS`, :data:`MAX_BYTES`; set by :data:`PIXELS_VARIABLE` and :data:`BYTES_VARIABLE`).
        InputTypeError: ``source`` is none of the above.
    """
    if isinstance(source, Mapping) and ("bytes" in source or "path" in source):
        source = _of_row(source)
    if isinstance(source, Image.Image):
        return _from_pillow(source)
    if isinstance(source, CONTENT):
        return _from_bytes(bytes(source))
    if isinstance(source, (str, os.PathLike)):
        return _from_path(os.fspath(source))
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if is_open_file(source):
        return _from_file(source)
    raise InputTypeError(
        "an image may be a path, a PIL image, bytes, an open binary file or a uint8 array; "
        f"got {type(source).__name__}.{what_else(source, 'an image')}"
    )


def is_open_file(value: Any) -> bool:
    """Whether ``value`` is a file that was opened for reading, on a disk or in memory."""
    return hasattr(value, "read") and hasattr(value, "seek")


def max_pixels() -> int:
    """Width times height that a picture may have."""
    return _limit(PIXELS_VARIABLE, MAX_PIXELS)


def require_pixels(width: int, height: int, what: str) -> None:
    """Raise :class:`InputError` where ``what`` has more pixels than :func:`max_pixels`."""
    if width * height > max_pixels():
        raise InputError(
            f"{what} has {width}×{height} pixels, more than the limit of {max_pixels():,} in all. "
            f"Make it smaller, or set the environment variable {PIXELS_VARIABLE} to a larger number."
        )


def _limit(variable: str, default: int) -> int:
    given = os.environ.get(variable, "").strip()
    if not given:
        return default
    if not given.isdecimal() or int(given) < 1:
        raise ConfigError(
            f"the environment variable {variable} must be a whole number of at least 1; got {given!r}."
        )
    return int(given)


def _of_row(row: Mapping[Any, Any]) -> Any:
    held = row.get("bytes") if row.get("bytes") is not None else row.get("path")
    if held is None:
        raise InputError("the image's row holds neither 'bytes' nor a 'path'; give one of them.")
    return held


def _from_path(given: Any) -> Image.Image:
    path = os.fsdecode(given)
    if not path:
        raise InputError("the path of an image is empty ('').")
    shown = repr(path if len(path) <= 300 else f"{path[:200]}...{path[-60:]}")
    if _URL.match(path):
        raise InputError(
            f"{shown} is a URL, and pictures are read from this machine only. Download it and give its path, "
            "or give its bytes."
        )
    try:
        found = os.stat(path)
    except FileNotFoundError as error:
        told = told_of_home(path) or "does not exist; give the path of an image."
        raise InputError(f"{shown} {told}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{shown} cannot be opened ({reason}); give the path of an image.") from error
    if stat.S_ISDIR(found.st_mode):
        raise InputError(f"{shown} is a folder, not an image file; give the path of an image.")
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{shown} is no regular file (a pipe, socket or device); give the path of an image.")
    _require_bytes(found.st_size, shown)
    try:
        with Path(path).open("rb") as file:
            return _decode(file, shown)
    except OSError as error:
        raise InputError(f"{shown} cannot be opened ({error.strerror or error}).") from error


def _from_bytes(data: bytes) -> Image.Image:
    what = f"{len(data)} bytes"
    _require_bytes(len(data), what)
    return _decode(io.BytesIO(data), what)


def _from_file(file: Any) -> Image.Image:
    name = getattr(file, "name", None)
    what = f"the open file {name!r}" if isinstance(name, str) else f"the open {type(file).__name__}"
    most = _limit(BYTES_VARIABLE, MAX_BYTES)
    try:
        place = file.tell()
        file.seek(0)
        data = file.read(most + 1)
        file.seek(place)
    except Exception as error:
        raise InputError(f"{what} cannot be read ({error}); give a file opened for reading bytes.") from error
    if not isinstance(data, bytes):
        raise InputTypeError(f"{what} gives {type(data).__name__}, not bytes: open it with mode 'rb'.")
    _require_bytes(len(data), what)
    return _decode(io.BytesIO(data), what)


def _require_bytes(count: int, what: str) -> None:
    most = _limit(BYTES_VARIABLE, MAX_BYTES)
    if count > most:
        raise InputError(
            f"{what}: the file is larger than the limit of {most:,} bytes. Store the picture smaller, or set the "
            f"environment variable {BYTES_VARIABLE} to a larger number."
        )


def promised_size(data: bytes) -> tuple[int, int]:
    """Width and height that the header of a picture's file promises. Nothing is decoded.

    Args:
        data: the file's content.

    Raises:
        InputError: as :func:`read_image`.

    Example:
        >>> file = io.BytesIO()
        >>> Image.new("L", (3, 2)).save(file, "PNG")
        >>> promised_size(file.getvalue())
        (3, 2)
    """
    what = f"{len(data)} bytes"
    _require_bytes(len(data), what)
    image = _opened(io.BytesIO(data), what)
    return max(_declared(image), key=lambda size: size[0] * size[1])


def _decode(file: IO[bytes], what: str) -> Image.Image:
    return _loaded(_opened(file, what), what)


def _opened(file: IO[bytes], what: str) -> Image.Image:
    try:
        for width, height in _promised(file):
            require_pixels(width, height, what)
        file.seek(0)
        image: Image.Image = Image.open(file, formats=[f for f in FORMATS if _known(f)])
    except SidelightError:
        raise
    except UnidentifiedImageError as error:
        raise _unreadable(what, _kind_of(file)) from error
    except Image.DecompressionBombError as error:
        raise _unreadable(
            what, f"{error}: more than Pillow's own limit, PIL.Image.MAX_IMAGE_PIXELS"
        ) from error
    except Exception as error:  # damaged files raise whatever they like
        raise _unreadable(what, _said(error)) from error
    return image


def _known(name: str) -> bool:
    Image.init()  # once: registers what Pillow was built with
    return name in Image.OPEN


def _from_pillow(image: Image.Image) -> Image.Image:
    what = f"the {type(image).__name__}"
    # an image that was opened and not decoded yet would be so by our first look at it
    pending = isinstance(image, ImageFile.ImageFile) and bool(
        image.tile or getattr(image, "_im", None) is None
    )
    closed = getattr(image, "fp", None) is None if pending else _is_closed(image)
    if closed:
        raise InputError(
            f"{what} was closed before it was read. Rows of a stream are read some at a time: give a copy that outlives the "
            "file, for example image.copy(), or the path of the picture."
        )
    if pending and image.format not in FORMATS:
        raise InputError(
            f"{what} was opened but not decoded yet, and {image.format} is none of the formats that are "
            f"({', '.join(FORMATS)}). If you trust the file, decode it yourself: image.convert('RGB')."
        )
    return _loaded(image, what) if pending else _upright(_not_empty(image, what), what)


def _is_closed(image: Image.Image) -> bool:
    """Whether the pixels of a decoded image were given up by ``close()``."""
    try:
        image.load()
    except ValueError:
        return True
    return False


def _loaded(image: Image.Image, what: str) -> Image.Image:
    try:
        for width, height in _declared(image):
            require_pixels(width, height, what)
        _not_empty(image, what).load()
    except SidelightError:
        raise
    except Exception as error:
        raise _unreadable(what, _said(error)) from error
    return _upright(image, what)


def _declared(image: Image.Image) -> list[tuple[int, int]]:
    """Sizes that the header promises: of the picture, and of what is decoded on the way to it."""
    tags = getattr(image, "tag_v2", None)
    if image.format == "TIFF" and tags is not None:
        return [image.size, (int(tags.get(322, 0)), int(tags.get(323, 0)))]  # tile width and length
    return [image.size]


def _promised(file: IO[bytes]) -> list[tuple[int, int]]:
    """Sizes of what Pillow decodes or makes room for as soon as it opens a file: icons, and the canvas of a WebP."""
    head = file.read(30)
    if head.startswith(b"\0\0\1\0"):
        return _icon_sizes(file, struct.unpack("<H", head[4:6])[0])
    if head[8:16] == b"WEBPVP8X" and len(head) == 30:
        return [tuple(1 + int.from_bytes(head[i : i + 3], "little") for i in (24, 27))]  # type: ignore[list-item]
    return []


def _icon_sizes(file: IO[bytes], count: int) -> list[tuple[int, int]]:
    # An icon's directory says at most 256×256; what counts is the header of each picture in it.
    file.seek(6)
    directory = file.read(16 * count)
    sizes = []
    for (offset,) in struct.iter_unpack("<12xI", directory[: len(directory) // 16 * 16]):
        file.seek(offset)
        head = file.read(24)
        if head.startswith(_PNG) and len(head) == 24:
            sizes.append(struct.unpack(">II", head[16:24]))
        elif len(head) >= 12:
            width, height = struct.unpack("<ii", head[4:12])
            sizes.append((abs(width), abs(height)))
    return sizes


def _not_empty(image: Image.Image, what: str) -> Image.Image:
    if 0 in image.size:
        raise InputError(f"{what} is an empty image of {image.width}×{image.height} pixels.")
    return image


def _upright(image: Image.Image, what: str) -> Image.Image:
    try:
        turned = image.getexif().get(ORIENTATION, 1) != 1
        upright = ImageOps.exif_transpose(image) if turned else image
    except Exception as error:  # noqa: BLE001 - of a damaged EXIF block, in as many ways
        log.warning("the EXIF data of %s are damaged (%s); it is taken as it is stored.", what, _said(error))
        upright = image
    return _with_black_at_zero(upright) if _white_is_zero(image) else upright


def _white_is_zero(image: Image.Image) -> bool:
    """Whether 16-bit grey is stored with white as 0, as scanners and X-ray devices do. Pillow turns 8 bits alone."""
    tags = getattr(image, "tag_v2", None) or {}
    return image.format == "TIFF" and tags.get(PHOTOMETRIC) == 0 and image.mode.startswith("I;16")


def _with_black_at_zero(image: Image.Image) -> Image.Image:
    return Image.fromarray(65535 - np.asarray(image).astype(np.uint16))


def _kind_of(file: IO[bytes]) -> str:
    file.seek(0)
    head = file.read(64)
    if not head:
        return "it is empty"
    found = next((name for start, name in _OTHERS.items() if head.lstrip().startswith(start)), None)
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"mif1", b"hevc"):
        found = "HEIC"
    return f"it is {found}" if found else "it is of no known format"


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if not isinstance(error, (OSError, ValueError)) else str(error)


def _unreadable(what: str, reason: str) -> InputError:
    return InputError(
        f"cannot read {what} as an image ({reason}); it may be truncated or of another type. "
        f"Formats that are read: {', '.join(FORMATS)}."
    )


def _from_array(array: np.ndarray) -> Image.Image:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or channels not in (1, 3, 4) or array.size == 0:
        raise InputTypeError(
            "an image array must be uint8, [H, W] or [H, W, C] with 1, 3 or 4 channels; "
            f"got {array.dtype} {array.shape}. {_way_on(array)}"
        )
    return Image.fromarray(
        np.ascontiguousarray(array[..., 0] if array.ndim == 3 and channels == 1 else array)
    )


def _way_on(array: np.ndarray) -> str:
    """What to do with an array that is no picture."""
    if array.ndim == 4:
        return "Of several pictures make a list: list(array)."
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] not in (1, 3, 4):
        first = "The channels come last: array.transpose(1, 2, 0)."
        return first if array.dtype == np.uint8 else f"{first} {_EIGHT_BITS}"
    if array.dtype.kind == "f" and array.ndim in (2, 3):
        return _EIGHT_BITS
    if array.dtype.kind in "iub" and array.ndim in (2, 3) and array.dtype != np.uint8:
        return _OF_NUMBERS
    return "Give normalised pixels as a torch tensor instead."


#: of arrays of fractions, of which nobody knows what is white
_EIGHT_BITS = (
    "If 1 is white: (array * 255).round().astype('uint8'). If 255 is white: array.round().astype('uint8'). If the pixels are "
    "normalised as the model takes them: torch.tensor(array), [C, H, W]."
)
#: of arrays of whole numbers or truth values, likewise
_OF_NUMBERS = (
    "If 1 or True is white: array.astype('uint8') * 255. If 255 is white: array.astype('uint8'). If 65535 is white: "
    "(array.astype('uint16') // 256).astype('uint8')."
)
