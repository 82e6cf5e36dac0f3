"""The settings of the Hugging Face Trainer: ours, and the user's further ones, ``training.extra``.

Importing transformers' Trainer takes seconds.
"""

from __future__ import annotations

import dataclasses
import os
import types
import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError
from transformers import TrainingArguments

from sidelight.core.field_checks import Count, CountOrNone, Seed, Whole, check_values
from sidelight.core.guard import is_out_of_memory, unexpected_kind
from sidelight.core.registry import nearest
from sidelight.errors import ConfigError, SidelightError, first_line
from sidelight.training.sample_maps import require_loggers
from sidelight.training.settings import TrainingConfig, steps_between_validations, steps_in_all

#: settings of ours, by the argument of the Trainer that means the same. Steps and what is told of a training follow ours
OURS = {
    "num_train_epochs": "epochs",
    "per_device_train_batch_size": "batch_size",
    "gradient_accumulation_steps": "gradient_accumulation",
    "learning_rate": "learning_rate",
    "weight_decay": "weight_decay",
    "seed": "seed",
}


class OneOf(tuple[Any, ...]):
    """Values that an argument may have, where one value alone would be too strict."""


#: arguments that may have one value only, or one of some, with the reason
FIXED: dict[str, tuple[Any, str]] = {
    "push_to_hub": (False, "checkpoints are not uploaded. To share a scorer call explainer.push_to_hub()"),
    "resume_from_checkpoint": (None, "a training goes on by itself from the checkpoints in its own folder"),
    "save_only_model": (False, "a training could not go on, and a finished one would be done again"),
}
_NOT_COMPILED = (
    "a step calls the classifier with hooks and draws fills by seed, which torch.compile cannot follow. A classifier that is "
    "compiled itself can be explained"
)
#: as :data:`FIXED`, of the trainings of scorers
FIXED_FOR_SCORERS: dict[str, tuple[Any, str]] = {
    **FIXED,
    "dataloader_drop_last": (False, "the validation would leave rows out too, or all of them"),
    "load_best_model_at_end": (True, "the best weights are always kept"),
    "eval_strategy": (OneOf(("steps", "epoch")), "the best weights are those of the best validation"),
    "save_strategy": (OneOf(("steps", "epoch", "best")), "the best weights are those of a checkpoint"),
    "greater_is_better": (False, "lower is better of all that a validation measures"),
    "label_smoothing_factor": (0, "a scorer has no labels to smooth"),
    "neftune_noise_alpha": (None, "a scorer has no word embeddings"),
    "gradient_checkpointing": (False, "a scorer has no layers that could be computed twice"),
    "torch_compile": (False, _NOT_COMPILED),
    # each of these two switches it on
    "torch_compile_backend": (None, _NOT_COMPILED),
    "torch_compile_mode": (None, _NOT_COMPILED),
}


def _some_steps(value: int) -> int:
    if value == 0:  # of the Trainer this is one step
        raise PydanticCustomError("no_steps", "must be at least 1, or -1 for no limit")
    return value


#: types that say more than the annotations of ``TrainingArguments``
_KINDS: dict[str, Any] = {
    "max_steps": Annotated[Whole, AfterValidator(_some_steps)],
    "per_device_eval_batch_size": Count,
    "eval_accumulation_steps": Count | None,
    "dataloader_num_workers": CountOrNone,
    "data_seed": Seed | None,
}


def shared_arguments() -> dict[str, Any]:
    """``TrainingArguments`` that trainings of scorers and of classifiers have in common."""
    return {
        "bf16": torch.cuda.is_available() and torch.cuda.is_bf16_supported(),
        "report_to": [],
        "remove_unused_columns": False,
        "label_names": ["labels"],
        "dataloader_pin_memory": torch.cuda.is_available(),
    }


