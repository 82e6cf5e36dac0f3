"""Smaller and larger decoders of each modality."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from sidelight.core.registry import Registry
from sidelight.scorers.image import ImageScorer
from sidelight.scorers.text import TextScorer

#: ``(options, factor) -> options to change`` by modality: the decoder's widths times ``factor``.
SIZES: Registry[Callable[[Mapping[str, Any], float], dict[str, Any]]] = Registry("scorer modality")


def scaled_options(decoder: Mapping[str, Mapping[str, Any]], factor: float) -> dict[str, Any]:
    """Options that make the decoders ``factor`` times as wide.

    Args:
        decoder: modality name -> its present options. Options that are not given have their defaults.
        factor: positive. Every width is rounded to one that the decoder can be built with.

    Raises:
        UnknownNameError: a modality without an entry in :data:`SIZES`.

    Example:
        >>> scaled_options({"image": {"channels": [64, 32]}}, 0.5)
        {'channels': [32, 16]}
    """
    return {k: v for name, options in decoder.items() for k, v in SIZES[name](options, factor).items()}


def _option(decoder: type, options: Mapping[str, Any], name: str) -> Any:
    return options.get(name, inspect.signature(decoder).parameters[name].default)


@SIZES.register("image")
def _channels(options: Mapping[str, Any], factor: float) -> dict[str, Any]:
    return {"channels": [max(1, round(c * factor)) for c in _option(ImageScorer, options, "channels")]}


@SIZES.register("text")
def _width(options: Mapping[str, Any], factor: float) -> dict[str, Any]:
    heads = _option(TextScorer, options, "heads")
    return {"width": max(1, round(_option(TextScorer, options, "width") * factor / heads)) * heads}
