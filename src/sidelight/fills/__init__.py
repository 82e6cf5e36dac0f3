"""What stands in for a removed feature: one file a modality. Importing the room registers all fills."""

from sidelight.fills import image as _image  # registers the fills of images
from sidelight.fills import text as _text  # registers the fills of texts
from sidelight.fills.base import (
    COUNTERPARTS,
    DEFAULT_FILLS,
    FILLS,
    Fill,
    FillContext,
    TokenContext,
    apply_mask,
    complement,
    default_fills,
    fill_values,
    pair_fills,
)

del _image, _text
__all__ = [
    "COUNTERPARTS",
    "DEFAULT_FILLS",
    "FILLS",
    "Fill",
    "FillContext",
    "TokenContext",
    "apply_mask",
    "complement",
    "default_fills",
    "fill_values",
    "pair_fills",
]
