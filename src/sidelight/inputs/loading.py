"""What prepares a model's inputs, from where it is kept: beside a scorer, beside the model, or on the hub."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sidelight.core.files import read_json
from sidelight.core.places import known_place
from sidelight.inputs.images import transform_from_dict
from sidelight.inputs.kept_tokenizer import KEPT

#: the file that holds an image transform beside a model
TRANSFORM_FILE = "sidelight_transform.json"


def load_transform(name: str, state: Mapping[str, Any], revision: str | None = None) -> Any:
    """The image transform in ``state``, else what is kept beside the model ``name``. ``None`` if there is neither.

    Args:
        name: folder or hub id of the model; may be empty.
        state: the scorer's record of the transform. May be empty.
        revision: of the hub repository.
    """
    if state:
        return transform_from_dict(state)
    if not name:
        return None
    kept = Path(name) / TRANSFORM_FILE
    if kept.is_file():
        return transform_from_dict(read_json(kept))
    from transformers import AutoImageProcessor

    try:
        return AutoImageProcessor.from_pretrained(name, revision=revision)
    except (OSError, ValueError):  # the model still takes tensors
        return None


def is_tokenizer(value: Any) -> bool:
    """Whether ``value`` is a Hugging Face tokenizer, by what it can do."""
    return callable(value) and hasattr(value, "convert_ids_to_tokens") and hasattr(value, "decode")


def load_tokenizer(*places: str | None, revision: str | None = None) -> Any:
    """The tokenizer at the first of ``places`` (folders or hub ids) that has one, else ``None``."""
    from transformers import AutoTokenizer

    for place in places:
        if place:
            with suppress(OSError, ValueError):
                return AutoTokenizer.from_pretrained(place, revision=revision)
    return None


def saved_tokenizer(name: str, state: Mapping[str, Any], revision: str | None = None) -> Any:
    """The tokenizer kept with the scorer, else the one beside the model ``name``, else the one ``state`` names.

    ``None`` if there is none of them. The model still takes tensors.

    Args:
        name: folder or hub id of the model. May be empty.
        state: the scorer's record of the tokenizer. May be empty.
        revision: of the hub repository.
    """
    if state.get(KEPT) is not None:
        return state[KEPT]
    remembered = known_place(str(state.get("tokenizer") or ""))
    return load_tokenizer(name or None, remembered, revision=revision)
