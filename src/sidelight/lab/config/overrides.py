"""Dotted overrides of plain configuration values: ``scorer.channels=[64,32]``."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from sidelight.errors import ConfigError


def apply_overrides(
    values: Mapping[str, Any], overrides: Sequence[str] | Mapping[str, Any]
) -> dict[str, Any]:
    """A deep copy of ``values`` with each override set (see :func:`read_overrides`)."""
    merged: dict[str, Any] = copy.deepcopy(dict(values))
    for key, value in read_overrides(overrides):
        *parents, last = key.split(".")
        place = merged
        for parent in parents:
            if not isinstance(place.get(parent), dict):
                place[parent] = {}
            place = place[parent]
        place[last] = copy.deepcopy(value)
    return merged


def read_overrides(overrides: Sequence[str] | Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Pairs of dotted key and value, from ``dotted.key=yaml`` strings or a mapping of the same.

    Raises:
        ConfigError: a string without ``=``, an empty part of a key, or a value that is not YAML.
    """
    if isinstance(overrides, Mapping):
        pairs = [(key, key.strip(), value) for key, value in overrides.items()]
    else:
        pairs = []
        for override in overrides:
            key, sign, text = override.partition("=")
            try:
                pairs.append((override, key.strip() if sign else "", yaml.safe_load(text)))
            except yaml.YAMLError as error:
                raise ConfigError(f"the value of {override!r} is not valid YAML: {error}") from error
    for given, key, _ in pairs:
        if not all(key.split(".")):
            raise ConfigError(f"an override must read section.key=value; got {given!r}.")
    return [(key, value) for _, key, value in pairs]
