"""What measures take: tensors, arrays and lists of any precision, whose shapes and flags are checked."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec

import torch
from torch import Tensor

from sidelight.errors import InputError, InputTypeError

P = ParamSpec("P")
#: arguments that mark features by true and false
FLAGS = frozenset({"real", "truth", "measured"})


def on_tensors(*axes: str) -> Callable[[Callable[P, Tensor]], Callable[P, Tensor]]:
    """Decorator of measures, whose first arguments are tensors, arrays or lists.

    Integers become float64, and half precision becomes float32, because sums over many scores would be rounded or overflow.
    Flags may be numbers 0 and 1. If a real feature of a sample is NaN or infinite, the sample gets NaN.

    Args:
        axes: of each argument, a letter for an axis. Equal letters are equal sizes. After a ``*`` the first axis may lack.

    Raises:
        InputTypeError: an argument is no tensor of real numbers.
        InputError: its shape does not fit, or flags are neither 0 nor 1.
    """

    def decorator(function: Callable[P, Tensor]) -> Callable[P, Tensor]:
        signature = inspect.signature(function)
        names = dict(zip(signature.parameters, axes, strict=False))

        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> Tensor:
            bound = signature.bind(*args, **kwargs)
            given = {n: v for n, v in bound.arguments.items() if n in names and v is not None}
            found = {name: _tensor(name, value) for name, value in given.items()}
            _require_shapes(found, names)
            bound.arguments.update(found)
            return _known(function(*bound.args, **bound.kwargs), found)

        return checked

    return decorator


def _tensor(name: str, value: Any) -> Tensor:
    try:
        tensor = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputTypeError(
            f"{name} must be a tensor, an array or a list of numbers; got {type(value).__name__} ({error})."
        ) from error
    if tensor.is_complex():
        raise InputTypeError(f"{name} must be real numbers; got complex ones.")
    if name in FLAGS:
        return _flags(name, tensor)
    if not tensor.is_floating_point():
        return tensor.double()
    return tensor.float() if tensor.dtype.itemsize < 4 else tensor


def _flags(name: str, tensor: Tensor) -> Tensor:
    if tensor.dtype != torch.bool and not bool(((tensor == 0) | (tensor == 1)).all()):
        raise InputError(
            f"{name} must mark features by true and false, or 1 and 0; other values were found. Compare them first, e.g. "
            f"{name}={name} == 1."
        )
    return tensor.bool()


def _require_shapes(found: dict[str, Tensor], names: dict[str, str]) -> None:
    sizes: dict[str, int] = {}
    for name, tensor in found.items():
        axes = names[name].lstrip("*")
        if axes != names[name] and tensor.ndim == len(axes) - 1:
            axes = axes[1:]
        shape = dict(zip(axes, tensor.shape, strict=False))
        if tensor.ndim != len(axes) or any(sizes.get(a, size) != size for a, size in shape.items()):
            known = ", ".join(f"{axis} = {size}" for axis, size in sizes.items())
            raise InputError(
                f"{name} must have the shape [{', '.join(axes)}]{f' with {known}' if known else ''}; got "
                f"{list(tensor.shape)}."
            )
        sizes |= shape


def _known(result: Tensor, given: dict[str, Tensor]) -> Tensor:
    """``result [B, ...]`` with NaN for each sample that has a value that is not finite."""
    real = given.get("real", given.get("measured"))
    for name, value in given.items():
        if name in FLAGS or len(value) != len(result):
            continue
        odd = ~torch.isfinite(value)
        if real is not None and real.shape == odd.shape:
            odd &= real
        rows = odd.reshape(len(result), -1).any(1).reshape(-1, *[1] * (result.ndim - 1))
        result = result.masked_fill(rows.to(result.device), torch.nan)
    return result
