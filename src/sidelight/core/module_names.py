"""Names of a model's parts and weights, without the prefixes that wrappers inside the model add."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

#: attribute that holds the module inside, by the class of the wrapper
_INSIDE = {"OptimizedModule": "_orig_mod", "DataParallel": "module", "DistributedDataParallel": "module"}


def wrapped_parts(model: nn.Module) -> dict[str, str]:
    """Names of the wrappers within ``model``, each with the attribute that holds the module inside."""
    kinds = ((name, type(module).__name__) for name, module in model.named_modules())
    return {name: _INSIDE[kind] for name, kind in kinds if kind in _INSIDE}


def plain_name(name: str, wrapped: Mapping[str, str]) -> str:
    """``name`` as it would be without wrappers.

    Example:
        >>> plain_name("features._orig_mod.0", {"features": "_orig_mod"})
        'features.0'
    """
    kept, path = [], ""
    for part in name.split("."):
        if wrapped.get(path) != part:
            kept.append(part)
        path = f"{path}.{part}" if path else part
    return ".".join(kept)


def named_parts(model: nn.Module) -> dict[str, nn.Module]:
    """The submodules of ``model`` by their plain names, the modules inside wrappers instead of these."""
    wrapped = wrapped_parts(model)
    return {plain_name(name, wrapped): module for name, module in model.named_modules()}
