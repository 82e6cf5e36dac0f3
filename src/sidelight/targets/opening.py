"""Models and processors by place: a folder on this machine, or an id of the hub."""

from __future__ import annotations

import os
from typing import Any

from torch import nn

from sidelight.core.places import known_place
from sidelight.errors import CheckpointError, UnsupportedTargetError, first_line

#: endings of the classes that transformers names in a model's config, and the family that reads them
_ENDINGS = {"ForImageClassification": "image", "ForSequenceClassification": "text"}


def open_model(place: str | os.PathLike[str], revision: str | None = None) -> tuple[nn.Module, Any]:
    """A classifier and what prepares its inputs, from a folder or the hub.

    Args:
        place: folder of ``save_pretrained``, or hub id.
        revision: of the hub repository.

    Returns:
        The model, and its tokenizer, image processor or both (``None`` where nothing is kept beside it).

    Raises:
        CheckpointError: there is no such folder, or it cannot be loaded.
        UnsupportedTargetError: what is there is no classifier.
    """
    from transformers import AutoConfig

    from sidelight.targets.families import TARGETS

    name = os.fspath(place)
    if known_place(name) is None:
        raise CheckpointError(
            f"no model folder at {name!r}. Give a folder made by save_pretrained, or a hub id."
        )
    try:
        config = AutoConfig.from_pretrained(name, revision=revision)
        family = TARGETS[_family(config, name)]
        return family.load_model(name, revision), family.reader_type.load(name, {}, revision)
    except UnsupportedTargetError:
        raise
    except Exception as error:  # each library below has errors of its own
        reason = first_line(error, None)
        raise CheckpointError(f"the model {name!r} cannot be loaded: {reason}") from error


def _family(config: Any, name: str) -> str:
    own = (getattr(config, "architectures", None) or [""])[0] or ""
    found = next((family for ending, family in _ENDINGS.items() if own.endswith(ending)), None)
    if found is not None:
        return found
    if hasattr(config, "vision_config") or hasattr(config, "image_config") or "vil" in str(config.model_type):
        return "image+text"
    raise UnsupportedTargetError(
        f"{name!r} holds {own or 'a model of no named class'}, which is no classifier. Give a model for sequence or "
        "image classification, or load it yourself and pass it."
    )
