"""Tokenizers by name: built in memory, always the same, or loaded from a folder or the hub."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sidelight.core.files import find_pretrained
from sidelight.core.registry import Registry, nearest
from sidelight.errors import ConfigError
from sidelight.inputs.loading import load_tokenizer
from sidelight.lab.data.planted_text import planted_tokenizer
from sidelight.lab.data.scenes import scene_tokenizer

#: Builders by name.
TOKENIZERS: Registry[Callable[[], Any]] = Registry("tokenizer")
TOKENIZERS.add("planted", planted_tokenizer)
TOKENIZERS.add("scenes", scene_tokenizer)


def open_tokenizer(name: str | None, pretrained: str | None, revision: str | None = None) -> Any:
    """The tokenizer that a configuration names, else the model's own, or ``None`` if there is neither.

    Args:
        name: a name in :data:`TOKENIZERS`, a folder, hub id or ``package:path``.
        pretrained: place of the model, whose tokenizer is taken if none is named.
        revision: of the hub repository.

    Raises:
        ConfigError: there is no tokenizer ``name``.
    """
    if name is not None and name in TOKENIZERS:
        return TOKENIZERS[name]()
    place = name or pretrained
    found = load_tokenizer(find_pretrained(place), revision=revision) if place else None
    if name is not None and found is None:
        raise ConfigError(
            f"target.tokenizer {name!r} is no tokenizer folder or hub id, nor one of "
            f"{', '.join(TOKENIZERS)}.{nearest(name, TOKENIZERS)}"
        )
    return found
