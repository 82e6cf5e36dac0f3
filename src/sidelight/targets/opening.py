"""Models and processors by place: a folder on this machine, or an id of the hub."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from torch import nn

from sidelight.errors import CheckpointError, UnsupportedTargetError, first_line

#: endings of the classes that transformers names in a model's config, and the family that reads them
_ENDINGS = {"ForImageClassification": "image", "ForSequenceClassification": "text"}


def known_place(name: str, local: bool | None = None) -> str | None:
    """``name`` as a place that models can be loaded from; ``None`` where it is none.

    What looks like a path of this machine is never looked for on the hub.

    Args:
        name: folder, hub id, or the class name of a model that came from nowhere.
        local: whether it was a folder when it was written down; ``None`` where that is not known.
    """
    if not name or "\0" in name:
        return None
    if _is_folder(name):
        return name
    path_like = (
        name.startswith((".", "/", "~", "\\")) or name.count("/") > 1 or "\\" in name or os.path.isabs(name)
    )
    if local or path_like or _is_class_name(name):
        return None
    return name


def _is_folder(name: str) -> bool:
    try:
        return Path(name).is_dir()
    except OSError:  # e.g. a name that is too long
        return False


def _is_class_name(name: str) -> bool:
    """Whether ``name`` is that of a Python class; the few hub ids without an owner are not written so."""
    return name.isidentifier() and name[:1].isupper() and any(c.isupper() for c in name[1:])


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

    from sidelight.targets import TARGETS

    name = os.fspath(place)
    if known_place(name) is None:
        raise CheckpointError(
            f"no model folder at {name!r}. Give a folder made by save_pretrained, or a hub id."
        )
    try:
        config = AutoConfig.from_pretrained(name, revision=revision)
        family = TARGETS[_family(config, name)]
        return family.load_model(name, revision), family.load_processor(name, {}, revision)
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
