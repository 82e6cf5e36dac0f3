"""Options of a target family: read from its signature, and held to the types that stand there."""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn

from sidelight.core.registry import nearest
from sidelight.core.safe_output import short
from sidelight.errors import ConfigError
from sidelight.targets.base import TargetModel

#: arguments of a family that are no options
_NOT_OPTIONS = ("self", "model", "processor")
#: options of all families, which :func:`sidelight.targets.as_target` sets itself
SHARED = {"class_names": Sequence[str]}

_WORDS = {
    int: "a whole number of at least 1",
    bool: "True or False",
    float: "a finite number",
    Sequence[str]: "a list of names",
    Sequence[int]: "a list of whole numbers",
}


def family_options(family: type[TargetModel]) -> dict[str, Any]:
    """Types of the options that ``family`` takes, by name."""
    hints = typing.get_type_hints(family.__init__)
    own = [n for n in inspect.signature(family.__init__).parameters if n not in _NOT_OPTIONS]
    return {**{name: hints.get(name, Any) for name in own}, **SHARED}


def checked_options(
    family: type[TargetModel], model: nn.Module, options: Mapping[str, Any], others: Sequence[str] = ()
) -> dict[str, Any]:
    """``options`` as ``family`` takes them; modules among ``layers`` become their names.

    Args:
        family: of targets.
        model: the modules are looked for in it.
        options: by name.
        others: names that were possible beside them, for the hint at a misspelt one.

    Raises:
        ConfigError: an option is unknown or of another type.
    """
    known, checked = family_options(family), {}
    for name, value in options.items():
        if name not in known:
            raise ConfigError(
                f"fit() has no option {name!r}.{nearest(name, [*known, *others])} "
                f"For a {type(model).__name__} there are {', '.join(known)}, and the fields of the settings."
            )
        checked[name] = _checked(name, _named(value, model, name), known[name])
    return checked


def _named(value: Any, model: nn.Module, option: str) -> Any:
    """``value`` with each module of ``model`` in it replaced by its dotted name."""
    if isinstance(value, nn.Module):
        value = [value]
    if not isinstance(value, (list, tuple)) or not any(isinstance(v, nn.Module) for v in value):
        return value
    names = {id(module): name for name, module in model.named_modules()}
    for v in value:
        if isinstance(v, nn.Module) and not names.get(id(v)):
            raise ConfigError(
                f"{option} holds a {type(v).__name__} that is no submodule of the {type(model).__name__} given. "
                f"Name it, e.g. {option}=['layer2', 'layer4']."
            )
    return [names[id(v)] if isinstance(v, nn.Module) else v for v in value]


def _checked(name: str, value: Any, hint: Any) -> Any:
    kinds = typing.get_args(hint) if type(None) in typing.get_args(hint) else (hint,)
    if value is None and type(None) in kinds:
        return None
    kind = next(k for k in kinds if k is not type(None))
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if kind not in _WORDS or _FITS[kind](value):
        return value
    text = short(repr(value))
    example = f" Write {name}=[{text}]." if _FITS.get(kind, bool)([value]) else ""
    raise ConfigError(f"{name} must be {_WORDS[kind]}; got {text}.{example}")


def checked_names(names: Sequence[str]) -> tuple[str, ...]:
    """Class names; raises :class:`ConfigError` where one is empty or stands there twice."""
    found = tuple(names)
    twice = sorted({n for n in found if found.count(n) > 1})
    if twice or any(not n.strip() for n in found):
        odd = f"{twice[0]!r} twice" if twice else "an empty name"
        raise ConfigError(
            f"class_names holds {odd}; name each class once, in the order of the model's outputs."
        )
    return found


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple, range))


_FITS: dict[Any, Any] = {
    int: lambda v: _is_whole(v) and v >= 1,
    bool: lambda v: isinstance(v, bool),
    float: lambda v: (_is_whole(v) or isinstance(v, float)) and math.isfinite(v),
    Sequence[str]: lambda v: _is_list(v) and all(isinstance(x, str) for x in v),
    Sequence[int]: lambda v: _is_list(v) and all(_is_whole(x) for x in v),
}
