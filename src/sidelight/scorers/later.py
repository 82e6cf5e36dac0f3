"""Entries of a scorer's configuration that a newer version wrote: they are kept from loading to saving."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from sidelight.core.types import TargetSpec
from sidelight.scorers.base import ScorerConfig

#: entries of a configuration that this version writes
_TOP = ("format", "sidelight_version", "scorer", "spec", "target", "training", "quality", "weights_hash")
_TARGET = (
    "family",
    "name",
    "place",
    "local",
    "revision",
    "fingerprint",
    "shapes",
    "precision",
    "processor",
    "options",
)


def later_entries(config: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of ``config`` that this version does not know, at the places where they stand.

    Example:
        >>> later_entries({"format": "sidelight.scorer", "tempo": 3, "target": {"family": "text", "mood": 1}})
        {'tempo': 3, 'target': {'mood': 1}}
    """
    parts = {
        "scorer": [f.name for f in fields(ScorerConfig)],
        "spec": [f.name for f in fields(TargetSpec)],
        "target": _TARGET,
    }
    found = {name: value for name, value in config.items() if name not in _TOP}
    for name, known in parts.items():
        part = config.get(name)
        unknown = {k: v for k, v in part.items() if k not in known} if isinstance(part, Mapping) else {}
        found |= {name: unknown} if unknown else {}
    return found


def with_later(config: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """``config`` with the entries of :func:`later_entries`. What this version writes itself comes first."""
    merged = dict(config)
    for name, value in later.items():
        if isinstance(value, Mapping) and isinstance(merged.get(name), Mapping):
            merged[name] = {**value, **merged[name]}
        else:
            merged.setdefault(name, value)
    return merged
