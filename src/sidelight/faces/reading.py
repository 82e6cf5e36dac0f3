"""What all faces share: one reading of a batch of the model's own inputs, for classes as other tools name them."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from sidelight.core.field_checks import require_choice
from sidelight.core.tensors import masked_range
from sidelight.core.types import Encoding, Features, Inputs, Reading, Scores
from sidelight.errors import ConfigError
from sidelight.explainer import Explainer
from sidelight.explanations.classes import chosen_classes

#: what a face may give of an explanation
Kind = Literal["scores", "ranking", "effects"]
KINDS: tuple[Kind, ...] = ("scores", "ranking", "effects")


def require_kind(kind: Any, explainer: Explainer) -> Kind:
    """``kind`` if ``explainer`` has such a reading.

    Raises:
        ConfigError: there is no such reading, or the scorer has not learnt it.
    """
    require_choice(kind, KINDS, "reading", quoted=True)
    if kind == "effects" and not explainer.scorer.config.by_class:
        raise ConfigError(
            "this scorer has no effects, because it was trained with the thesis's objective. Choose reading='scores' or "
            "'ranking', or train one with objective='robust'."
        )
    found: Kind = kind
    return found


def read_batch(
    explainer: Explainer, inputs: Inputs, classes: Any, kind: Kind, features: Features | None = None
) -> Scores:
    """One value for each feature, per modality of the scores' shape, float32. Features that are not real get 0.

    Args:
        explainer: its target is asked.
        inputs: the model's own inputs, ``B`` samples, on the target's device.
        classes: as ``explain(target=...)`` takes them. ``None`` for the predicted ones.
        kind: the reading. A ranking is shifted so that its last feature has 0, because raw scores have no zero of their
            own.
        features: seen in place of the model's own, if they are given.

    Raises:
        InputError: the inputs are not what the model takes, or classes do not fit them.
        ConfigError: there is no such class, or the scorer does not know it.
    """
    target = explainer.target
    target.check(inputs)
    if features is None:
        encoding = target.encode(inputs)
    else:
        with target.seeing(inputs, features) as seen:
            encoding = target.encode(seen)
    return values_of(explainer.read(encoding, known_classes(explainer, classes, encoding)), kind, encoding)


def known_classes(explainer: Explainer, classes: Any, encoding: Encoding) -> Tensor | None:
    """``[B]`` classes to explain. ``None`` for the predicted ones, also if all ``classes`` are those.

    Raises:
        ConfigError: there is no such class, or the scorer knows the predicted class only and another one is given.
        InputError: a list has another length than the batch.
    """
    chosen = chosen_classes(
        classes, encoding.logits, explainer.target.id2label, independent=encoding.independent
    )
    if chosen is None or explainer.scorer.config.by_class:
        return chosen
    others = (chosen != encoding.prediction).nonzero().flatten().tolist()
    if others:
        raise ConfigError(
            f"this scorer makes maps of the predicted class only, and sample(s) {others[:8]} are asked about another one. "
            "Give the predicted classes, or train a scorer with objective='robust'."
        )
    return None


def values_of(reading: Reading, kind: Kind, encoding: Encoding) -> Scores:
    """The values of one ``kind``, as :func:`read_batch` gives them."""
    found = {"scores": reading.scores, "ranking": reading.ranking, "effects": reading.effects}[kind]
    assert found is not None  # require_kind has asked
    real = encoding.feature_mask
    values = {m: _from_last(v, real[m]) if kind == "ranking" else v for m, v in found.items()}
    return {m: torch.where(real[m], v.float(), 0.0) for m, v in values.items()}


def _from_last(values: Tensor, real: Tensor) -> Tensor:
    """``values`` minus the lowest of each sample's real features."""
    low, _ = masked_range(values.flatten(1), real.flatten(1))
    return values - low.view(-1, *[1] * (values.ndim - 1))
