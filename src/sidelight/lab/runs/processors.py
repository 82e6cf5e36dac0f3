"""The preprocessing of a configuration, a function for each target family."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sidelight.core.files import find_pretrained
from sidelight.errors import ConfigError
from sidelight.inputs.images import transform_from_dict
from sidelight.inputs.loading import is_tokenizer, load_transform
from sidelight.inputs.pairs import ImageTextProcessor
from sidelight.lab.data.tokenizers import open_tokenizer


def new_processor(family: str, section: Any) -> Any:
    """The preprocessing for a target of ``family``, or ``None`` if the classifier's own tokenizer is missing.

    Args:
        family: a name in :data:`sidelight.targets.families.TARGETS`.
        section: a :class:`sidelight.lab.config.sections.TargetSection`.

    Raises:
        ConfigError: the section names one that does not exist, or none although the family needs it.
    """
    return _MAKERS[family](section)


def _image(section: Any) -> Any:
    if section.transform is not None:
        return transform_from_dict(section.transform)
    place = section.pretrained
    found = load_transform(find_pretrained(place), {}, section.revision) if place else None
    if found is None:
        raise ConfigError(
            "the classifier brings no image preprocessing: give target.transform, "
            "e.g. {size: [28, 28], mode: L, mean: [0.5], std: [0.5]}."
        )
    return found


def _text(section: Any) -> Any:
    return open_tokenizer(section.tokenizer, section.pretrained, section.revision)


def _image_text(section: Any) -> ImageTextProcessor:
    parts = section.fusion or section
    image, text = (getattr(parts, part, section) for part in ("image", "text"))
    tokenizer = _text(text)
    if tokenizer is None:
        raise ConfigError(
            "the classifier brings no tokenizer: give target.tokenizer (or target.fusion.text's)."
        )
    return ImageTextProcessor(_image(image), tokenizer)


_MAKERS: dict[str, Callable[[Any], Any]] = {"image": _image, "text": _text, "image+text": _image_text}


def config_values(processor: Any) -> dict[str, Any]:
    """Values of a new model's config that follow from its tokenizer: size of the vocabulary, padding id, longest input.

    Args:
        processor: a tokenizer, or an object that holds one. Without it there are no values.
    """
    tokenizer = getattr(processor, "tokenizer", processor)
    if not is_tokenizer(tokenizer):
        return {}
    values = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    longest = getattr(tokenizer, "model_max_length", None)
    return {**values, "max_position_embeddings": longest} if longest and longest < 10**6 else values
