"""Inputs close by: as far off as asked, only where there are features, and the same for a seed."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from transformers import BertConfig, BertForSequenceClassification

from pair_models import make_target, make_tokenizer, pairs
from sidelight.lab.audit.nearby import NEARBY, NEIGHBOURS
from sidelight.targets import as_target
from sidelight.targets.families import TARGETS
from tiny_models import pixels, tiny

TEXTS = ["a red square", "there is no blue circle near the green cross", "dull"]


def text_target():
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=60, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    return as_target(BertForSequenceClassification(config).eval(), make_tokenizer())


def test_every_family_has_neighbours() -> None:
    assert set(NEARBY) == set(TARGETS)


def test_noise_is_a_share_of_the_images_own_deviation() -> None:
    target = as_target(tiny("resnet"))
    inputs = {"pixel_values": pixels(3, size=(64, 64)) * torch.tensor([1.0, 5.0, 0.2]).view(3, 1, 1, 1)}
    found = NEARBY["image"](target, inputs, 0.1, [1, 2, 3])["pixel_values"]
    off = (found - inputs["pixel_values"]).flatten(1)
    share = off.std(1) / inputs["pixel_values"].flatten(1).std(1)
    assert share.tolist() == pytest.approx([0.1] * 3, rel=0.03)
    alone = NEARBY["image"](target, {"pixel_values": inputs["pixel_values"][1:2]}, 0.1, [2])["pixel_values"]
    assert torch.equal(alone[0], found[1])
    other = NEARBY["image"](target, inputs, 0.1, [4, 5, 6])["pixel_values"]
    assert not torch.equal(other, found)


@pytest.mark.parametrize("strength", [0.05, 0.4, 1.0])
def test_words_become_near_neighbours_by_cosine(strength: float) -> None:
    target = text_target()
    inputs = target.reader.read(TEXTS).inputs
    before = inputs["input_ids"].clone()
    found = NEARBY["text"](target, inputs, strength, [1, 2, 3])
    assert torch.equal(inputs["input_ids"], before)
    real = target.feature_mask(inputs)["text"]
    changed = found["input_ids"] != before
    assert not (changed & ~real).any()
    counts = [max(1, round(strength * n)) for n in real.sum(1).tolist()]
    assert changed.sum(1).tolist() == counts
    weight = target.vocabulary.weight.detach()
    cosine = F.cosine_similarity(weight[:, None], weight[None], dim=2)
    ordinary = set(target.vocabulary.ordinary_ids().tolist())
    for old, new in zip(before[changed].tolist(), found["input_ids"][changed].tolist(), strict=True):
        order = [i for i in cosine[old].argsort(descending=True).tolist() if i in ordinary and i != old]
        assert new in order[:NEIGHBOURS]
    again = NEARBY["text"](target, inputs, strength, [1, 2, 3])
    assert torch.equal(again["input_ids"], found["input_ids"])


def test_pairs_change_in_both_parts() -> None:
    target = make_target("fusion-resnet")
    inputs = target.reader.read(pairs()).inputs
    found = NEARBY["image+text"](target, inputs, 0.1, [1, 2, 3])
    assert set(found) == set(inputs)
    assert (found["input_ids"] != inputs["input_ids"]).any(1).all()
    assert (found["pixel_values"] != inputs["pixel_values"]).flatten(1).any(1).all()
    target.check(found)
