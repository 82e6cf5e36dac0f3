"""Frozen models behind one protocol. Each family has one file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from sidelight.core.guard import public
from sidelight.errors import ConfigError
from sidelight.inputs.loading import is_tokenizer
from sidelight.inputs.pairs import ImageTextProcessor
from sidelight.targets.architectures import open_architecture, reads_pairs
from sidelight.targets.base import TargetModel
from sidelight.targets.families import TARGETS, family_of, require_known_inputs
from sidelight.targets.image import ImageTarget
from sidelight.targets.image_models import check_takes_pixels
from sidelight.targets.image_text import ImageTextTarget
from sidelight.targets.opening import open_model
from sidelight.targets.options import checked_names, checked_options
from sidelight.targets.outputs import is_hugging_face
from sidelight.targets.signatures import reads_colours
from sidelight.targets.text import TextTarget
from sidelight.targets.timm_models import is_timm, timm_options, timm_transform
from sidelight.targets.weights import fingerprint
from sidelight.targets.wrappers import plain_model

__all__ = [
    "TARGETS",
    "ImageTarget",
    "ImageTextProcessor",
    "ImageTextTarget",
    "TargetModel",
    "TextTarget",
    "as_target",
    "family_of",
    "fingerprint",
]


@public
def as_target(
    model: nn.Module | TargetModel | str | os.PathLike[str],
    processor: Any = None,
    family: str | None = None,
    **options: Any,
) -> TargetModel:
    """Wrap ``model`` in the target family that fits it.

    Args:
        model: a classifier, its folder or hub id, or a target, which is returned as it is. Wrappers around a
            classifier are removed (:func:`~sidelight.targets.wrappers.plain_model`).
        processor: turns raw samples into the model's inputs. A model of timm tells it by itself, and its layers.
        family: a name in :data:`TARGETS`. By default the model's inputs decide.
        options: of the family, e.g. ``layers=[...]``, and ``class_names=[...]`` if the model names no classes.
            ``output`` declares the kind of the model's output (:mod:`sidelight.targets.verdict`).

    Returns:
        An :class:`ImageTarget`, a :class:`TextTarget`, an :class:`ImageTextTarget`, or a target of a family that you added.

    Raises:
        UnsupportedTargetError: ``model`` is no ``nn.Module``, or sidelight cannot read it as a classifier.
        ConfigError: an option is unknown or has a wrong type, or options are given with a target.
        InputTypeError: ``processor`` does not prepare what the family reads.
        UnknownNameError: there is no family of that name.
        CheckpointError: the folder or hub id cannot be loaded.

    Example:
        >>> target = as_target(model, processor, class_names=["dull", "wonderful"])
        >>> target.family, target.id2label
        ('text', {0: 'dull', 1: 'wonderful'})
    """
    if isinstance(model, TargetModel):
        return _as_it_is(model, processor, options)
    if isinstance(model, (str, os.PathLike)):
        model, beside = open_model(model)
        processor = beside if processor is None else processor
    model = plain_model(model) if isinstance(model, nn.Module) else model
    found = family_of(model)
    reading = _own_tokenizer(model) if processor is None else processor
    if found == "image" and not _is_of_images(model) and is_tokenizer(reading):
        found = "text"  # a plain module does not declare its inputs, but its tokenizer does
    both = isinstance(processor, ImageTextProcessor) or _is_two(processor)
    if "image+text" in (found, family) or (both and family is None):
        open_architecture(model)  # what cannot be read is told before options are
    if family is None:
        require_known_inputs(model)
        family = found
    if family == "text" and reading is not None and not is_tokenizer(reading) and reads_colours(model):
        check_takes_pixels(model)
    if family == "image" and is_timm(model):
        processor = timm_transform(model) if processor is None else processor
        options = timm_options(model, options)
    build: Callable[..., TargetModel] = TARGETS[family]
    checked = checked_options(TARGETS[family], model, options)
    class_names = checked.pop("class_names", ())
    target = build(model, processor, **checked)
    target.class_names = target.verdict.class_names = checked_names(class_names)
    target.verdict.require_classes()
    return target


def _is_two(processor: Any) -> bool:
    """Whether ``processor`` is a tuple or list of an image processor and a tokenizer."""
    return isinstance(processor, (tuple, list)) and len(processor) == 2 and is_tokenizer(processor[1])


def _own_tokenizer(model: Any) -> Any:
    """Return the tokenizer that a module keeps beside a text model inside, as cross-encoders do, or ``None``."""
    tokenizer = getattr(model, "tokenizer", None)
    if tokenizer is None or not isinstance(model, nn.Module):
        return None
    # modules around a model may show its configuration as theirs, but the model alone says what it reads
    inside = (m for m in model.modules() if m is not model and is_hugging_face(m))
    found = next((m for m in inside if hasattr(m, "main_input_name")), None)
    if getattr(found, "main_input_name", None) != "input_ids" or reads_pairs(found):
        return None
    return tokenizer


def _is_of_images(model: Any) -> bool:
    return getattr(model, "main_input_name", None) == "pixel_values"


def _as_it_is(target: TargetModel, processor: Any, options: Mapping[str, Any]) -> TargetModel:
    given = [*(["processor"] if processor is not None else []), *options]
    if given:
        raise ConfigError(
            f"the model given is a target already ({type(target).__name__}), built with what it needs: leave out "
            f"{', '.join(given)}, or give the plain model, target.model."
        )
    return target
