"""Settings and options are checked against types such as :data:`Count`, by pydantic.

A message names the field as the caller wrote it.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from contextlib import suppress
from dataclasses import is_dataclass
from functools import cache
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from sidelight.core.safe_output import short
from sidelight.errors import ConfigError


def plain_number(value: Any) -> Any:
    """A number of NumPy or torch as a number of Python. Other values are returned unchanged."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def _list_of(kind: str) -> BeforeValidator:
    """A list as a tuple, so that settings from YAML or JSON equal those from Python."""

    def as_tuple(value: Any) -> tuple[Any, ...]:
        if hasattr(type(value), "tolist"):  # arrays of NumPy, and columns and indices of pandas
            value = value.tolist()
        if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
            return tuple(value)
        raise PydanticCustomError("no_list", f"must be a list of {kind}")

    return BeforeValidator(as_tuple)


def _instance_of(kind: Any) -> BeforeValidator:
    def checked(value: Any) -> Any:
        if isinstance(value, kind):
            return value
        raise PydanticCustomError("no_instance", f"must be of class {kind.__name__}")

    return BeforeValidator(checked)


#: The largest seed that torch, NumPy and Python all take.
LARGEST_SEED = 2**32 - 1

#: The largest count of anything.
LARGEST_COUNT = 2**31 - 1
#: The largest count of what is repeated for each input: more would take longer than a training.
MOST_DRAWS = 10_000

Number = Annotated[float, BeforeValidator(plain_number), Field(allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0)]
NotNegative = Annotated[Number, Field(ge=0)]
#: Nobody waits for more. Far more are too many for the Trainer, which counts them in steps.
Epochs = Annotated[Positive, Field(le=1_000_000)]
Share = Annotated[Number, Field(ge=0, le=1)]
Whole = Annotated[int, BeforeValidator(plain_number)]
Count = Annotated[Whole, Field(ge=1, le=LARGEST_COUNT)]
CountOrNone = Annotated[Whole, Field(ge=0, le=LARGEST_COUNT)]
Draws = Annotated[Whole, Field(ge=1, le=MOST_DRAWS)]
Seed = Annotated[Whole, Field(ge=0, le=LARGEST_SEED)]
Flag = Annotated[bool, BeforeValidator(plain_number)]
Names = Annotated[Sequence[str], _list_of("names")]
Places = Annotated[tuple[Whole, ...], _list_of("whole numbers")]
NameLists = Annotated[Sequence[Names], _list_of("lists of names")]
Numbers = Annotated[Sequence[Number], _list_of("numbers")]
Options = Mapping[str, Any]
#: Larger sizes would not fit into any memory.
Size = Annotated[Whole, Field(le=2**20)]
Sizes = Annotated[tuple[Size, ...], _list_of("whole numbers"), Field(max_length=64)]
Layers = Annotated[Whole, Field(le=256)]


def whole(value: Any, least: int = 1, most: int = LARGEST_COUNT) -> int | None:
    """``value`` as a number of Python if it is a whole number within these bounds, else ``None``. Flags are none.

    Example:
        >>> whole(3), whole(0), whole(True), whole("3")
        (3, None, None, None)
    """
    number = plain_number(value)
    is_one = isinstance(number, int) and not isinstance(number, bool)
    return number if is_one and least <= number <= most else None


def require_choice(value: Any, choices: Iterable[str], argument: str, quoted: bool = False) -> str:
    """``value`` if it is one of the names in ``choices``.

    Args:
        quoted: whether the message quotes the names.

    Raises:
        ConfigError: it is none of them, or no text.

    Example:
        >>> require_choice("zero", ["zero", "mean"], "fill")
        'zero'
    """
    known = list(choices)
    if not isinstance(value, str) or value not in known:
        listed = ", ".join(map(repr, known) if quoted else known)
        raise ConfigError(f"{argument} must be one of {listed}; got {value!r:.60}.")
    return value


def require_once(values: Iterable[Any], argument: str) -> None:
    """Refuse a value that ``argument`` names twice, because every sample would then be counted twice.

    Raises:
        ConfigError: see above.

    Example:
        >>> require_once(["zero", "mean"], "fills")
    """
    listed = list(values)
    twice = next((value for value in listed if listed.count(value) > 1), None)
    if twice is not None:
        raise ConfigError(f"{argument} names {twice!r:.60} twice; name each once.")


def _adapter(hint: Any) -> TypeAdapter[Any]:
    if is_dataclass(hint):  # settings within settings have checked themselves
        hint = Annotated[Any, _instance_of(hint)]
    return TypeAdapter(hint, config=ConfigDict(strict=True, arbitrary_types_allowed=True))


@cache
def _adapters(kind: type) -> dict[str, TypeAdapter[Any]]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return {
        name: _adapter(hint)
        for name, hint in hints.items()
        if name in kind.__dataclass_fields__  # type: ignore[attr-defined]
    }


#: pydantic's words and plainer ones, in the order of replacement.
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
    ("a dictionary", "a mapping of names to values"),
    ("a valid list", "a list"),
    ("a valid string", "a text"),
    ("Field required", "is required"),
    ("String should match pattern", "must match the pattern"),
    ("Value error, ", ""),
)


def check_fields(settings: Any, section: str) -> None:
    """Hold each field of the frozen dataclass ``settings`` to its annotation.

    Values that mean the same are made one type: NumPy's numbers become Python's, lists of names become tuples.
    Strings are never read as numbers, and numbers never as flags.

    Args:
        settings: an instance of a dataclass. Its fields are set to the checked values.
        section: of a configuration file that holds the fields, e.g. ``"training"``.

    Raises:
        ConfigError: a value is of the wrong type, not finite, or out of range.
    """
    for name, adapter in _adapters(settings.__class__).items():
        object.__setattr__(settings, name, _checked(adapter, name, section, getattr(settings, name)))


def check_values(values: Mapping[str, Any], kinds: Mapping[str, Any], where: str) -> dict[str, Any]:
    """``values``, of which those with a type in ``kinds`` are checked.

    Args:
        values: by name.
        kinds: types by name, such as :data:`Count`.
        where: section of a configuration file that holds the values, for messages.

    Raises:
        ConfigError: a value is of another type, or out of range.
    """
    return {
        name: _checked(_adapter(kinds[name]), name, where, value) if name in kinds else value
        for name, value in values.items()
    }


def _checked(adapter: TypeAdapter[Any], name: str, section: str, value: Any) -> Any:
    try:
        checked = adapter.validate_python(value)
    except ValidationError as error:
        raise ConfigError(_message(adapter, name, section, error)) from error
    # an int stays an int, even among floats: files are named after hashes of settings
    return value if type(value) in (bool, int, float, str) else checked


def _message(adapter: TypeAdapter[Any], name: str, section: str, error: ValidationError) -> str:
    found = error.errors()[0]
    place = "".join(f"[{p!r}]" for p in found["loc"])
    given, example = short(repr(found["input"])), ""
    if found["type"] == "no_list":
        with suppress(ValidationError):
            adapter.validate_python([found["input"]])
            example = f" Write {name}=[{given}]."
        if isinstance(found["input"], (Iterator, KeysView, ValuesView)):
            example = f" Write {name}=list(...)."
    expected = plain_words(found["msg"])
    return f"{name}{place} {expected}; got {given}.{example} (In a configuration file: {section}.{name}.)"


def plain_words(message: str) -> str:
    """pydantic's ``message`` in plainer words, to stand behind the name of a field."""
    message = re.sub(r" or (an )?instance of \w+", "", message)
    for theirs, ours in _PLAINER:
        message = message.replace(theirs, ours)
    return message
