"""Attention rollout against the full matrix product in float64, and where there is nothing to roll out."""

from __future__ import annotations

import copy
import logging

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    BeitConfig,
    BeitForImageClassification,
    BertConfig,
    DeiTConfig,
    DeiTForImageClassification,
    GPT2Config,
    LlamaConfig,
    SwinConfig,
    SwinForImageClassification,
    ViTForImageClassification,
)
from transformers.modeling_outputs import SequenceClassifierOutput

from baseline_toys import CLASSES, SIZE, SharedReluNet, resnet, vit
from sidelight.errors import UnsupportedTargetError
from sidelight.lab.baselines import make_rival
from sidelight.lab.baselines.attention import rollout
from sidelight.lab.evaluation.methods import _say_once, supports
from sidelight.targets import ImageTarget
from sidelight.targets.attention import attention_pass
from sidelight.targets.text import TextTarget

SMALL = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24}
WORDS = {"vocab_size": 40, "num_labels": CLASSES, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
LAST = {"gpt2", "llama"}
IDS = torch.tensor([[3, 5, 7, 4, 9, 6], [4, 8, 11, 0, 0, 0], [8, 0, 0, 0, 0, 0]])


def text_target(family: str) -> TextTarget:
    configs = {
        "bert": lambda: BertConfig(**SMALL, **WORDS),
        "gpt2": lambda: GPT2Config(n_embd=16, n_layer=3, n_head=2, n_positions=32, **WORDS),
        "llama": lambda: LlamaConfig(**SMALL, **WORDS, num_key_value_heads=1),
    }
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(configs[family]()).eval()
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim > 1:
                p.mul_(10)  # attention far from uniform
    return TextTarget(model)


def image_target(make, config) -> ImageTarget:
    torch.manual_seed(0)
    model = make(config).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim > 1 and "embeddings" not in name:
                p.mul_(20)
    return ImageTarget(model)


def full_product(model: nn.Module, **inputs) -> torch.Tensor:
    """``[B, L, L]`` rollout of every token, from an eager copy of the model."""
    eager = copy.deepcopy(model)
    eager.set_attn_implementation("eager")
    with torch.no_grad():
        layers = eager(**inputs, output_attentions=True).attentions
    total = torch.eye(layers[0].shape[-1], dtype=torch.float64)
    for layer in layers:
        mean = layer.double().mean(1)
        total = (0.5 * mean + 0.5 * torch.eye(mean.shape[-1], dtype=torch.float64)) @ total
    return total


def on_pixels(patches: torch.Tensor, size: int) -> torch.Tensor:
    return F.interpolate(patches.float(), size=(size, size), mode="bilinear", align_corners=False)


def test_one_layer_by_hand():
    weights = torch.tensor([[[[0.8, 0.2], [0.4, 0.6]], [[0.6, 0.4], [0.0, 1.0]]]])
    start = torch.tensor([[1.0, 0.0]])
    torch.testing.assert_close(rollout([weights], start), torch.tensor([[0.85, 0.15]]))
    # a second layer: 0.85 of the first row and 0.15 of the second, (0.6, 0.4) and (0.1, 0.9)... of the first
    twice = 0.85 * torch.tensor([0.85, 0.15]) + 0.15 * torch.tensor([0.1, 0.9])
    torch.testing.assert_close(rollout([weights, weights], start), twice[None])


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("family", ["bert", "gpt2", "llama"])
def test_texts_get_the_row_of_the_token_that_is_read(family, side, classes):
    target = text_target(family)
    ids = IDS if side == "right" else IDS.flip(1)
    inputs = {"input_ids": ids, "attention_mask": (ids != 0).long()}
    assert target.model.config._attn_implementation == "sdpa"
    maps = make_rival("attention_rollout")(target, inputs, classes)["text"]
    places = torch.arange(6) * (ids != 0)
    read = places.argmax(1) if family in LAST else torch.zeros(3, dtype=torch.long)
    expected = full_product(target.model, **inputs)[torch.arange(3), read]
    rows = slice(None) if family in LAST or side == "right" else slice(0, 1)  # BERT reads padding here
    torch.testing.assert_close(maps[rows], expected[rows].float(), atol=1e-5, rtol=1e-4)
    assert maps[0].std() > 0.02
    if side == "right":
        torch.testing.assert_close(maps.sum(1), torch.ones(3))
        assert (maps[ids == 0] == 0).all()


def test_the_class_plays_no_part_where_one_token_is_read(vit_target, images):
    rival = make_rival("attention_rollout")
    first, second = (rival(vit_target, images, torch.full((3,), k))["image"] for k in (0, 3))
    torch.testing.assert_close(first, second)


def test_images_get_the_row_of_the_class_token_on_the_patch_grid(vit_target, images, classes):
    expected = full_product(vit_target.model, **images)[:, 0, 1:].view(3, 1, 4, 4)
    maps = make_rival("attention_rollout")(vit_target, images, classes)["image"]
    torch.testing.assert_close(maps, on_pixels(expected, SIZE), atol=1e-6, rtol=1e-4)


def test_a_distillation_token_is_no_patch(images, classes):
    target = image_target(
        DeiTForImageClassification, DeiTConfig(**SMALL, image_size=SIZE, patch_size=8, num_labels=CLASSES)
    )
    expected = full_product(target.model, **images)[:, 0, 2:].view(3, 1, 4, 4)
    maps = make_rival("attention_rollout")(target, images, classes)["image"]
    torch.testing.assert_close(maps, on_pixels(expected, SIZE), atol=1e-6, rtol=1e-4)


def test_mean_pooled_patches_share_the_reading(images, classes):
    target = image_target(
        BeitForImageClassification, BeitConfig(**SMALL, image_size=SIZE, patch_size=8, num_labels=CLASSES)
    )
    expected = full_product(target.model, **images)[:, 1:, 1:].mean(1).view(3, 1, 4, 4)
    maps = make_rival("attention_rollout")(target, images, classes)["image"]
    torch.testing.assert_close(maps, on_pixels(expected, SIZE), atol=1e-6, rtol=1e-3)


def test_the_implementation_comes_back_also_after_an_error(vit_target, images, classes):
    config = vit_target.model.config
    assert config._attn_implementation == "sdpa"
    during = []

    def fail(*_):
        during.append(config._attn_implementation)
        raise ZeroDivisionError

    handle = vit_target.model.vit.layernorm.register_forward_hook(fail)
    with pytest.raises(ZeroDivisionError):
        make_rival("attention_rollout")(vit_target, images, classes)
    handle.remove()
    assert during == ["eager"]
    assert config._attn_implementation == "sdpa"
    before = vit_target.encode(images)
    make_rival("attention_rollout")(vit_target, images, classes)
    assert config._attn_implementation == "sdpa"
    after = vit_target.encode(images)
    assert torch.equal(before.logits, after.logits)
    assert len(after.states["image"]) == len(before.states["image"]) > 1


def test_what_padding_looks_at_does_not_matter():
    """A model whose padding rows are NaN, as a softmax over nothing gives."""

    class Broken(nn.Module):
        def forward(self, x, **_):
            weights = torch.softmax(torch.randn(1, 2, 3, 3, generator=torch.Generator().manual_seed(0)), -1)
            weights[..., 2] = 0
            weights[:, :, 2] = torch.nan
            state = x * 1
            return SequenceClassifierOutput(
                logits=state[:, 0], hidden_states=(x, state), attentions=(weights, weights)
            )

    x = torch.randn(1, 3, 4, requires_grad=True)
    attended = torch.tensor([[True, True, False]])
    found = attention_pass(Broken(), {"x": x}, lambda r: {"text": r}, attended)
    result = rollout(found.layers, torch.tensor([[1.0, 0.0, 0.0]]))
    assert torch.isfinite(result).all()
    assert result[0, 2] == 0


def swin() -> ImageTarget:
    config = SwinConfig(
        embed_dim=8, depths=[1, 1], num_heads=[2, 2], image_size=SIZE, patch_size=4, window_size=4
    )
    return image_target(SwinForImageClassification, config)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ImageTarget(resnet()), "gives no attention weights"),
        (swin, r"layer 0 of SwinForImageClassification has \(12, 2, 16, 16\)"),
        (lambda: ImageTarget(SharedReluNet(), layers=["third"]), "ImageTarget gives no attention weights"),
    ],
    ids=["convolutions", "windows", "plain module"],
)
def test_other_models_are_refused(make, message, images, classes, caplog):
    target, rival = make(), make_rival("attention_rollout")
    with pytest.raises(UnsupportedTargetError, match=rf"{message}.*Leave 'attention_rollout' out"):
        rival(target, images, classes)
    _say_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert not supports(rival, target)
    assert "Attention Rollout is left out: " in caplog.text


def test_targets_with_other_modalities_are_refused(pair_target, text_target, pairs, texts, classes):
    for target, inputs in ((pair_target, pairs), (text_target, texts)):
        with pytest.raises(UnsupportedTargetError, match="gives no attention weights"):
            make_rival("attention_rollout")(target, inputs, classes)
        assert "names no inputs to try" in make_rival("attention_rollout").refusal(target)


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_an_evaluation_takes_it_where_it_works(family, vit_target):
    assert supports(make_rival("attention_rollout"), text_target(family))
    assert supports(make_rival("attention_rollout"), vit_target)
    assert not supports(make_rival("grad_cam"), text_target(family))


def test_a_model_loaded_with_eager_attention_stays_so(images, classes):
    torch.manual_seed(0)
    config = vit().config
    model = ViTForImageClassification._from_config(config, attn_implementation="eager").eval()
    target = ImageTarget(model)
    make_rival("attention_rollout")(target, images, classes)
    assert model.config._attn_implementation == "eager"
