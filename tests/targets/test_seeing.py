"""A clean pass on changed features gives the logits of a pass with these features, for every family."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import pair_models
import text_models
from face_toys import pixels
from sidelight.errors import UnsupportedTargetError
from sidelight.targets import TextTarget, as_target
from sidelight.targets.base import TargetModel
from tiny_models import tiny


def targets(kind: str) -> tuple[TargetModel, Any]:
    """A target and samples for it, by the name of a tiny model."""
    if kind in pair_models.BUILDERS:
        options: dict[str, Any] = {"candidates": ["a cat", "a dull day"]} if kind == "clip" else {}
        return pair_models.make_target(kind, **options), pair_models.pairs()
    if kind in text_models.FAMILIES:
        return as_target(*text_models.make_pair(kind)), text_models.TEXTS
    return as_target(tiny(kind)), {"pixel_values": pixels(2)}


@pytest.mark.parametrize("kind", ["resnet", *text_models.FAMILIES, *sorted(pair_models.BUILDERS)])
def test_an_encoding_sees_the_given_features(kind: str) -> None:
    target, samples = targets(kind)
    inputs = target.reader.read(samples).inputs
    own = target.features(inputs)
    changed = {m: 0.5 * x.flip(0) for m, x in own.items()}
    clean = target.encode(inputs)
    with target.seeing(inputs, own) as seen:
        same = target.encode(seen)
    with target.seeing(inputs, changed) as seen:
        other = target.encode(seen)
    torch.testing.assert_close(same.logits, clean.logits)
    with torch.no_grad():
        torch.testing.assert_close(other.logits, target.forward(inputs, changed))
    assert not torch.allclose(other.logits, clean.logits)
    for modality, states in clean.states.items():
        for state, again in zip(states, same.states[modality], strict=True):
            torch.testing.assert_close(state, again)
        assert not torch.allclose(other.states[modality][-1], states[-1])
    torch.testing.assert_close(target.encode(inputs).logits, clean.logits)  # nothing is left behind


def test_a_context_without_a_pass_is_told() -> None:
    target, samples = targets("bert")
    inputs = target.reader.read(samples).inputs
    with (
        pytest.raises(UnsupportedTargetError, match="did not look words up"),
        target.seeing(inputs, target.features(inputs)),
    ):
        pass


def test_a_family_without_such_a_pass_says_so() -> None:
    target, samples = targets("bert")
    assert isinstance(target, TextTarget)
    inputs = target.reader.read(samples).inputs
    with pytest.raises(UnsupportedTargetError, match="TextTarget takes no features in place of its own"):
        TargetModel.seeing(target, inputs, target.features(inputs))
