"""Loading of classifiers of transformers with all of their weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from sidelight.errors import UnsupportedTargetError


def loaded(kind: Any, name: str, revision: str | None, classes: Sequence[str]) -> nn.Module:
    """Load a model of class ``kind`` in eval mode.

    Args:
        kind: a model class of transformers, or an ``AutoModelFor...``.
        name: folder or hub id.
        classes: if given, the model gets a head for them, whose weights may be new.

    Raises:
        UnsupportedTargetError: weights are missing, so transformers would draw them at random.
    """
    options = head_options(classes)
    model, info = kind.from_pretrained(name, revision=revision, output_loading_info=True, **options)
    missing = sorted(info["missing_keys"])
    # an adapter brings its own weights, after those that are counted here
    if missing and not classes and not getattr(model, "_hf_peft_config_loaded", False):
        raise UnsupportedTargetError(_lacking(model, name, missing))
    found: nn.Module = model.eval()
    return found


def _lacking(model: Any, name: str, missing: Sequence[str]) -> str:
    kind = type(model).__name__
    saved = (getattr(model.config, "architectures", None) or [kind])[0]
    whose = f"{name!r} was saved by the class {saved}. " if saved != kind else ""
    return (
        f"{whose}{name!r} lacks {len(missing)} weights of {kind} ({', '.join(missing[:3])}, ...), which would be drawn at "
        "random. Load the classifier yourself, with the class that saved it, and pass it."
    )


def head_options(classes: Sequence[str]) -> dict[str, Any]:
    """Return ``from_pretrained`` options that give a model a head for ``classes``, or none for no classes."""
    if not classes:
        return {}
    return {
        "num_labels": len(classes),
        "id2label": dict(enumerate(classes)),
        "label2id": {name: i for i, name in enumerate(classes)},
        "ignore_mismatched_sizes": True,
    }
