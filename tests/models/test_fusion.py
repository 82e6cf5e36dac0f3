"""The fusion classifier: a formula by hand, any two encoders, frozen parts, and back from disk as it was."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel

import tiny_models
from pair_models import SIDE, TEXT, bert, clip, fusion, resnet, vit
from sidelight.errors import ConfigError, InputError, UnsupportedTargetError
from sidelight.models.fusion import FusionClassifier, FusionConfig, sine_positions

IDS = torch.tensor([[2, 7, 8, 9, 3], [2, 6, 3, 0, 0]])
ATTENDED = (IDS != 0).long()


def pixels(count: int = 2, size: tuple[int, int] = (SIDE, SIDE)) -> Tensor:
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(1))


def attention_by_hand(x: Tensor, seen: Tensor, layer: Any, heads: int) -> Tensor:
    """Pre-norm transformer layer in plain matrix products, from the layer's own weights."""
    own = layer.self_attn
    h = F.layer_norm(x, x.shape[-1:], layer.norm1.weight, layer.norm1.bias)
    q, k, v = (h @ own.in_proj_weight.T + own.in_proj_bias).chunk(3, -1)
    q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k, v))
    logits = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    weights = logits.masked_fill(~seen[:, None, None], float("-inf")).softmax(-1)
    x = x + (weights @ v).transpose(1, 2).flatten(2) @ own.out_proj.weight.T + own.out_proj.bias
    h = F.layer_norm(x, x.shape[-1:], layer.norm2.weight, layer.norm2.bias)
    h = h @ layer.linear1.weight.T + layer.linear1.bias
    h = 0.5 * h * (1 + torch.erf(h / 2**0.5))
    return x + h @ layer.linear2.weight.T + layer.linear2.bias


@pytest.mark.parametrize("image", [resnet, vit])
def test_the_logits_by_hand_in_float64(image: Callable[[], nn.Module]) -> None:
    model, x = fusion(image).eval().double(), pixels().double()
    with torch.no_grad():
        out = model(x, IDS, ATTENDED, output_hidden_states=True)
        text = model.text_encoder(input_ids=IDS, attention_mask=ATTENDED, output_hidden_states=True)
        seen = model.image_encoder(pixel_values=x, output_hidden_states=True)
        state = seen.last_hidden_state
        cells = state.flatten(2).transpose(1, 2) if state.ndim == 4 else state
        cells = model.image_projection(cells)
        if state.ndim == 4:
            cells = cells + 0.1 * sine_positions(*state.shape[-2:], 16).double()
        kinds = model.type_embedding.weight
        words = model.text_projection(text.last_hidden_state) + kinds[2]
        tokens = torch.cat([kinds[0].expand(2, 1, -1), cells + kinds[1], words], 1)
        mask = torch.cat([torch.ones(2, 1 + cells.shape[1]), ATTENDED], 1).bool()
        for layer in model.fusion:
            tokens = attention_by_hand(tokens, mask, layer, heads=2)
        tokens = F.layer_norm(tokens, (16,), model.norm.weight, model.norm.bias)
        logits = tokens[:, 0] @ model.classifier.weight.T + model.classifier.bias

    torch.testing.assert_close(out.logits, logits, rtol=0, atol=1e-8)
    torch.testing.assert_close(out.fusion_output, tokens[:, 0])
    torch.testing.assert_close(out.text_fused[0], tokens[0, -5:])
    fused = out.image_fused.flatten(2).transpose(1, 2) if state.ndim == 4 else out.image_fused
    torch.testing.assert_close(fused, tokens[:, 1 : 1 + cells.shape[1]])
    for given, own in ((out.text_hidden_states, text), (out.image_hidden_states, seen)):
        assert len(given) == len(own.hidden_states)
        assert all(torch.equal(a, b) for a, b in zip(given, own.hidden_states, strict=True))


def test_states_and_loss_only_where_asked_for() -> None:
    model = fusion().eval()
    out = model(pixels(), IDS, ATTENDED)
    assert out.loss is None
    assert out.text_hidden_states is None
    labels = torch.tensor([2, 0])
    loss = model(pixels(), IDS, ATTENDED, labels=labels).loss
    torch.testing.assert_close(loss, F.cross_entropy(out.logits, labels))
    assert isinstance(model(pixels(), IDS, ATTENDED, return_dict=False), tuple)


