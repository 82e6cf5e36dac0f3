"""What people may send from outside, e.g. from a browser: sizes of texts and pictures, and how their content is opened.

Only bytes are opened, and never a path that somebody typed. A picture must be one for Pillow, and its size is read from its
header before anything is decoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PIL import Image

from sidelight.core.field_checks import whole
from sidelight.core.guard import public_class
from sidelight.errors import ConfigError, InputError
from sidelight.inputs.picture_files import promised_size, read_image

#: Classifiers read some hundred to some thousand tokens. A longer text only costs time to mark up in the browser.
MAX_CHARACTERS = 20_000
#: A photo of a phone has 2 to 12 MB.
MAX_BYTES = 20 * 2**20
#: A photo of a phone has 12 to 50 megapixels. Decoded, 50 of them take 150 MB.
MAX_PIXELS = 50_000_000


#: within the class, ``bytes`` is a limit
_Content = bytes


@public_class
@dataclass(frozen=True)
class Limits:
    """Sizes that a page, a widget or a service accepts.

    Attributes:
        characters: of a text, at least 1.
        bytes: of a picture's file, at least 1.
        pixels: width times height of a picture, at least 1.

    Raises:
        ConfigError: one of them is no whole number of at least 1.

    Example:
        >>> Limits(characters=500).text("a dull film")
        'a dull film'
    """

    characters: int = MAX_CHARACTERS
    bytes: int = MAX_BYTES
    pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        for name in ("characters", "bytes", "pixels"):
            value = getattr(self, name)
            if (found := whole(value, most=2**62)) is None:
                raise ConfigError(
                    f"the limit {name} must be a whole number of at least 1; got {value!r:.60}."
                )
            object.__setattr__(self, name, found)

    def text(self, text: Any) -> str:
        """``text``, if it is a text of an accepted length that is not empty.

        Raises:
            InputError: it is none.
        """
        if not isinstance(text, str) or not text.strip():
            raise InputError("the text is empty: type at least one word.")
        if len(text) > self.characters:
            raise InputError(
                f"the text has {len(text):,} characters, more than the limit of {self.characters:,}. Give a part of it, or "
                "start with a larger limit for characters."
            )
        # lone halves of a character cannot be sent back to a browser
        return text.encode("utf-8", "replace").decode("utf-8")

    def picture_bytes(self, data: Any) -> _Content:
        """``data``, if it is the content of a file of an accepted size. Nothing is opened.

        Raises:
            InputError: there is no content, or it is too long.
        """
        if not isinstance(data, bytes) or not data:
            raise InputError("there is no picture: choose a file or drop one.")
        if len(data) > self.bytes:
            raise InputError(
                f"the file has {len(data):,} bytes, more than the limit of {self.bytes:,}. Store the picture smaller, or "
                "start with a larger limit for bytes."
            )
        return data

    def picture(self, data: Any) -> Image.Image:
        """The picture in the content of a file.

        Args:
            data: the bytes. A path is refused.

        Raises:
            InputError: there is none, it is too large in bytes or in pixels, or Pillow cannot read it as a picture.
        """
        width, height = promised_size(self.picture_bytes(data))
        if width * height > self.pixels:
            raise InputError(
                f"the picture has {width}×{height} pixels, more than the limit of {self.pixels:,} in all. Make it smaller, "
                "or start with a larger limit for pixels."
            )
        return read_image(data)
