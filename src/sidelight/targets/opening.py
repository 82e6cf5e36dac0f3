"""Loading of models and processors from a folder or the hub."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from torch import nn

from sidelight.core.counted import counted
from sidelight.core.files import path_text
from sidelight.core.places import known_place
from sidelight.core.pointers import told_of_pointer
from sidelight.errors import CheckpointError, UnsupportedTargetError, first_line

CONFIG_NAME = "config.json"
#: endings of class names in a model's config, and the family that reads such models
_ENDINGS = {"ForImageClassification": "image", "ForSequenceClassification": "text"}


def open_model(place: str | os.PathLike[str], revision: str | None = None) -> tuple[nn.Module, Any]:
    """Load a classifier and its processor from a folder or the hub.

    Args:
        place: folder of ``save_pretrained``, or hub id.
        revision: of the hub repository.

    Returns:
        The model, and its tokenizer, image processor or both (``None`` if the place holds none).

    Raises:
        CheckpointError: the folder does not exist or cannot be loaded.
        UnsupportedTargetError: the model is no classifier.
    """
    from transformers import AutoConfig

    from sidelight.targets.families import TARGETS

    name = path_text(place, "the folder or hub id of a classifier")
    if known_place(name) is None:
        raise CheckpointError(
            f"no model folder at {name!r}. Give a folder made by save_pretrained, or a hub id."
        )
    try:
        config = AutoConfig.from_pretrained(name, revision=revision)
        family = TARGETS[_family(config, name)]
        model, processor = family.load_model(name, revision), family.reader_type.load(name, {}, revision)
    except (UnsupportedTargetError, CheckpointError):
        raise
    except Exception as error:  # each library raises its own errors
        reason = first_line(error, None)
        raise CheckpointError(
            f"the model {name!r} cannot be loaded: {told_of_pointer(name) or reason}{_inside(Path(name))}"
        ) from error
    if processor is None and (told := told_of_pointer(name)):
        raise CheckpointError(told)
    return model, processor


def _inside(folder: Path) -> str:
    """Words on the models one folder further down, such as the checkpoints of a training, if there is none in ``folder``."""
    if (folder / CONFIG_NAME).exists():
        return ""
    found = sorted(path.parent for path in folder.glob(f"*/{CONFIG_NAME}"))
    if not found:
        return ""
    latest = max(found, key=lambda path: int("".join(re.findall(r"\d+$", path.name)) or -1))
    return f" Models lie one folder further down ({counted(len(found), 'model')}): give one, e.g. {str(latest)!r}."


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
