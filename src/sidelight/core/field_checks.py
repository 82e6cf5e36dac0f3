"""Settings hold what they may hold: every field of a dataclass is checked against its annotation.

The types say what is allowed, for example ``Annotated[float, Field(gt=0, allow_inf_nan=False)]``. pydantic does
the checking. A message names the field as the caller wrote it.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from sidelight.core.safe_output import short
from sidelight.errors import ConfigError


def _plain_number(value: Any) -> Any:
    """A number of NumPy as a number of Python; anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def _names(value: Any) -> Any:
    """A list of names as a tuple, so that what YAML or JSON gives equals what Python gives."""
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else value


#: the largest seed that torch, NumPy and Python all take
LARGEST_SEED = 2**32 - 1

Number = Annotated[float, BeforeValidator(_plain_number), Field(allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0)]
NotNegative = Annotated[Number, Field(ge=0)]
Share = Annotated[Number, Field(ge=0, le=1)]
Whole = Annotated[int, BeforeValidator(_plain_number)]
Count = Annotated[Whole, Field(ge=1, le=2**31 - 1)]
CountOrNone = Annotated[Whole, Field(ge=0, le=2**31 - 1)]
Seed = Annotated[Whole, Field(ge=0, le=LARGEST_SEED)]
Flag = Annotated[bool, BeforeValidator(_plain_number)]
Names = Annotated[tuple[str, ...], BeforeValidator(_names)]
Options = Mapping[str, Any]
#: a size that a person may ask for; more would not fit into any memory
Size = Annotated[Whole, Field(le=2**20)]
Sizes = Annotated[tuple[Size, ...], BeforeValidator(_names), Field(max_length=64)]
Layers = Annotated[Whole, Field(le=256)]


def _adapter(hint: Any) -> TypeAdapter[Any]:
    return TypeAdapter(hint, config=ConfigDict(strict=True, arbitrary_types_allowed=True))


@cache
def _adapters(kind: type) -> dict[str, TypeAdapter[Any]]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return {
        name: _adapter(hint)
        for name, hint in hints.items()
        if name in kind.__dataclass_fields__  # type: ignore[attr-defined]
    }


#: pydantic's words and plainer ones, in the order in which they are replaced
_PLAINER = (
    ("Input should be", "must be"),
    ("greater than or equal to", "at least"),
    ("less than or equal to", "at most"),
    ("greater than", "above"),
    ("less than", "below"),
    ("a valid number", "a number"),
    ("a valid integer", "a whole number"),
    ("a valid boolean", "True or False"),
    ("a valid dictionary", "a mapping of names to values"),
    ("a valid tuple", "a list of names"),
    ("a valid list", "a list"),
    ("a valid string", "a text"),
    ("Field required", "is required"),
)


def check_fields(settings: Any, section: str) -> None:
    """Hold each field of the frozen dataclass ``settings`` to its annotation.

    Values that mean the same are made one type: NumPy's numbers become Python's, lists of names become tuples.
    Strings are never read as numbers, and numbers never as flags.

    Args:
        settings: an instance of a dataclass; its fields are set to the checked values.
        section: where the field stands in a configuration file, e.g. ``"training"``.

    Raises:
        ConfigError: a value is of the wrong type, not finite, or out of range.
    """
    for name, adapter in _adapters(settings.__class__).items():
        value = getattr(settings, name)
        checked = _checked(adapter, name, section, value)
        # an int stays an int: files are named after hashes of settings
        if type(value) not in (bool, int, float, str):
            object.__setattr__(settings, name, checked)


def check_values(values: Mapping[str, Any], kinds: Mapping[str, Any], where: str) -> dict[str, Any]:
    """``values`` with those that ``kinds`` has a type for checked; the others as they are.

    Args:
        values: by name.
        kinds: types by name, such as :data:`Count`.
        where: what the values belong to, for messages.

    Raises:
        ConfigError: a value is of another type, or out of range.
    """
    return {
        name: _checked(_adapter(kinds[name]), name, where, value) if name in kinds else value
        for name, value in values.items()
    }


def _checked(adapter: TypeAdapter[Any], name: str, section: str, value: Any) -> Any:
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise ConfigError(_message(name, section, error)) from error


def _message(name: str, section: str, error: ValidationError) -> str:
    found = error.errors()[0]
    place = "".join(f"[{p!r}]" for p in found["loc"])
    expected = plain_words(found["msg"])
    return f"{name}{place} {expected}; got {short(repr(found['input']))}. (In a configuration file: {section}.{name}.)"


def plain_words(message: str) -> str:
    """pydantic's ``message`` in plainer words, to stand behind the name of a field."""
    for theirs, ours in _PLAINER:
        message = message.replace(theirs, ours)
    return message
