"""Random masks have the area they were drawn for, and a judge learns under them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pair_models import make_target, pairs
from sidelight.lab.runs.masked_training import (
    MaskedTraining,
    masked_training,
    random_masks,
    random_removals,
    shuffled,
)
from sidelight.targets import as_target
from tiny_models import pixels, tiny


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_masks_cover_all_areas_hard_and_soft() -> None:
    real = {"image": torch.ones(600, 1, 12, 15, dtype=torch.bool)}
    mask = random_masks(real, g())["image"]
    assert mask.shape == (600, 1, 12, 15)
    assert 0 <= mask.min() <= mask.max() <= 1
    area = mask.mean((1, 2, 3))
    hard = ((mask == 0) | (mask == 1)).flatten(1).all(1)
    assert hard.float().mean().item() == pytest.approx(0.5, abs=0.07)
    for kind in (area[hard], area[~hard]):  # uniform in (0, 1): mean 1/2, deviation 1/sqrt(12)
        assert kind.mean().item() == pytest.approx(0.5, abs=0.06)
        assert kind.std().item() == pytest.approx(12**-0.5, abs=0.05)


def test_some_masks_are_scattered_and_some_come_in_lumps() -> None:
    mask = random_masks({"image": torch.ones(300, 1, 16, 16, dtype=torch.bool)}, g())["image"][:, 0]
    hard = ((mask == 0) | (mask == 1)).flatten(1).all(1) & ((mask.mean((1, 2)) - 0.5).abs() < 0.3)
    edges = (mask[hard][:, :, 1:] != mask[hard][:, :, :-1]).float().mean((1, 2))
    assert edges.min() < 0.1  # lumps of 8
    assert edges.max() > 0.35  # independent pixels: 2a(1 − a)


def test_only_real_features_are_masked_and_modalities_share_the_area() -> None:
    text = torch.arange(40) < torch.tensor([40] * 100 + [7] * 100)[:, None]
    real = {"image": torch.ones(200, 1, 20, 20, dtype=torch.bool), "text": text}
    found = random_masks(real, g())
    assert (found["text"][~text] == 1).all()
    hard = (found["image"].flatten(1) % 1 == 0).all(1) & (found["text"] % 1 == 0).all(1)
    shown = (found["text"] * text).sum(1) / text.sum(1)
    area = found["image"].mean((1, 2, 3))
    assert hard.sum() > 50
    assert (shown - area)[hard].abs().max() <= 0.5 / 7 + 0.13  # rounding to whole tokens, one at the least
    assert torch.equal(random_masks(real, g())["text"], found["text"])


def test_shuffled_scores_stay_among_the_real_features() -> None:
    soft = torch.rand(2, 30, generator=g())
    real = torch.arange(30) < torch.tensor([[30], [9]])
    found = shuffled(soft, real, [1, 2])
    assert torch.equal(found[1, 9:], soft[1, 9:])
    np.testing.assert_array_equal(found[1, :9].sort().values, soft[1, :9].sort().values)
    assert not torch.equal(found[0], soft[0])
    assert torch.equal(shuffled(soft[1:], real[1:], [2])[0], found[1])


@pytest.mark.parametrize("kind", ["image", "pair"])
def test_gradients_reach_the_judge_under_masks(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidelight.lab.runs.masked_training.WHOLE", 0.0)
    if kind == "image":
        target, inputs = as_target(tiny("resnet")), {"pixel_values": pixels(4)}
    else:
        target = make_target("fusion-resnet")
        inputs = target.reader.read(pairs()).inputs
    target.model.requires_grad_(True).train()
    training = masked_training(target, ["zero", "mean"])
    assert isinstance(training, MaskedTraining)
    assert training.modalities is target.modalities
    logits = training.forward_trainable(inputs)
    assert target.model.training
    logits.sum().backward()
    reached = [n for n, p in target.model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0]
    assert len(reached) > 10
    # afterwards passes freeze the model again
    assert not target.classify(inputs, {}, "zero").requires_grad
    assert target.model.training


def test_some_batches_are_shown_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    target, inputs = as_target(tiny("vit")), {"pixel_values": pixels(2)}
    target.model.eval()
    training = masked_training(target, ["zero"])
    whole = target.forward_trainable(inputs)
    torch.manual_seed(0)
    seen = [torch.equal(training.forward_trainable(inputs), whole) for _ in range(40)]
    assert 0.05 < sum(seen) / 40 < 0.5


def gone(mask: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    return ((mask == 0) & real).flatten(1).sum(1)


def test_removals_take_at_most_the_share_and_at_least_one() -> None:
    target, inputs = as_target(tiny("resnet")), {"pixel_values": pixels(4)}
    real = target.feature_mask(inputs)["image"]
    total = int(real[0].sum())
    most, fewest, sides = 0, total, set()
    for seed in range(60):
        mask = random_removals(target, inputs, 0.1, g(seed))["image"]
        assert set(mask.unique().tolist()) <= {0.0, 1.0}
        count = gone(mask, real)
        assert count.min() >= 1
        most, fewest = max(most, int(count.max())), min(fewest, int(count.min()))
        columns = (mask[0, 0] == 0).float().mean(0)
        sides.add(round(float(columns.max()), 2))
    largest = int(0.25 * real.shape[-1])
    assert most <= 0.1 * total + largest**2  # whole squares: one more than the share allows, at most
    assert most > 0.05 * total
    assert fewest < 0.02 * total
    assert len(sides) > 10
    assert torch.equal(
        random_removals(target, inputs, 0.1, g(1))["image"],
        random_removals(target, inputs, 0.1, g(1))["image"],
    )


def test_removals_of_a_pair_are_of_both_or_of_one_and_leave_what_is_no_feature() -> None:
    target = make_target("fusion-resnet")
    inputs = target.reader.read(pairs()).inputs
    real = target.feature_mask(inputs)
    kinds, whole_words = set(), 0
    words = target.words(inputs)["text"]
    for seed in range(60):
        found = random_removals(target, inputs, 0.6, g(seed))
        kinds.add(tuple(found))
        for name, mask in found.items():
            assert bool((mask[~real[name]] == 1).all())
        if "text" in found:
            for row in range(len(words)):
                shown = found["text"][row][real["text"][row]]
                numbers = words[row][real["text"][row]]
                parts = [shown[numbers == n] for n in numbers.unique()]
                whole_words += all(len(p.unique()) == 1 for p in parts)
    assert kinds == {("image", "text"), ("image",), ("text",)}
    assert whole_words > 0


def test_a_judge_may_draw_its_own_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidelight.lab.runs.masked_training.WHOLE", 0.0)
    target, inputs = as_target(tiny("vit")), {"pixel_values": pixels(2)}
    target.model.eval()
    nothing = {"image": torch.zeros_like(target.feature_mask(inputs)["image"], dtype=torch.float32)}
    training = masked_training(target, ["zero"], lambda target, inputs: nothing)
    expected = target.classify(inputs, nothing, "zero")
    torch.testing.assert_close(training.forward_trainable(inputs), expected)
