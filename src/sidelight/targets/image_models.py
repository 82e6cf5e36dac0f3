"""Checks that a model takes pictures as pixels, and that its layers give one map a picture."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from sidelight.errors import UnsupportedTargetError
from sidelight.targets.layouts import tensor_of
from sidelight.targets.outputs import is_hugging_face

_BY_PLACE = {
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.VAR_POSITIONAL,
}


def check_takes_pixels(model: nn.Module) -> None:
    """Raise :class:`UnsupportedTargetError` if ``model`` does not take pixels ``[B, C, H, W]``."""
    name, parameters = type(model).__name__, inspect.signature(model.forward).parameters
    if "spatial_shapes" in parameters:
        raise UnsupportedTargetError(
            f"{name} takes patches that its processor cuts out of pictures of any shape, not pixels [B, C, H, W]. "
            "Use a model of fixed size, e.g. SigLIP."
        )
    if "input_ids" in parameters:
        raise UnsupportedTargetError(
            f"{name} reads ids of tokens (of colours, or of words beside the picture), not pixels [B, C, H, W] alone. "
            "Use an image classifier that takes pixel_values."
        )
    _require_argument(model, parameters)
    needed = _needed(parameters)
    if len(needed) > 1:
        raise UnsupportedTargetError(
            f"the forward of {name} needs {', '.join(map(repr, needed))}, but an image classifier is called with its pixels "
            "alone. Give the others a default, or put a small module around it that knows them: def forward(self, x): "
            f"return self.model(x, {'..., ' * (len(needed) - 2)}...)."
        )


def _needed(parameters: Mapping[str, inspect.Parameter]) -> list[str]:
    """Return the names of the arguments without which the forward cannot be called."""
    stars = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [n for n, p in parameters.items() if p.default is p.empty and p.kind not in stars]


def _require_argument(model: nn.Module, parameters: Mapping[str, inspect.Parameter]) -> None:
    """Raise :class:`UnsupportedTargetError` if the forward cannot be called with pixels in the way that we call it."""
    name, kinds = type(model).__name__, {p.kind for p in parameters.values()}
    if is_hugging_face(model):
        # with **kwargs a call may still lack an argument, e.g. of forward(self, x, **kwargs)
        passes_on = inspect.Parameter.VAR_KEYWORD in kinds and not _needed(parameters)
        if "pixel_values" not in parameters and not passes_on:
            raise UnsupportedTargetError(
                f"{name} has a configuration of Hugging Face, so it is called as model(pixel_values=...), but its forward "
                "takes no 'pixel_values'. Name the argument so, or put a plain module around the model: "
                "def forward(self, x): return self.model(x)."
            )
    elif not kinds & _BY_PLACE:
        first = next((p.name for p in parameters.values() if p.kind is p.KEYWORD_ONLY), "x")
        raise UnsupportedTargetError(
            f"the forward of {name} takes its arguments by name only, but an image classifier is called as model(pixels). "
            f"Put a small module around it: def forward(self, x): return self.model({first}=x)."
        )


def require_one_each(model: nn.Module, layers: Sequence[str], outputs: Sequence[Any], pictures: int) -> None:
    """Raise :class:`UnsupportedTargetError` if a named layer gives more or fewer maps than there are ``pictures``."""
    for layer, output in zip(layers, outputs, strict=True):
        found = tensor_of(output)
        # not len(): it is a plain number, and would fix the batch of a traced pass
        if found is not None and tuple(found.shape[:1]) != (pictures,):
            raise UnsupportedTargetError(
                f"layer {layer!r} of {type(model).__name__} gives an output of shape {tuple(found.shape)} for {pictures} "
                "picture(s), so it does not say what belongs to which. Name layers whose first axis counts pictures. If the "
                "model looks at several views of each picture (flips, crops), give the model inside, which looks at one."
            )
