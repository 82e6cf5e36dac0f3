"""Fills: the values that stand in for removed features, one file a modality. Importing the room registers all fills."""

from sidelight.fills import image, text
from sidelight.fills.base import FILLS, Fill, FillContext

__all__ = ["FILLS", "Fill", "FillContext", "image", "text"]
