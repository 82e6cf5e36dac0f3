"""Checks of the tensors of any family before the model runs on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sidelight.errors import InputError, InputTypeError

#: what to do with a classifier that reads neither images nor texts
OTHER_INPUTS = (
    "A classifier of other inputs, such as sounds, series, tables, videos or volumes, needs a family of its own: see "
    "docs/extend/target-family.md and docs/extend/modality.md."
)


def missing_tensor(inputs: Mapping[str, Any], wanted: str) -> str:
    """The rest of a sentence about inputs that lack the tensor ``wanted``: what was given, and what to do."""
    if wanted in inputs:
        return f"; got {type(inputs[wanted]).__name__}."
    return f"; got {sorted(map(str, inputs))}. Call it {wanted!r}, or give raw samples."


def require_plain(name: str, value: Tensor) -> None:
    """Raise :class:`InputTypeError` if ``value`` is sparse, nested or on the meta device."""
    if value.layout is not torch.strided or value.is_nested or value.is_meta:
        kinds = {"meta": value.is_meta, "nested": value.is_nested, str(value.layout): True}
        kind = next(name for name, found in kinds.items() if found)
        raise InputTypeError(f"{name} must be an ordinary dense tensor; got a {kind} one.")


def require_channels(pixels: Tensor, channels: int | None) -> None:
    """Raise :class:`InputError` if pixels ``[B, C, H, W]`` have other ``channels`` than the model takes, if that is known."""
    if channels is None or pixels.shape[1] == channels:
        return
    turn = "The channels come last: pixels.permute(0, 3, 1, 2), or image.permute(2, 0, 1) for one image."
    convert = "Convert the image (PIL: image.convert('RGB') or 'L')."
    raise InputError(
        f"the model takes {channels} channel(s); got {pixels.shape[1]} in shape {tuple(pixels.shape)}. "
        f"{turn if pixels.shape[-1] == channels else convert}"
    )


def require_finite(name: str, value: Tensor) -> None:
    """Raise :class:`InputError` if ``value`` holds NaN or infinity, or is no plain tensor."""
    require_plain(name, value)
    if value.is_floating_point() and not bool(torch.isfinite(value).all()):
        bad = (~torch.isfinite(value)).flatten(1).any(1).nonzero().flatten().tolist()
        raise InputError(
            f"{name} holds NaN or infinite values in sample(s) {bad[:8]}; "
            "check the file and the preprocessing that made it."
        )
