"""The slope term: slopes by hand, what it teaches, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sidelight import ImageTransform
from sidelight.core.types import Scores
from sidelight.errors import ConfigError
from sidelight.scorers import Scorer, ScorerConfig
from sidelight.targets import as_target
from sidelight.training.network import scorer_of
from sidelight.training.presets import objective_of
from sidelight.training.settings import ObjectiveConfig
from sidelight.training.slopes import BEGIN, correlation, on_the_way, slope_loss
from sidelight.training.step import Step, make_step

SIDE = 8


class Given:
    """A step whose slopes are known beforehand."""

    def __init__(self, effects: Scores, slopes: Scores, real: Mapping[str, Tensor]) -> None:
        self.effects, self.feature_mask, self.known = effects, real, slopes
        self.fills = [{m: torch.zeros(1) for m in real}]
        self.goal, self.training = torch.ones(len(next(iter(real.values()))), 2), False
        self.seen: Scores = {}

    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(0)

    def zeros(self) -> Tensor:
        return torch.zeros(len(self.goal))

    def slopes(self, masks: Scores, fill: Any) -> Scores:
        self.seen = masks
        return self.known


def value_of(effects: Scores, slopes: Scores, real: Mapping[str, Tensor]) -> Tensor:
    return slope_loss(Given(effects, slopes, real))  # type: ignore[arg-type]


def test_effects_in_proportion_to_the_slopes_cost_nothing_at_any_scale() -> None:
    torch.manual_seed(0)
    slopes, real = torch.randn(4, 1, 3, 5), torch.ones(4, 1, 3, 5, dtype=torch.bool)
    for scale, offset in ((1.0, 0.0), (1e-6, 0.0), (100.0, 7.0)):
        found = value_of({"image": scale * slopes + offset}, {"image": slopes}, {"image": real})
        assert float(found.max()) < 1e-4
    assert float(value_of({"image": -slopes}, {"image": slopes}, {"image": real}).mean()) == pytest.approx(
        2.0, abs=0.1
    )


def test_the_loss_by_hand() -> None:
    generator = np.random.default_rng(0)
    effects, slopes = generator.normal(size=(3, 6)), generator.normal(size=(3, 6)) * [[1.0], [3.0], [0.1]]
    real = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0], [1, 1, 1, 0, 0, 0]], dtype=bool)
    slopes[~real] = 0
    norms = np.linalg.norm(slopes, axis=1)
    weights = 2 * norms / (norms + norms.mean())
    r = [np.corrcoef(e[m], s[m])[0, 1] for e, s, m in zip(effects, slopes, real, strict=True)]
    found = value_of(*({"image": torch.tensor(v).view(3, 1, 2, 3)} for v in (effects, slopes, real)))
    np.testing.assert_allclose(found.numpy(), weights * (1 - np.array(r)), rtol=1e-5)


def test_an_image_on_which_nothing_depends_teaches_nothing() -> None:
    torch.manual_seed(0)
    real = {"image": torch.ones(2, 1, 3, 3, dtype=torch.bool)}
    effects, slopes = torch.randn(2, 1, 3, 3, requires_grad=True), torch.randn(2, 1, 3, 3)
    slopes[0] = 0
    value_of({"image": effects}, {"image": slopes}, real).sum().backward()
    assert effects.grad is not None
    assert float(effects.grad[0].abs().max()) == 0
    assert float(effects.grad[1].abs().max()) > 0


def test_texts_are_left_alone() -> None:
    real = {"image": torch.ones(2, 1, 3, 3, dtype=torch.bool), "text": torch.ones(2, 5, dtype=torch.bool)}
    effects = {m: torch.randn(mask.shape, requires_grad=True) for m, mask in real.items()}
    step = Given(effects, {"image": torch.randn(2, 1, 3, 3)}, real)
    slope_loss(step).sum().backward()  # type: ignore[arg-type]
    assert list(step.seen) == ["image"]
    assert effects["text"].grad is None
    alone = Given({"text": effects["text"]}, {}, {"text": real["text"]})
    assert float(slope_loss(alone).abs().max()) == 0  # type: ignore[arg-type]
    assert alone.seen == {}


def test_the_slope_term_alone_teaches_no_map() -> None:
    with pytest.raises(ConfigError, match="teaches nothing"):
        ObjectiveConfig(mask_weight=0, slope_weight=1)


def test_effects_of_words_are_taught_by_coalitions_alone() -> None:
    both, slopes = objective_of("robust"), objective_of({"preset": "robust", "coalition_weight": 0.0})
    assert both.teaches_effects(["text"])
    assert slopes.teaches_effects(["image"])
    assert not slopes.teaches_effects(["text"])
    assert not slopes.teaches_effects(["image", "text"])
    assert not objective_of("thesis").teaches_effects(["image"])


def test_the_points_lie_between_halfway_and_the_input() -> None:
    real = torch.ones(400, 1, 1, 3, dtype=torch.bool)
    real[..., 2] = False
    step = Given({"image": torch.zeros(400, 1, 1, 3)}, {"image": torch.zeros(400, 1, 1, 3)}, {"image": real})
    slope_loss(step)  # type: ignore[arg-type]
    masks = step.seen["image"].flatten(1)
    assert bool((masks[:, 2] == 1).all())
    assert torch.equal(masks[:, 0], masks[:, 1])
    assert BEGIN <= float(masks.min()) < BEGIN + 0.02
    assert 0.98 < float(masks[:, 0].max()) <= 1


@pytest.mark.parametrize("constant", [0.0, 3.0, 1e-9])
def test_no_spread_has_no_correlation(constant: float) -> None:
    real = torch.ones(1, 5, dtype=torch.bool)
    found = correlation(torch.full((1, 5), constant), torch.randn(1, 5), real)
    assert float(found.abs()) < 1e-3
    assert bool(found.isfinite())


class Linear(nn.Module):
    """Logits that are linear in the pixels, so that every slope is known."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 2, 2)
        self.head = nn.Linear(SIDE * SIDE, 2)

    def forward(self, x: Tensor) -> Tensor:
        self.conv(x)
        return self.head(x.flatten(1))


