"""Checks that a model takes pictures as pixels, and that its layers give one map a picture."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
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


def check_takes_pixels(model: nn.Module, error: Exception | None = None) -> None:
    """Raise :class:`UnsupportedTargetError` if ``model`` does not take pixels ``[B, C, H, W]``.

    Args:
        error: of a pass of pixels, if there was one.
    """
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
    if isinstance(
        error, (LookupError, AttributeError, TypeError)
    ):  # what a tensor raises that is taken for a mapping
        _require_plain(model)
    _require_argument(model, parameters)
    needed = _needed(parameters)
    if len(needed) > 1:
        raise UnsupportedTargetError(
            f"the forward of {name} needs {', '.join(map(repr, needed))}, but an image classifier is called with its pixels "
            "alone. Give the others a default, or put a small module around it that knows them: def forward(self, x): "
            f"return self.model(x, {'..., ' * (len(needed) - 2)}...)."
        )


class _AskedError(Exception):
    """A model asked its argument for something by name; what it asked for is the only argument, or nothing."""


class _Asked(Mapping[str, Any]):
    """An argument without content that tells what it is asked for, as only a mapping is."""

    def _tell(self, *asked: Any) -> Any:
        raise _AskedError(*asked[:1])

    keys = values = items = pop = _tell

    def __getitem__(self, name: str) -> Any:
        if not isinstance(name, str):
            raise KeyError(name)  # as a tensor is asked
        self._tell(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _require_plain(model: nn.Module) -> None:
    """Raise :class:`UnsupportedTargetError` if ``model`` takes a mapping that holds its pixels."""
    try:
        model(_Asked())
    except _AskedError as asked:
        name = next((repr(a) for a in asked.args if isinstance(a, str)), None)
        which = "which holds its pixels" if name is None else f"in which it looks for {name}"
        raise UnsupportedTargetError(
            f"the forward of {type(model).__name__} takes a mapping, {which}, but an image classifier is called with its "
            "pixels alone, as model(pixels). Put a small module around it: "
            f"def forward(self, x): return self.model({{{name or '...'}: x}})."
        ) from None
    except Exception:  # noqa: BLE001 - it takes no mapping, and fails in its own way
        return


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
