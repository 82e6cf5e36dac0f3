"""Fills: the values that stand in for removed features, one file a modality. Importing the room registers all fills."""

from sidelight.fills import image, text

__all__ = ["image", "text"]
