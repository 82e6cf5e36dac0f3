"""Options of a target family. The family's signature gives their names and types."""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from sidelight.core.counted import repeated
from sidelight.core.field_checks import Count, Flag, Names, Number, Places, check_values
from sidelight.core.registry import nearest
from sidelight.core.safe_output import short
from sidelight.errors import ConfigError
from sidelight.targets.base import TargetModel

#: arguments of a family that do not count as options
_NOT_OPTIONS = ("self", "model", "processor")
#: options of all families, which :func:`sidelight.targets.as_target` sets itself
SHARED = {"class_names": Sequence[str]}
#: options and parts of a preprocessing that only name something
NAMES = ("class_names", "columns", "tokenizer", "name_or_path")
#: options that are ``None`` until the first pass settles them
SETTLED_LATER = ("states", "layouts")

#: the check for each type in a signature, and values of other types stay unchecked
_CHECKED_AS: dict[Any, Any] = {
    int: Count,
    bool: Flag,
    float: Number,
    Sequence[str]: Names,
    Sequence[int]: Places,
}


#: options of classifiers in other libraries -> what serves their purpose here
OF_TARGETS = {
    **dict.fromkeys(
        ("tokenizer", "image_processor", "feature_extractor", "transform", "transforms"), "processor=..."
    ),
    **dict.fromkeys(("id2label", "label_names", "labels", "classes"), "class_names=[...]"),
    "device": "move the model itself, model.to(...)",
}
#: the same of trainings
OF_TRAININGS = {
    **dict.fromkeys(("num_train_epochs", "num_epochs", "n_epochs", "max_epochs"), "epochs=..."),
    **dict.fromkeys(("per_device_train_batch_size", "train_batch_size", "bs"), "batch_size=..."),
    **dict.fromkeys(("eval_dataset", "val_dataset", "val", "test"), "eval=..."),
    **{
        name: f"extra={{{name!r}: ...}}"  # arguments of transformers' Trainer
        for name in (
            *(
                "max_steps",
                "bf16",
                "fp16",
                "use_cpu",
                "optim",
                "lr_scheduler_type",
                "warmup_steps",
                "torch_compile",
            ),
            *("dataloader_num_workers", "eval_steps", "save_steps", "logging_steps", "disable_tqdm"),
        )
    },
    "num_workers": "extra={'dataloader_num_workers': ...}",
    **dict.fromkeys(("progress", "progress_bar", "verbose"), "extra={'disable_tqdm': True} hides the bar"),
    "gradient_accumulation_steps": "gradient_accumulation=...",
    "lr": "learning_rate=...",
    "train_dataset": "the second argument, train",
}


def options_of(target: TargetModel) -> dict[str, Any]:
    """Return the options that ``target`` was built with, and those that it found out since."""
    return {**target.all_options(), **target.verdict.settled()}


def differences(saved: Mapping[str, Any], now: Mapping[str, Any], within: str = "") -> Iterator[str]:
    """What two records of options or of a preprocessing both know, and know otherwise.

    Names are left out, and what earlier versions did not keep.

    Example:
        >>> list(differences({"layers": [-1], "class_names": ["a"]}, {"layers": [0], "class_names": ["b"]}))
        ['layers ([-1] before, [0] now)']
    """
    for name in (saved.keys() & now.keys()).difference(NAMES):
        before, after = saved[name], now[name]
        if name in SETTLED_LATER and None in (before, after):
            continue
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from differences(before, after, f"{within}{name}.")
        elif json.dumps(before, default=str) != json.dumps(after, default=str):
            yield f"{within}{name} ({before!r:.60} before, {after!r:.60} now)"


def family_options(family: type[TargetModel]) -> dict[str, Any]:
    """Return the types of the options that ``family`` takes, by name."""
    hints = typing.get_type_hints(family.__init__)
    own = [n for n in inspect.signature(family.__init__).parameters if n not in _NOT_OPTIONS]
    return {**{name: hints.get(name, Any) for name in own}, **SHARED}