def test_words_may_be_given_as_embeddings() -> None:
    model = fusion().eval()
    embeds = model.get_input_embeddings()(IDS)
    torch.testing.assert_close(
        model(pixels(), inputs_embeds=embeds, attention_mask=ATTENDED).logits,
        model(pixels(), IDS, ATTENDED).logits,
    )


@pytest.mark.parametrize("known", [["text"], ["image"], ["image", "text"]])
def test_a_pass_goes_on_from_what_encoders_said(known: list[str]) -> None:
    model = fusion().eval()
    first = model(pixels(), IDS, ATTENDED)
    encoded = {f"{m}_encoded": getattr(first, f"{m}_encoded") for m in known}
    torch.testing.assert_close(model(pixels(), IDS, ATTENDED, **encoded).logits, first.logits)
    # what is known is not looked up: other pixels, or other words of that number, change nothing
    other = (1 - pixels() if "image" in known else pixels(), IDS.flip(0) if "text" in known else IDS)
    torch.testing.assert_close(model(*other, ATTENDED, **encoded).logits, first.logits)
    assert not torch.allclose(model(1 - pixels(), IDS.flip(0), ATTENDED).logits, first.logits, atol=1e-4)


def test_padding_and_batch_change_nothing() -> None:
    model, x = fusion().eval(), pixels()
    together = model(x, IDS, ATTENDED).logits
    alone = model(x[1:], IDS[1:, :3]).logits
    torch.testing.assert_close(together[1:], alone, rtol=0, atol=1e-5)
    longer = F.pad(IDS, (0, 4))
    torch.testing.assert_close(model(x, longer, F.pad(ATTENDED, (0, 4))).logits, together, rtol=0, atol=1e-5)


def test_positions_on_a_grid_by_formula() -> None:
    found = sine_positions(3, 5, 8).unflatten(0, (3, 5)).double().numpy()
    for row in range(3):
        for column in range(5):
            rates = [1.0, 100.0**-0.5]
            wanted = [f(p * r) for p in (row, column) for f in (np.sin, np.cos) for r in rates]
            np.testing.assert_allclose(found[row, column], wanted, atol=1e-6)
    flat = sine_positions(7, 9, 16)
    assert torch.cdist(flat, flat).fill_diagonal_(9).min() > 0.1


TEXT_MODELS = {
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24},
    "roberta": {**TEXT, "pad_token_id": 1},
    "deberta-v2": {**TEXT, "relative_attention": True, "pos_att_type": ["p2c"]},
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2},
}


@pytest.mark.parametrize("name", [*sorted(tiny_models.BUILDERS), *TEXT_MODELS])
def test_any_two_encoders_come_back_from_disk_exactly(name: str, tmp_path: Path) -> None:
    text = {"model_type": name, **TEXT_MODELS[name]} if name in TEXT_MODELS else None
    image = tiny_models.BUILDERS[name]().config if text is None else resnet().config
    config = FusionConfig(
        text or bert().config, image, width=16, heads=2, id2label={0: "no", 1: "maybe", 2: "yes"}
    )
    model = FusionClassifier(config).eval()
    assert config.image_channels is not None
    model.save_pretrained(tmp_path)

    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    again, auto = FusionClassifier.from_pretrained(tmp_path), AutoModel.from_pretrained(tmp_path)
    own_size = getattr(image, "image_size", None) or SIDE
    size = (own_size, own_size) if isinstance(own_size, int) else tuple(own_size)
    with torch.no_grad():
        wanted = model(pixels(size=size), IDS, ATTENDED).logits
        for other in (again, auto):
            assert type(other) is FusionClassifier
            assert torch.equal(other.eval()(pixels(size=size), IDS, ATTENDED).logits, wanted)
    assert wanted.shape == (2, 3)
    assert again.config.id2label == {0: "no", 1: "maybe", 2: "yes"}
    own, found = model.state_dict(), again.state_dict()
    assert own.keys() == found.keys()
    assert all(torch.equal(own[k], found[k]) for k in own)
    kept = AutoConfig.from_pretrained(tmp_path)
    assert isinstance(kept, FusionConfig)
    assert type(kept.text_config) is type(config.text_config)
    assert (kept.width, kept.heads, kept.image_channels) == (16, 2, config.image_channels)


