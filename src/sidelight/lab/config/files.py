"""Reading and writing YAML configurations: dotted overrides, and a clear error for each unknown key or bad value."""

from __future__ import annotations

import copy
import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from yaml.error import MarkedYAMLError

from sidelight.core.counted import repeated
from sidelight.core.field_checks import plain_words
from sidelight.core.files import path_text
from sidelight.core.registry import nearest
from sidelight.core.safe_output import short
from sidelight.errors import ConfigError
from sidelight.lab.config.sections import RunConfig, Section
from sidelight.training.presets import objective_fields

#: most values in a configuration, counting repeated anchors; the largest shipped one has some hundred
MOST_VALUES = 100_000
#: options that earlier versions wrote into each run folder, with the only value that still works
REMOVED = {"training.label_smoothing": 0.0, "evaluation.tie_draws": 1}

S = TypeVar("S", bound=Section)


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a YAML file and apply ``section.key=value`` overrides (values are YAML).

    Raises:
        ConfigError: the file is missing or malformed, a key is unknown (with the nearest known), or a value is bad.
    """
    return parse_config(read_yaml(path), overrides)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file, empty for an empty file.

    Raises:
        ConfigError: the file is missing, malformed or no mapping, or gives a name twice.
    """
    file = Path(path_text(path, "the path of a YAML file"))
    if not file.is_file():
        raise ConfigError(f"no config file at {str(file)!r}.")
    try:
        values = yaml.load(file.read_text(encoding="utf-8"), _OneOfEachName)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not valid YAML: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{file} is nested too deeply to be a configuration.") from error
    require_few_values(values, str(file))
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise ConfigError(f"{file} must hold a mapping of sections; got {type(values).__name__}.")
    return values


class _OneOfEachName(yaml.SafeLoader):
    """A loader that refuses a name that a mapping gives twice. PyYAML would take the last one without a word."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        twice = repeated((key.tag, key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        if twice:
            where = next(key.start_mark for key, _ in node.value[::-1] if (key.tag, key.value) == twice[0])
            raise MarkedYAMLError(problem=f"{twice[0][1]!r} is given twice", problem_mark=where)
        return node


def require_few_values(values: Any, name: str) -> None:
    """Refuse values that are too many for a configuration. A repeated anchor counts each time.

    A few lines of anchors that hold anchors can stand for millions of values. All would be checked and written.

    Raises:
        ConfigError: there are too many, or a value holds itself.
    """
    known: dict[int, int] = {}

    def count(value: Any) -> int:
        if not isinstance(value, (dict, list)):
            return 1
        if id(value) not in known:
            known[id(value)] = (
                MOST_VALUES + 1
            )  # until it is counted: a value that comes here again holds itself
            parts = value.values() if isinstance(value, dict) else value
            known[id(value)] = 1 + sum(map(count, parts))
        return known[id(value)]

    if count(values) > MOST_VALUES:
        raise ConfigError(
            f"{name} stands for more than {MOST_VALUES:,} values, or for one that holds itself: too much for a "
            "configuration. Are there anchors (&) that repeat anchors?"
        )


def parse_config(values: Mapping[str, Any], overrides: Sequence[str] | Mapping[str, Any] = ()) -> RunConfig:
    """Validate plain values. See :func:`load_config`.

    Example:
        >>> values = {"data": {"name": "digits"}, "target": {"pretrained": "folder"}}
        >>> parse_config(values, ["evaluation.count=50"]).evaluation.count
        50
    """
    merged = apply_overrides(values, overrides)
    objective = merged.get("objective")
    if objective is None or isinstance(objective, (str, Mapping)):
        merged["objective"] = objective_fields(objective)
    return parse_section(merged, RunConfig)


def parse_section(values: Mapping[str, Any], kind: type[S]) -> S:
    """``values`` as a section of that kind.

    Raises:
        ConfigError: a key is unknown (with the nearest known), or a value is bad.
    """
    try:
        return kind.model_validate(_known(values, kind, ""))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(p) for p in first["loc"])
        raise ConfigError(f"config {where or 'file'} {plain_words(first['msg'])}{_given(first)}.") from error


def _given(error: Mapping[str, Any]) -> str:
    """The end of a sentence about a value of the configuration: what it is, and of an empty one what to do."""
    if error["type"] == "missing":  # pydantic gives what stands around it
        return ""
    if error.get("input") is None:  # a name in YAML with nothing after it, or whose values are all comments
        return "; it is empty (null in YAML). Write a value, or leave its name out"
    return f"; got {short(repr(error['input']))}"


def dump_config(config: RunConfig) -> str:
    """YAML text that :func:`load_config` reads back to an equal config."""
    return yaml.safe_dump(_plain(config), sort_keys=False, allow_unicode=True)


def changed(config: RunConfig, overrides: Sequence[str]) -> RunConfig:
    """``config`` with overrides. See :func:`load_config`."""
    return parse_config(yaml.safe_load(dump_config(config)), overrides)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return {k: _plain(getattr(value, k)) for k in type(value).model_fields}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value


def _fields(kind: Any) -> dict[str, Any] | None:
    """Field name -> type of a section, or ``None`` if ``kind`` is no section."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {k: f.annotation for k, f in kind.model_fields.items()}
    if dataclasses.is_dataclass(kind):
        return dict(typing.get_type_hints(kind))
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return next((f for f in map(_fields, typing.get_args(kind)) if f), None)
    return None


