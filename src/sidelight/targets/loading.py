"""Loading of classifiers of transformers with all of their weights."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from sidelight.core.pointers import told_of_pointer
from sidelight.core.refusals import require_readable
from sidelight.errors import CheckpointError, UnsupportedTargetError


def loaded(kind: Any, name: str, revision: str | None, classes: Sequence[str]) -> nn.Module:
    """Load a model of class ``kind`` in eval mode.

    Args:
        kind: a model class of transformers, or an ``AutoModelFor...``.
        name: folder or hub id.
        classes: if given, the model gets a head for them, whose weights may be new.

    Raises:
        CheckpointError: the folder holds pointers of Git LFS in place of the weights, or files that we may not read.
        UnsupportedTargetError: weights are missing or of other sizes, so transformers would draw them at random.
    """
    # sizes are compared below: transformers accepts all of them, or refuses the new head as well
    options = {**head_options(classes), "ignore_mismatched_sizes": True}
    try:
        model, info = kind.from_pretrained(name, revision=revision, output_loading_info=True, **options)
    except Exception as error:
        if told := told_of_pointer(name, "weights"):
            raise CheckpointError(told) from error
        for file in sorted(Path(name).glob("*.*")) if os.path.isdir(name) else ():
            require_readable(file)
        raise
    require_sizes(info["mismatched_keys"], name, len(classes))
    missing = sorted(info["missing_keys"])
    # an adapter brings its own weights, after those that are counted here
    if missing and not classes and not getattr(model, "_hf_peft_config_loaded", False):
        raise UnsupportedTargetError(_lacking(model, name, missing))
    found: nn.Module = model.eval()
    return found


def require_sizes(mismatched: Iterable[tuple[str, Any, Any]], name: str, classes: int = 0) -> None:
    """Refuse weights of other sizes than the model has, other than a head for another number of classes.

    Args:
        mismatched: name, saved shape and the model's shape of each weight, as transformers tells them.
        name: folder or hub id.
        classes: of a new head, or 0 if there is none.

    Raises:
        UnsupportedTargetError: see above.
    """
    wrong = [
        (key, tuple(saved), tuple(own))
        for key, saved, own in sorted(mismatched)
        if not (classes and own[:1] == (classes,) and tuple(saved[1:]) == tuple(own[1:]))
    ]
    if wrong:
        key, saved, own = wrong[0]
        raise UnsupportedTargetError(
            f"{len(wrong)} weights of {name!r} have other sizes than its config.json says: {key} is {list(saved)}, and "
            f"{list(own)} is expected. Weights and configuration are of two models: copy both from the same one."
        )


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
    }