def scorer_arguments(output_dir: Path, config: TrainingConfig, per_epoch: int) -> TrainingArguments:
    """The Trainer's settings for ``per_epoch`` optimiser steps an epoch."""
    every = steps_between_validations(per_epoch, config)
    arguments: dict[str, Any] = {
        "num_train_epochs": config.epochs,
        "per_device_train_batch_size": config.batch_size,
        "per_device_eval_batch_size": config.batch_size,
        "learning_rate": config.learning_rate,
        "weight_decay": config.weight_decay,
        "warmup_steps": int(config.warmup_ratio * steps_in_all(per_epoch, config)),
        "max_grad_norm": config.max_grad_norm,
        "gradient_accumulation_steps": config.gradient_accumulation,
        "eval_strategy": "steps",
        "eval_steps": every,
        "save_strategy": "steps",
        "save_steps": every,
        "logging_steps": max(1, every // 4),
        "save_total_limit": config.checkpoints,
        "load_best_model_at_end": True,
        "metric_for_best_model": "eval_loss",
        "greater_is_better": False,
        "seed": config.seed,
        "data_seed": config.seed,  # one order of the data in all processes
        "report_to": list(config.report_to),
        "optim": "adamw_torch",
        # a training that continues counts its validations without improvement from before the kill
        "restore_callback_states_from_checkpoint": True,
        # the best weights are those of a checkpoint, so checkpoints keep step with the user's validations
        **{
            name.replace("eval", "save"): _number(config.extra[name])
            for name in ("eval_strategy", "eval_steps")
            if name in config.extra
        },
    }
    return trainer_arguments(output_dir, arguments, config.extra, fixed=FIXED_FOR_SCORERS)


def trainer_arguments(
    folder: Path,
    options: Mapping[str, Any],
    extra: Mapping[str, Any],
    place: str = "training.extra",
    fixed: Mapping[str, tuple[Any, str]] = FIXED,
) -> TrainingArguments:
    """The Trainer's settings for a training in ``folder``: ``options``, and the user's ``extra`` in their place.

    Args:
        place: of ``extra`` in a configuration, for messages.
        fixed: arguments that may have one value only, or one of some, with the reason.

    Raises:
        ConfigError: a name or a value in ``extra`` is unknown or of another type, or does not go with ``options``.
        MissingPackageError: the package of a logger is not installed.
    """
    ours = {name: setting for name, setting in OURS.items() if name in options}
    checked = _checked(extra, place, ours, {name: f for name, f in fixed.items() if name in extra})
    # transformers would take "~" in a relative path for the home folder
    own = {"output_dir": os.path.abspath(folder), **shared_arguments(), **options}
    if checked.get("fp16"):  # the Trainer takes one of the two, and the user said which
        own["bf16"] = False
    try:
        made = TrainingArguments(**{**own, **checked})
    except (TypeError, ValueError, ImportError) as error:
        raise ConfigError(f"{place} is refused by transformers' TrainingArguments: {error}") from error
    require_loggers(made.report_to)
    return made


def _checked(
    extra: Mapping[str, Any], place: str, ours: Mapping[str, str], fixed: Mapping[str, tuple[Any, str]]
) -> dict[str, Any]:
    if "output_dir" in extra:  # nobody would look there for files of others, or for a training to continue
        raise ConfigError(
            f"{place} must not hold output_dir, because checkpoints go to the folder of the training. Leave it out, and "
            "give output_dir to fit itself, or --out to the command."
        )
    known = [f.name for f in dataclasses.fields(TrainingArguments)]
    section = place.removesuffix(".extra")
    for name in extra:
        if name not in known:
            raise ConfigError(
                f"{place}: transformers' TrainingArguments has no {name!r}.{nearest(name, known)}"
            )
        if name in ours:
            raise ConfigError(f"{place} must not hold {name}. Set {section}.{ours[name]} instead.")
    kinds = {**_plain_kinds(), **_KINDS}
    read = {name: _number(v) if float in _parts(kinds.get(name)) else v for name, v in extra.items()}
    checked = check_values(read, kinds, place)
    for name, (only, reason) in fixed.items():
        allowed = only if isinstance(only, OneOf) else (only,)
        if checked[name] not in allowed:
            raise ConfigError(
                f"{place}: {name} must be {' or '.join(map(repr, allowed))} or left out, because {reason}; got "
                f"{checked[name]!r}."
            )
    return checked


@cache
def _plain_kinds() -> dict[str, Any]:
    """Annotations of ``TrainingArguments`` that are made of plain types only. It does not check them itself."""
    plain = {bool, int, float, str, type(None)}
    hints = typing.get_type_hints(TrainingArguments)
    return {name: hint for name, hint in hints.items() if set(_parts(hint)) <= plain}


def _number(value: Any) -> Any:
    """A text as the number that it stands for: YAML takes ``1e-8`` for a text."""
    with suppress(ValueError):
        return float(value) if isinstance(value, str) else value
    return value


def _parts(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


@contextmanager
def extra_named(extra: Mapping[str, Any], place: str = "training.extra") -> Iterator[None]:
    """Within the context an error of the Trainer that nobody foresaw names the arguments of ``extra``."""
    try:
        yield
    except SidelightError:
        raise
    except Exception as error:
        if not extra or is_out_of_memory(error):
            raise
        raise unexpected_kind(type(error))(
            f"the training failed with {type(error).__name__}: {first_line(error, 500) or 'no words'}. {place} gives "
            f"transformers' Trainer further arguments: {', '.join(extra)}. Leave them out and call again. If the training "
            "works then, one of them is the cause."
        ) from error
