"""A sum of gradients that is 0 by the rules of calculus is told: its digits are rounding, and rank nothing."""

from __future__ import annotations

import pytest
import torch

import text_models
from helpers_training import TRANSFORM, classifier, corner_images
from sidelight.lab.baselines import make_rival
from sidelight.lab.evaluation.notes import cancelling_notes
from sidelight.targets import TargetModel, as_target

RIVALS = [make_rival(name) for name in ("guided_backprop", "saliency", "integrated_gradients", "occlusion")]


def text_target(family: str) -> TargetModel:
    return as_target(*text_models.make_pair(family))


def by_hand(target: TargetModel) -> float:
    """Largest share of a word's gradient that is left when its channels are summed."""
    inputs = target.reader.read([text_models.TEXTS[0]]).inputs
    embedded = target.features(inputs)["text"].requires_grad_()
    (slope,) = torch.autograd.grad(target.forward(inputs, {"text": embedded}).max(), [embedded])
    slope = slope.double()[target.feature_mask(inputs)["text"]]
    return float((slope.sum(-1).abs() / slope.abs().sum(-1)).max())


@pytest.mark.parametrize(("family", "cancels"), [("bert", True), ("gpt2", True), ("llama", False)])
def test_a_layer_norm_does_not_see_a_shift_of_all_channels(family: str, cancels: bool) -> None:
    target = text_target(family)
    assert (by_hand(target) < 1e-5) is cancels
    found = cancelling_notes(target, text_models.TEXTS, RIVALS)
    assert [note.split(":")[0] for note in found] == (
        ["Guided Backprop says nothing of the text on this target"] if cancels else []
    )


def test_nothing_is_told_where_channels_are_scored_one_by_one_or_nothing_is_summed() -> None:
    target = text_target("bert")
    assert cancelling_notes(target, text_models.TEXTS, RIVALS, "thesis") == []
    assert cancelling_notes(target, text_models.TEXTS, RIVALS[1:]) == []


def test_pixels_do_not_cancel() -> None:
    target = as_target(classifier(), TRANSFORM)
    assert cancelling_notes(target, list(corner_images(4, seed=5)[0]), RIVALS) == []