def opened() -> tuple[Any, Linear, Scorer]:
    torch.manual_seed(0)
    model = Linear().eval()
    target = as_target(
        model, ImageTransform((SIDE, SIDE), mode="L", mean=(0.5,), std=(0.5,)), layers=["conv"]
    )
    first = {"pixel_values": torch.zeros(1, 1, SIDE, SIDE)}
    return target, model, scorer_of(target, first, ScorerConfig(by_class=True))


def a_step(target: Any, scorer: Scorer, pixels: Tensor, classes: Tensor) -> Step:
    inputs = {"pixel_values": pixels}
    encoding = target.encode(inputs)
    raw, goal = scorer.raw(encoding, classes), torch.eye(2)[classes]
    return make_step(objective_of("robust"), target, scorer, inputs, encoding, raw, goal, ["zero"], True)


def by_hand(model: Linear, pixels: Tensor, classes: Tensor) -> Tensor:
    """Weights times pixels. The log-odds of one of two classes are its logit minus the other's."""
    weight = model.head.weight.detach().double()
    signs = 2 * classes.double() - 1
    return signs[:, None] * (weight[1] - weight[0]) * pixels.double().flatten(1)


def test_slopes_of_a_linear_model_are_its_weights_times_the_pixels() -> None:
    target, model, scorer = opened()
    pixels, classes = torch.randn(3, 1, SIDE, SIDE), torch.tensor([0, 1, 1])
    step = a_step(target, scorer, pixels, classes)
    with torch.no_grad():  # as in a validation
        found = step.slopes(
            on_the_way(step.feature_mask, ["image"], torch.tensor([0.5, 0.7, 1.0])), step.fill
        )["image"]
    torch.testing.assert_close(
        found.double().flatten(1), by_hand(model, pixels, classes), rtol=1e-5, atol=1e-6
    )


def test_slopes_leave_no_gradient_in_the_model() -> None:
    target, model, scorer = opened()
    slope_loss(
        a_step(target, scorer, torch.randn(3, 1, SIDE, SIDE), torch.tensor([0, 1, 1]))
    ).sum().backward()
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_effects_of_new_pictures_become_those_of_the_model() -> None:
    target, model, scorer = opened()
    optimiser = torch.optim.Adam(scorer.parameters(), 0.01)
    for _ in range(150):
        step = a_step(target, scorer, torch.randn(32, 1, SIDE, SIDE), torch.randint(2, (32,)))
        optimiser.zero_grad()
        slope_loss(step).mean().backward()
        optimiser.step()
    pixels, classes = torch.randn(64, 1, SIDE, SIDE), torch.randint(2, (64,))
    with torch.no_grad():
        effects = scorer.raw(target.encode({"pixel_values": pixels}), classes).effects["image"]
    wanted = by_hand(model, pixels, classes).float().view_as(effects)
    real = torch.ones_like(effects, dtype=torch.bool)
    assert float(correlation(effects, wanted, real).mean()) > 0.6  # 0 without a training


def test_a_value_that_depends_on_no_feature_has_slopes_of_zero() -> None:
    target, model, scorer = opened()
    with torch.no_grad():
        model.head.weight.zero_()
    step = a_step(target, scorer, torch.randn(2, 1, SIDE, SIDE), torch.tensor([0, 1]))
    loss = slope_loss(step)
    assert float(loss.detach().abs().max()) == 0
    loss.sum().backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in scorer.parameters())
