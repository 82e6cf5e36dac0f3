"""LIME and Kernel-SHAP against exact enumeration, normal equations in float64, and Captum called directly."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import captum.attr
import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import BertConfig, BertForSequenceClassification

from baseline_toys import CLASSES
from sidelight.core.seeds import stream
from sidelight.lab.baselines import make_rival
from sidelight.lab.baselines.surrogate import ShapleyRegression
from sidelight.targets.text import TextTarget

WEIGHTS = torch.tensor([[2.0, -1, 0.5, 3, 0.25], [1, 0.75, -2, 9, 9], [0.5, -1, 9, 9, 9]])
COUNTS = (5, 3, 2)


def additive(shown: Tensor, weights: Tensor) -> Tensor:
    return (shown * weights).sum(-1)


def interacting(shown: Tensor, weights: Tensor) -> Tensor:
    """Pairs that only count together, a maximum, and a constant."""
    value = additive(shown, weights) + 2 * shown[..., 0] * shown[..., 1] + 0.7
    return value + torch.where(shown > 0, weights, weights.min() - 1).amax(-1) - 1.5 * shown.prod(-1)


def game(target, texts, value: Callable[[Tensor, Tensor], Tensor], monkeypatch):
    """Inputs of ``target`` with logits ``value(tokens shown, weights of the row)`` for every class."""

    def forward(inputs, features):
        shown = (features["text"] != 0).any(-1).double() * inputs["attention_mask"]
        logits = torch.stack(
            [value(s, WEIGHTS[int(row)]) for s, row in zip(shown, inputs["row"], strict=True)]
        )
        return logits[:, None].expand(-1, CLASSES).float()

    monkeypatch.setattr(target, "forward", forward)
    return {**texts, "row": torch.arange(3)}


def shapley(function: Callable[[Tensor], float], count: int) -> Tensor:
    """Mean over all orders of what each feature adds: ``count!`` orders, float64."""
    bits = torch.tensor(list(itertools.product((0.0, 1.0), repeat=count)), dtype=torch.float64)
    value = {frozenset(row.nonzero().flatten().tolist()): function(row) for row in bits}
    total = np.zeros(count)
    for order in itertools.permutations(range(count)):
        for place, feature in enumerate(order):
            before = frozenset(order[:place])
            total[feature] += value[before | {feature}] - value[before]
    return torch.from_numpy(total / math.factorial(count))


@pytest.mark.parametrize("value", [additive, interacting])
def test_short_texts_get_exact_shapley_values(value, text_target, texts, classes, monkeypatch):
    inputs = game(text_target, texts, value, monkeypatch)
    maps = make_rival("kernel_shap", n_samples=32)(text_target, inputs, classes)["text"]
    for row, count in enumerate(COUNTS):

        def own(shown: Tensor, row: int = row, count: int = count) -> float:
            padded = torch.cat([shown, torch.zeros(5 - count, dtype=torch.float64)])
            return float(value(padded, WEIGHTS[row].double()))

        torch.testing.assert_close(maps[row, :count].double(), shapley(own, count), atol=1e-5, rtol=1e-5)
    assert (maps[texts["attention_mask"] == 0] == 0).all()
    if value is additive:
        for row, count in enumerate(COUNTS):
            torch.testing.assert_close(maps[row, :count], WEIGHTS[row, :count], atol=1e-5, rtol=1e-5)


def test_a_single_token_gets_all_the_difference(text_target, classes):
    inputs = {"input_ids": torch.tensor([[7, 0]]), "attention_mask": torch.tensor([[1, 0]])}
    x = text_target.features(inputs)["text"]
    pick = int(classes[1])
    expected = text_target.forward(inputs, {"text": x}) - text_target.forward(inputs, {"text": x * 0})
    maps = make_rival("kernel_shap")(text_target, inputs, classes[1:2])["text"]
    torch.testing.assert_close(maps, torch.stack([expected[0, pick], torch.zeros(())])[None].detach())


@pytest.mark.parametrize("n_samples", [12, 400])
def test_shapley_values_sum_to_what_all_features_add(n_samples, text_target, texts, classes):
    maps = make_rival("kernel_shap", n_samples=n_samples)(text_target, texts, classes)["text"]
    x = text_target.features(texts)["text"]
    gained = text_target.forward(texts, {"text": x}) - text_target.forward(texts, {"text": x * 0})
    torch.testing.assert_close(maps.sum(1), gained.gather(1, classes[:, None])[:, 0], atol=1e-5, rtol=1e-4)


def long_game(value: Callable[[Tensor], Tensor], text_target, monkeypatch, count: int = 10):
    inputs = {
        "input_ids": torch.arange(1, count + 1)[None],
        "attention_mask": torch.ones(1, count, dtype=torch.long),
    }
    monkeypatch.setattr(
        text_target,
        "forward",
        lambda _i, f: value((f["text"] != 0).any(-1).double())[:, None].expand(-1, CLASSES).float(),
    )
    return inputs


def test_drawn_choices_still_find_an_additive_model_exactly(text_target, monkeypatch):
    weights = torch.linspace(-1, 2, 10, dtype=torch.float64)
    inputs = long_game(lambda shown: shown @ weights + 3, text_target, monkeypatch)
    maps = make_rival("kernel_shap", n_samples=60)(text_target, inputs, torch.tensor([0]))["text"]
    torch.testing.assert_close(maps[0].double(), weights, atol=1e-4, rtol=1e-4)


def test_drawn_choices_come_near_the_shapley_values(text_target, monkeypatch):
    weights = torch.linspace(-1, 1, 7, dtype=torch.float64)

    def value(shown: Tensor) -> Tensor:
        return shown @ weights + 3 * shown[:, 0] * shown[:, 1] * shown[:, 2] - 2 * shown[:, 3] * shown[:, 6]

    exact = shapley(lambda shown: float(value(shown[None])), 7)
    inputs = long_game(value, text_target, monkeypatch, 7)
    errors = []
    for n_samples in (24, 120):  # of 128
        rivals = [make_rival("kernel_shap", n_samples=n_samples, seed=s, internal_batch=64) for s in range(6)]
        found = [rival(text_target, inputs, torch.tensor([0]))["text"][0] for rival in rivals]
        errors.append(float(torch.stack([(f - exact).abs().mean() for f in found]).mean()))
    assert errors[1] < 0.5 * errors[0]
    assert errors[1] < 0.05
    everything = make_rival("kernel_shap", n_samples=128)(text_target, inputs, torch.tensor([0]))["text"]
    torch.testing.assert_close(everything[0].double(), exact, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("count", "n_samples"), [(20, 4000), (8, 200), (9, 500), (300, 60), (3, 7), (5, 2)])
def test_shapley_rows_weigh_as_the_kernel_says(count, n_samples):
    rival = make_rival("kernel_shap", n_samples=n_samples)
    bits = rival._bits(count, stream(0, 0))
    weigh = rival._weigh(bits)
    weights = np.array([weigh(None, None, row) for row in bits.split(1)])
    sizes = bits.sum(1).numpy()
    assert len(bits) == n_samples
    assert bits[0].all()
    assert not bits[1].any()
    assert (weights[:2] == 0).all()
    drawn, mass = weights[2:], {k: 1 / (k * (count - k)) for k in range(1, count)}
    if n_samples > 2:
        reached = sum(mass[k] for k in mass if k in sizes)
        assert drawn.sum() == pytest.approx(sum(mass.values()), rel=1e-6) or reached < sum(mass.values())
    complete = rival._complete_sizes(count)
    for size in range(1, complete + 1):
        for own in (size, count - size):
            rows = bits[torch.from_numpy(sizes == own)]
            assert len(rows) == len(rows.unique(dim=0)) == math.comb(count, size)
            assert weights[sizes == own].sum() == pytest.approx(mass[own])
    if n_samples % 2 == 0:  # complements come in pairs
        assert (bits.double().mean(0) - 0.5).abs().max() < 1e-9


def test_shapley_draws_follow_the_kernel():
    rival = make_rival("kernel_shap", n_samples=40_000)
    bits = rival._bits(40, stream(0, 0))
    complete = rival._complete_sizes(40)
    assert complete == 2
    sizes = bits.sum(1).numpy()
    middle = np.arange(complete + 1, 40 - complete)
    kernel = 1 / (middle * (40 - middle))
    shares = np.bincount(sizes, minlength=41)[middle]
    np.testing.assert_allclose(shares / shares.sum(), kernel / kernel.sum(), atol=0.01)


def ridge(bits: np.ndarray, outputs: np.ndarray, weights: np.ndarray, alpha: float) -> np.ndarray:
    """Coefficients from the normal equations, the intercept not penalised."""
    x = np.hstack([bits, np.ones((len(bits), 1))])
    penalty = alpha * np.eye(x.shape[1])
    penalty[-1, -1] = 0
    return np.linalg.solve(x.T * weights @ x + penalty, x.T * weights @ outputs)[:-1]


@pytest.mark.parametrize(("n_samples", "options"), [(20, {}), (500, {"kernel_width": 1.0, "alpha": 0.2})])
def test_lime_is_the_weighted_ridge_regression(n_samples, options, text_target, texts, classes):
    rival = make_rival("lime", n_samples=n_samples, seed=3, **options)
    maps = rival(text_target, texts, classes, ids=[11, 12, 13])["text"]
    x = text_target.features(texts)["text"].detach()
    for row, count in enumerate(COUNTS):
        if 2**count <= n_samples:
            bits = np.array(list(itertools.product((0, 1), repeat=count)), dtype=float)
            repeats = n_samples / len(bits)  # each choice stands for so many draws
        else:
            bits, repeats = rival._bits(count, stream(3, 11 + row, 4)).double().numpy(), 1.0
            assert bits.shape == (n_samples, count)
            assert bits[0].all()
        shown = torch.zeros(len(bits), 5)
        shown[:, :count] = torch.from_numpy(bits)
        mask = texts["attention_mask"][row].expand(len(bits), -1)
        logits = text_target.forward({"attention_mask": mask}, {"text": x[row] * shown[..., None]})
        outputs = logits[:, classes[row]].detach().double().numpy()
        distance = 1 - np.sqrt(bits.mean(1))  # cosine between a row and all ones
        width = options.get("kernel_width", 0.25)
        weights = repeats * np.exp(-(distance**2) / (2 * width**2))
        expected = ridge(bits, outputs, weights, options.get("alpha", 1.0))
        np.testing.assert_allclose(maps[row, :count], expected, atol=1e-5, rtol=1e-3)
    assert (maps[texts["attention_mask"] == 0] == 0).all()


def test_the_default_kernel_is_that_of_the_authors_code():
    # sqrt(exp(-d² / 25²)) with d = 100 × cosine distance
    bits = torch.tensor([[1.0, 1, 0, 0]])
    weigh = make_rival("lime")._weigh(bits)
    distance = 100 * (1 - math.sqrt(0.5))
    assert weigh(torch.ones(1, 4), bits, bits) == pytest.approx(math.sqrt(math.exp(-((distance / 25) ** 2))))


def test_captums_kernel_shap_agrees_on_a_linear_image_model(linear_target, small_images, classes):
    cells = (torch.arange(16) // 4)[:, None] * 4 + torch.arange(16) // 4
    reference = captum.attr.KernelShap(linear_target.model)
    rival = make_rival("kernel_shap", window=4, n_samples=80)
    maps = rival(linear_target, small_images, classes)["image"]
    x = small_images["pixel_values"]
    torch.manual_seed(0)
    for i in range(3):
        expected = reference.attribute(
            x[i : i + 1],
            target=int(classes[i]),
            feature_mask=cells.expand(1, 3, 16, 16),
            n_samples=200,
            perturbations_per_eval=50,
        )
        scale = float(expected.abs().max())
        torch.testing.assert_close(maps[i] / scale, expected[0, :1] / scale, atol=5e-3, rtol=0)
    contribution = (x * linear_target.model.weight[classes]).sum(1, keepdim=True)
    blocks = torch.nn.functional.avg_pool2d(contribution, 4) * 16
    exact = torch.nn.functional.interpolate(blocks, scale_factor=4, mode="nearest").detach()
    torch.testing.assert_close(maps, exact, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", ["lime", "kernel_shap"])
def test_a_patch_is_shown_or_hidden_whole(name, vit_target, images, classes, monkeypatch):
    masks = []
    plain = vit_target.classify
    monkeypatch.setattr(vit_target, "classify", lambda i, s, f: masks.append(s["image"]) or plain(i, s, f))
    maps = make_rival(name, window=8, n_samples=30, internal_batch=7)(vit_target, images, classes)["image"]
    blocks = maps[:, :, ::8, ::8]
    assert torch.equal(maps, blocks.repeat_interleave(8, 2).repeat_interleave(8, 3))
    assert len(blocks[0].unique()) > 12
    assert max(len(m) for m in masks) == 7
    shown = torch.cat(masks)
    assert len(shown) == 3 * 30
    assert set(shown.unique().tolist()) == {0.0, 1.0}
    whole = shown[:, :, ::8, ::8].repeat_interleave(8, 2).repeat_interleave(8, 3)
    assert torch.equal(shown, whole)


def test_the_default_grid_has_seven_cells_a_side(linear_target):
    rival = make_rival("lime")
    cells = rival._group(torch.ones(28, 14, dtype=torch.bool))
    assert len(cells.unique()) == 49
    assert len(cells[0].unique()) == len(cells[:, 0].unique()) == 7
    assert len(rival._group(torch.ones(16, 16, dtype=torch.bool)).unique()) == 36  # windows of 3


@pytest.mark.parametrize("name", ["lime", "kernel_shap"])
def test_padding_and_special_tokens_are_never_hidden(name, classes, monkeypatch):
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=30,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=CLASSES,
    )
    target = TextTarget(BertForSequenceClassification(config).eval())
    ids = torch.tensor(
        [[1, 5, 6, 7, 8, 9, 10, 11, 2], [1, 5, 6, 2, 0, 0, 0, 0, 0], [1, 9, 2, 0, 0, 0, 0, 0, 0]]
    )
    inputs = {
        "input_ids": ids,
        "attention_mask": (ids != 0).long(),
        "special_tokens_mask": (ids <= 2).long(),
    }
    seen = []
    plain = target.classify

    def watch(inputs, scores, fill):
        seen.append((inputs["special_tokens_mask"], scores["text"]))
        return plain(inputs, scores, fill)

    monkeypatch.setattr(target, "classify", watch)
    maps = make_rival(name, n_samples=50, fill="drop")(target, inputs, classes)["text"]
    special, shown = (torch.cat(part) for part in zip(*seen, strict=True))
    assert (shown[special == 1] == 1).all()
    assert (shown[special == 0] == 0).any()
    assert len(shown) == 50 + 2**2 + 2**1  # a short text costs no more than its choices
    assert torch.equal(maps != 0, ids > 2)


def test_a_window_of_tokens_skips_what_is_no_feature(text_target, classes):
    flags = torch.tensor([False, True, True, True, False, True, True, False])
    cells = make_rival("lime", window=2)._group(flags)[flags]
    assert cells.tolist() == [0, 0, 1, 1, 2]
    left = {"input_ids": torch.tensor([[0, 0, 3, 5, 7]]), "attention_mask": torch.tensor([[0, 0, 1, 1, 1]])}
    right = {"input_ids": torch.tensor([[3, 5, 7, 0, 0]]), "attention_mask": torch.tensor([[1, 1, 1, 0, 0]])}
    rival = make_rival("kernel_shap", window=2)
    a, b = (rival(text_target, inputs, classes[:1])["text"] for inputs in (left, right))
    torch.testing.assert_close(a[:, 2:], b[:, :3])
    assert b[0, 0] == b[0, 1] != b[0, 2]


def test_modalities_are_explained_together(pair_target, pairs, classes):
    rival = make_rival("kernel_shap", window=8, n_samples=600)
    maps = rival(pair_target, pairs, classes)
    contribution = (pairs["pixel_values"] * pair_target.model.image.weight[classes]).sum(1, keepdim=True)
    blocks = torch.nn.functional.avg_pool2d(contribution, 8) * 64
    # the logits are the sum of both parts, so each part has the Shapley values it has alone
    torch.testing.assert_close(maps["image"][:, :, ::8, ::8], blocks.detach(), atol=1e-3, rtol=1e-3)


def test_the_global_generator_is_left_alone(text_target, texts, classes):
    before = torch.get_rng_state()
    for name in ("lime", "kernel_shap"):
        make_rival(name, n_samples=10)(text_target, texts, classes)
    assert torch.equal(before, torch.get_rng_state())


def test_rows_that_leave_values_open_get_equal_shares():
    bits = torch.tensor([[1, 1, 1, 1], [0, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1]])
    model = ShapleyRegression()
    model.fit([(bits, torch.tensor([9.0, 1, 6, 4]), torch.tensor([0.0, 0, 0.1, 0.1]))])
    # halves gain 5 and 3 where all gain 8; nothing tells the members of a half apart
    assert model.representation().tolist() == pytest.approx([2.5, 2.5, 1.5, 1.5])
    assert model(bits).tolist() == pytest.approx([9, 1, 6, 4])
    model.fit([(bits[:2], torch.tensor([9.0, 1]), torch.zeros(2))])
    assert model.representation().tolist() == [2, 2, 2, 2]


def test_probabilities_can_be_explained_instead(text_target, texts, classes):
    logit = make_rival("kernel_shap")(text_target, texts, classes)["text"]
    share = make_rival("kernel_shap", output="probability")(text_target, texts, classes)["text"]
    x = text_target.features(texts)["text"]
    p, empty = (text_target.forward(texts, {"text": v}).softmax(-1) for v in (x, x * 0))
    gained = (p - empty).gather(1, classes[:, None])[:, 0]
    torch.testing.assert_close(share.sum(1), gained, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(logit, share)
