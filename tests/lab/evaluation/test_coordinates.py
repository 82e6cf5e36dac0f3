"""A target by channel: the same passes as the target's own, whatever unit the scores come in."""

from __future__ import annotations

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from pair_models import TEXT, make_target, make_tokenizer, pairs
from sidelight.lab.baselines import make_rival
from sidelight.lab.evaluation.coordinates import ChannelView
from sidelight.lab.metrics.probe import Probe
from sidelight.targets import TextTarget
from sidelight.targets.base import fingerprint


def classifier() -> BertForSequenceClassification:
    """Random weights, large enough to tell inputs apart."""
    torch.manual_seed(0)
    return BertForSequenceClassification(BertConfig(**TEXT, num_labels=3, initializer_range=0.3))


@pytest.fixture(scope="module", params=["text", "image+text"])
def case(request: pytest.FixtureRequest):
    """A target, its view with text by coordinate, and three samples."""
    if request.param == "text":
        target = TextTarget(classifier().eval(), make_tokenizer())
        inputs = target.reader.read([text for _, text in pairs()]).inputs
    else:
        target = make_target("fusion-resnet")
        inputs = target.reader.read(pairs()).inputs
    return target, ChannelView(target, ["text"]), inputs


def test_scores_of_tokens_spread_over_coordinates_change_nothing(case) -> None:
    target, view, inputs = case
    g = torch.Generator().manual_seed(1)
    mask = target.feature_mask(inputs)
    scores = {n: torch.rand(m.shape, generator=g).masked_fill(~m, 1.0) for n, m in mask.items()}
    spread = view.spread(scores, inputs)
    assert spread["text"].shape == target.features(inputs)["text"].shape
    with torch.no_grad():
        own, seen = target.classify(inputs, scores), view.classify(inputs, spread)
        clean = target.classify(inputs, {})
    torch.testing.assert_close(seen, own, atol=1e-5, rtol=1e-5)
    assert (own - clean).abs().max() > 1e-4
    seen_mask = view.feature_mask(inputs)
    assert torch.equal(seen_mask["text"].all(-1), mask["text"])
    assert torch.equal(seen_mask["text"].any(-1), mask["text"])
    assert all(torch.equal(seen_mask[n], mask[n]) for n in mask if n != "text")


def test_one_coordinate_is_masked_alone(case) -> None:
    target, view, inputs = case
    features = target.features(inputs)
    keep = torch.ones_like(features["text"])
    keep[:, 1, 2] = 0
    changed = features["text"].clone()
    changed[:, 1, 2] = 0
    with torch.no_grad():
        wanted = target.forward(inputs, {**features, "text": changed})
        torch.testing.assert_close(view.classify(inputs, {"text": keep}), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["input_x_gradient", "integrated_gradients", "deep_lift", "guided_backprop"])
def test_signed_rivals_sum_to_their_scores_of_tokens(case, name: str) -> None:
    target, view, inputs = case
    classes = target.encode(inputs).prediction
    rival = make_rival(name)
    by_token, by_coordinate = rival(target, inputs, classes), rival(view, inputs, classes)
    assert by_coordinate["text"].shape == target.features(inputs)["text"].shape
    torch.testing.assert_close(by_coordinate["text"].sum(-1), by_token["text"], atol=1e-5, rtol=1e-4)
    for other in set(target.modalities) - {"text"}:
        torch.testing.assert_close(by_coordinate[other], by_token[other], atol=1e-6, rtol=1e-4)


def test_saliency_is_the_absolute_gradient_whose_norm_is_its_score_of_a_token(case) -> None:
    target, view, inputs = case
    classes = target.encode(inputs).prediction
    rival = make_rival("saliency")
    found = rival(view, inputs, classes)["text"]
    assert (found >= 0).all()
    torch.testing.assert_close(
        found.norm(dim=-1), rival(target, inputs, classes)["text"], atol=1e-6, rtol=1e-4
    )


def test_a_probe_asks_the_same_through_a_view_and_leaves_the_target_as_it_was() -> None:
    target = TextTarget(classifier().train(), make_tokenizer())
    before, flags = fingerprint(target.model), [m.training for m in target.model.modules()]
    inputs = target.reader.read(["one two", "three"]).inputs
    plain, seen = (
        Probe(t, inputs, [0, 1], confidence="logit") for t in (target, ChannelView(target, ["text"]))
    )
    torch.testing.assert_close(plain.clean, seen.clean)
    assert torch.equal(plain.classes, seen.classes)
    assert fingerprint(target.model) == before
    assert [m.training for m in target.model.modules()] == flags


def test_a_view_has_the_clean_pass_and_the_weights_of_its_target() -> None:
    target = TextTarget(classifier().eval(), make_tokenizer())
    view = ChannelView(target, ["text"])
    inputs = target.reader.read(["one two"]).inputs
    assert torch.equal(view.encode(inputs).logits, target.encode(inputs).logits)
    assert view.unmasked(inputs).feature_mask["text"].shape == target.features(inputs)["text"].shape
    assert view.fingerprint() == target.fingerprint()