def checked_options(
    family: type[TargetModel],
    model: nn.Module,
    options: Mapping[str, Any],
    settings: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Check ``options`` and return them as ``family`` takes them. Modules among ``layers`` become their names.

    Args:
        family: class of the target.
        options: values by name.
        settings: fields of the settings, if ``fit`` was called. They are valid names there, too. ``None``: ``as_target`` was.

    Raises:
        ConfigError: an option is unknown or has a wrong type.
    """
    known = family_options(family)
    for name in options:
        if name not in known:
            raise ConfigError(_unknown(name, type(model).__name__, list(known), settings))
    named = {name: _named(value, model, name) for name, value in options.items()}
    if "class_names" in named:
        named["class_names"] = names_in_order(named["class_names"])
    _require_layers(named.get("layers"), known.get("layers"), type(model).__name__)
    return check_values(named, {name: _kind(known[name]) for name in named}, "target.options")


def known_options(family: type[TargetModel], options: Mapping[str, Any]) -> Mapping[str, Any]:
    """``options`` of a configuration file. Raises :class:`ConfigError` if one of them is none of ``family``."""
    known = list(family_options(family))
    for name in options:
        if name not in known:
            raise ConfigError(
                f"unknown config key 'target.options.{name}'.{nearest(str(name), known)} Known here: {', '.join(known)}."
            )
    return options


def _unknown(name: str, model: str, known: list[str], settings: Sequence[str] | None) -> str:
    """What to say of an option that there is not. Only ``fit`` takes fields of the settings."""
    called, also = ("as_target", "") if settings is None else ("fit", ", and the fields of the settings")
    elsewhere = OF_TARGETS if settings is None else {**OF_TARGETS, **OF_TRAININGS}
    own = elsewhere.get(name)
    meant = f" Here: {own}." if own else nearest(name, [*known, *(settings or ())])
    return f"{called}() has no option {name!r}.{meant} For a {model} there are {', '.join(known)}{also}."


def _require_layers(value: Any, hint: Any, name: str) -> None:
    """Raise :class:`ConfigError` if a list of layers holds names where numbers belong, or numbers where names belong."""
    given = value if isinstance(value, (list, tuple)) else [value]
    if typing.get_args(hint) == (int,) and any(isinstance(v, str) for v in given):
        raise ConfigError(
            f"{name} reads texts, so layers are numbers of its hidden states, e.g. [6, -1] (0: embeddings, -1: the "
            f"last); got {value!r}. Names of submodules are for models that read images alone."
        )
    if typing.get_args(hint) == (str,) and any(isinstance(v, int) for v in given):
        raise ConfigError(
            f"{name} reads images, so layers are names of submodules, e.g. ['layer2', 'layer4']; got {value!r}. To "
            "choose among hidden states by number, give states=[...]."
        )


def _kind(hint: Any) -> Any:
    """Return the type that checks values for ``hint``."""
    kinds = [k for k in typing.get_args(hint) or [hint] if k is not type(None)]
    if type(None) in typing.get_args(hint):
        return _CHECKED_AS.get(kinds[0], Any) | None
    return _CHECKED_AS.get(hint, Any)


def _named(value: Any, model: nn.Module, option: str) -> Any:
    """Replace each module of ``model`` in ``value`` by its dotted name."""
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


def names_in_order(names: Any) -> Any:
    """Class names as a list if ``names`` holds them by number, as ``id2label`` of transformers does. Others unchanged.

    Raises:
        ConfigError: the order is not clear.

    Example:
        >>> names_in_order({"1": "wonderful", "0": "dull"})
        ['dull', 'wonderful']
    """
    if isinstance(names, Mapping):
        # JSON has no numbers as keys
        found = {int(key): name for key, name in names.items() if str(key).isdecimal()}
        if len(found) == len(names) and set(found) == set(range(len(names))):
            return [found[number] for number in range(len(names))]
        raise ConfigError(
            "class_names may be a mapping from the numbers 0, 1, 2, ... of the model's outputs to names; got the keys "
            f"{short(repr(list(names)))}. Give the names as a list in the order of the outputs. From a label2id: "
            "sorted(label2id, key=label2id.get)."
        )
    if hasattr(names, "iloc") and hasattr(names, "index") and list(names.index) != list(range(len(names))):
        raise ConfigError(
            f"class_names is a {type(names).__name__} whose index is {short(repr(list(names.index)))}, so its order is not clear. "
            "If the index holds the numbers of the model's outputs, give class_names=names.sort_index().tolist(). If the "
            "names stand in the order of the outputs, give class_names=names.tolist()."
        )
    return names


def checked_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the class names, or raise :class:`ConfigError` if one is empty or repeated."""
    found = tuple(names)
    twice = sorted(repeated(found))
    if twice or any(not n.strip() for n in found):
        odd = f"{twice[0]!r} twice" if twice else "an empty name"
        raise ConfigError(
            f"class_names holds {odd}; name each class once, in the order of the model's outputs."
        )
    return found