def _known(values: Any, kind: Any, path: str) -> Any:
    """``values`` without removed options. Raises :class:`ConfigError` for a key that is none of the section's."""
    fields = _fields(kind)
    if fields is None or not isinstance(values, Mapping):
        return values
    found = {}
    for key, value in values.items():
        name = f"{path}{key}"
        kept = next((k for k in REMOVED if name.endswith(k)), None)
        if key in fields:
            found[key] = _known(value, fields[key], f"{name}.")
        elif kept is None:
            raise ConfigError(
                f"unknown config key {name!r}.{nearest(str(key), fields)} Known here: {', '.join(fields)}."
            )
        elif value != REMOVED[kept]:
            raise ConfigError(
                f"config {name} was removed: sidelight works as with {REMOVED[kept]!r}; got {value!r}. Leave it out."
            )
    return found


def apply_overrides(
    values: Mapping[str, Any], overrides: Sequence[str] | Mapping[str, Any]
) -> dict[str, Any]:
    """A deep copy of ``values`` with each override set (see :func:`read_overrides`).

    ``objective.preset`` replaces the whole objective: a written configuration names every field of another preset.
    """
    merged: dict[str, Any] = copy.deepcopy(dict(values))
    for key, value in read_overrides(overrides):
        *parents, last = key.split(".")
        if key == "objective.preset":
            merged["objective"] = {}
        place = merged
        for parent in parents:
            if not isinstance(place.get(parent), dict):
                named = parent == "objective" and isinstance(place.get(parent), str)
                place[parent] = {"preset": place[parent]} if named else {}
            place = place[parent]
        place[last] = copy.deepcopy(value)
    return merged


def read_overrides(overrides: Sequence[str] | Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Pairs of dotted key and value, from ``dotted.key=yaml`` strings or a mapping of the same.

    Raises:
        ConfigError: a string has no ``=``, a key has an empty part, or a value is not YAML or gives a name twice.
    """
    if isinstance(overrides, Mapping):
        pairs = [(key, key.strip(), value) for key, value in overrides.items()]
    else:
        pairs = []
        for override in overrides:
            key, sign, text = override.partition("=")
            try:
                pairs.append((override, key.strip() if sign else "", yaml.load(text, _OneOfEachName)))
            except yaml.YAMLError as error:
                raise ConfigError(f"the value of {override!r} is not valid YAML: {error}") from error
    for given, key, _ in pairs:
        if not all(key.split(".")):
            raise ConfigError(f"an override must read section.key=value; got {given!r}.")
    return [(key, value) for _, key, value in pairs]
