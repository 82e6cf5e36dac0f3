"""Arguments of ``fit`` beside model and data: settings as objects, mappings or single fields, and options of the target."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from torch import nn

from sidelight.core.registry import nearest
from sidelight.errors import ConfigError
from sidelight.scorers import ScorerConfig
from sidelight.targets import TargetModel, as_target
from sidelight.targets.families import TARGETS, family_of
from sidelight.targets.opening import open_model
from sidelight.targets.options import checked_options
from sidelight.targets.wrappers import plain_model
from sidelight.training.presets import PRESETS, objective_fields
from sidelight.training.settings import ObjectiveConfig, TrainingConfig

Settings = tuple[ScorerConfig, ObjectiveConfig, TrainingConfig]

#: arguments of ``fit`` that are settings
KINDS: dict[str, Any] = {"scorer": ScorerConfig, "objective": ObjectiveConfig, "training": TrainingConfig}


def split_options(options: Mapping[str, Any], given: Mapping[str, Any]) -> tuple[Settings, dict[str, Any]]:
    """The settings, with their fields taken out of ``options``, and the rest, which is for the target family.

    Args:
        options: further keyword arguments of ``fit``.
        given: its arguments ``scorer``, ``objective`` and ``training``: settings, mappings of fields, or ``None``.

    Raises:
        ConfigError: a setting is something else, or a field is unknown or out of range, or has two values, or a preset
            is given beside an objective.
    """
    rest, filled = dict(options), []
    # the name of a preset stands for all of its fields
    given = {**given, "objective": one_of(objective=given.get("objective"), preset=rest.pop("preset", None))}
    for name, kind in KINDS.items():
        setting = as_setting(name, kind, given.get(name))
        own = {f.name: rest.pop(f.name) for f in dataclasses.fields(kind) if f.name in rest}
        _require_one_value(name, given.get(name), own)
        filled.append(dataclasses.replace(setting, **own))
    scorer, objective, training = filled
    return (for_objective(scorer, objective), objective, training), rest


def _require_one_value(name: str, setting: Any, own: Mapping[str, Any]) -> None:
    """Refuse a field that the mapping ``setting`` and a keyword of its own give two values. Nobody knows which is meant."""
    for field in own if isinstance(setting, Mapping) else ():
        there, beside = (
            list(v) if isinstance(v, tuple) else v for v in (setting.get(field, own[field]), own[field])
        )
        if there != beside:
            raise ConfigError(
                f"fit was given two values of {field}: {there!r} in {name}={{...}}, and {field}={beside!r}. Leave one out."
            )


def for_objective(scorer: ScorerConfig, objective: ObjectiveConfig) -> ScorerConfig:
    """``scorer``, with maps of any class and a ranking of its own if the objective teaches them.

    If ``by_class`` or ``ranked`` is set already, it stays.
    """
    by_class = objective.preset == "robust" if scorer.by_class is None else scorer.by_class
    untaught = by_class and scorer.ranked is None and not objective.rank_weight
    return dataclasses.replace(scorer, by_class=by_class, ranked=False if untaught else scorer.ranked)


def open_target(model: Any, processor: Any, options: Mapping[str, Any]) -> TargetModel:
    """``model``, which may be its folder or hub id, as a target that is built with ``options``.

    Raises:
        UnsupportedTargetError: sidelight cannot read this model.
        CheckpointError: the folder does not exist or cannot be loaded.
        ConfigError: an option is unknown or of another type, or the model is a target already.
    """
    if isinstance(model, (str, os.PathLike)):
        model, beside = open_model(model)
        processor = beside if processor is None else processor
    # a wrapper tells nothing of the inputs
    model = plain_model(model) if isinstance(model, nn.Module) else model
    if not isinstance(model, TargetModel):
        settings = [f.name for kind in KINDS.values() for f in dataclasses.fields(kind)]
        checked_options(TARGETS[family_of(model)], model, options, settings)
    return as_target(model, processor, **options)


def as_setting(name: str, kind: Any, value: Any) -> Any:
    """``value`` as settings of ``kind``. ``None`` stands for the defaults.

    Raises:
        ConfigError: it is neither that nor a mapping of its fields.
    """
    if isinstance(value, kind):
        return value
    named = kind is ObjectiveConfig and isinstance(value, str)
    if not (value is None or named or isinstance(value, Mapping)):
        presets = f" or a preset ({', '.join(PRESETS)})" if kind is ObjectiveConfig else ""
        raise ConfigError(
            f"{name} must be a {kind.__name__}{presets} or a mapping of its fields, e.g. {name}={{...}}; "
            f"got {type(value).__name__}."
        )
    if kind is ObjectiveConfig:
        value = objective_fields(value)
    value = {} if value is None else value
    known = [f.name for f in dataclasses.fields(kind)]
    for field in value:
        if field not in known:
            raise ConfigError(
                f"{name} has no field {field!r}.{nearest(str(field), known)} Its fields are {', '.join(known)}."
            )
    return kind(**value)


def one_of(**given: Any) -> Any:
    """The one argument that is given under any of its names, or ``None``.

    Raises:
        ConfigError: two are given.
    """
    found = {name: value for name, value in given.items() if value is not None}
    if len(found) > 1:
        raise ConfigError(f"{' and '.join(found)} are two names for one thing; give one of them.")
    return next(iter(found.values()), None)