def test_ready_encoders_keep_their_weights_and_lose_what_nobody_reads() -> None:
    text, image = bert(), vit()
    before = {k: v.clone() for m in (text, image) for k, v in m.state_dict().items() if "pooler" not in k}
    model = FusionClassifier.from_encoders(text, image, width=16, heads=2)  # type: ignore[arg-type]
    assert model.text_encoder is text
    after = {**text.state_dict(), **image.state_dict()}
    assert after.keys() == before.keys()
    assert all(torch.equal(after[k], v) for k, v in before.items())
    assert text.config._attn_implementation == "sdpa"


def step(model: Any) -> None:
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model(
        pixels(4), IDS.repeat(2, 1), ATTENDED.repeat(2, 1), labels=torch.tensor([0, 1, 2, 0])
    ).loss.backward()
    optimizer.step()


@pytest.mark.parametrize("frozen", [[], ["image"], ["text"], ["image", "text"]])
def test_frozen_encoders_stay_as_they_are(frozen: list[str], tmp_path: Path) -> None:
    model = fusion(freeze=frozen).requires_grad_(True).train()
    before = copy.deepcopy(model.state_dict())
    step(model)
    after = model.state_dict()
    for part in ("image", "text"):
        keys = [k for k in before if k.startswith(f"{part}_encoder.")]
        same = all(torch.equal(before[k], after[k]) for k in keys)  # batch statistics are among them
        assert same == (part in frozen)
        assert getattr(model, f"{part}_encoder").training == (part not in frozen)
    assert not torch.equal(before["classifier.weight"], after["classifier.weight"])

    model.save_pretrained(tmp_path)
    again = FusionClassifier.from_pretrained(tmp_path).train()
    for part in ("image", "text"):
        needs = {p.requires_grad for p in getattr(again, f"{part}_encoder").parameters()}
        assert needs == {part not in frozen}


def test_gradients_pass_through_frozen_encoders_to_the_input() -> None:
    model, x = fusion(freeze=["image", "text"]).eval(), pixels().requires_grad_()
    model(x, IDS, ATTENDED).logits.sum().backward()
    assert x.grad is not None
    assert bool((x.grad != 0).any())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 18, "heads": 4}, "multiple of heads"),
        ({"width": 18, "heads": 2}, "multiple of heads and of 4"),
        ({"layers": 0}, "layers"),
        ({"dropout": 1.0}, "dropout"),
        ({"freeze": ["picture"]}, "freeze lists"),
        ({"freeze": "text"}, "freeze lists"),
    ],
)
def test_sizes_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FusionConfig(bert().config, resnet().config, **options)


def test_encoders_that_are_none() -> None:
    with pytest.raises(ConfigError, match=r"text_config must be .*'model_type'"):
        FusionConfig(None, resnet().config)
    with pytest.raises(UnsupportedTargetError, match="BertModel is not an image encoder"):
        FusionClassifier.from_encoders(bert(), bert())  # type: ignore[arg-type]
    with pytest.raises(UnsupportedTargetError, match="CLIPModel is not a text encoder"):
        FusionClassifier.from_encoders(clip(), resnet())  # type: ignore[arg-type]
    t5 = {"model_type": "t5", "d_model": 16, "d_ff": 24, "num_layers": 1, "num_heads": 2, "vocab_size": 30}
    with pytest.raises(UnsupportedTargetError, match="no encoder-decoder"):
        FusionClassifier(FusionConfig(t5, resnet().config))
    with pytest.raises(UnsupportedTargetError, match="no plain model"):
        FusionClassifier(FusionConfig({"model_type": "encoder-decoder", **_t5_parts()}, resnet().config))


def _t5_parts() -> dict[str, Any]:
    part = {"model_type": "bert", **TEXT}
    return {"encoder": part, "decoder": part}


def test_counts_that_do_not_match() -> None:
    model = fusion().eval()
    with pytest.raises(InputError, match=r"one text per image: got 3 image\(s\), 2 text\(s\)"):
        model(pixels(3), IDS, ATTENDED)
    with pytest.raises(InputError, match="none text"):
        model(pixels())
