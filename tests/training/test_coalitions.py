"""The coalition term: its minimiser is each feature's Banzhaf value, and its draws are fair."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sidelight.core.types import Scores
from sidelight.errors import ConfigError
from sidelight.training import coalitions
from sidelight.training.coalitions import FLOOR, predicted_effect, random_part, share_out
from sidelight.training.settings import ObjectiveConfig

UNIT = 0.25


class GivenGame:
    """A step whose target gives probabilities that are known beforehand."""

    def __init__(
        self, raw: Scores, mask: Scores, probability: Any, whole: Any, config: ObjectiveConfig
    ) -> None:
        self.effects, self.feature_mask, self.config = raw, mask, config
        self.effect_unit = config.coalition_unit
        self.probability: Callable[[Scores, Tensor], Tensor] = probability
        self.whole = whole

    def clean_probability(self) -> Tensor:
        return self.whole

    def generator(self) -> None:
        return None


def coalition_loss(
    raw: Scores, mask: Scores, probability: Any, draws: int, unit: float, whole: Any = None, **settings: Any
) -> Tensor:
    """The term for a game ``probability(masks, index)``. Coalitions are focused if the ``whole`` is given."""
    values = {f"coalition_{k}" if k != "solo" else k: v for k, v in settings.items()}
    focus = whole is not None
    config = ObjectiveConfig(coalition_draws=draws, coalition_unit=unit, coalition_focus=focus, **values)
    return coalitions.coalition_loss(GivenGame(raw, mask, probability, whole, config))  # type: ignore[arg-type]


def every_part(count: int) -> Tensor:
    """``[2^N, N]``, all coalitions of ``count`` features."""
    return torch.tensor(list(product([False, True], repeat=count)))


def game(masks: Tensor) -> Tensor:
    """Not additive: the first two are needed together, the third counts alone, the fourth stands in the way."""
    a, b, c, d = masks.double().unbind(-1)
    return 0.6 * a * b + 0.3 * c - 0.2 * c * d


def banzhaf(count: int) -> Tensor:
    """Average change of the game's value with each feature, over all coalitions of the others: the definition."""
    values = []
    for i in range(count):
        present = every_part(count)
        absent = present.clone()
        present[:, i], absent[:, i] = True, False
        values.append((game(present) - game(absent)).mean())
    return torch.stack(values)


def as_raw(effects: Tensor) -> Tensor:
    return effects * len(effects) * UNIT


def test_least_squares_over_all_coalitions_gives_banzhaf_values() -> None:
    parts, real = every_part(4), torch.ones(16, 4, dtype=torch.bool)
    effect = game(parts) - game(~parts)
    raw = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    loss = ((effect - predicted_effect(raw.expand(16, 4), parts, real, UNIT)) ** 2).mean()
    # the loss is quadratic: one Newton step from anywhere reaches its minimiser
    hessian = torch.autograd.functional.hessian(
        lambda r: ((effect - predicted_effect(r.expand(16, 4), parts, real, UNIT)) ** 2).mean(), raw.detach()
    )
    (slope,) = torch.autograd.grad(loss, raw)
    solution = raw.detach() - torch.linalg.solve(hessian, slope)
    torch.testing.assert_close(solution, as_raw(banzhaf(4)))


@pytest.mark.parametrize("shape", [(6,), (1, 2, 3)], ids=["text", "image"])
def test_no_loss_where_raw_scores_are_the_effects_of_an_additive_target(shape: tuple[int, ...]) -> None:
    weights = torch.randn(5, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    if len(shape) == 1:
        weights -= weights.mean(1, keepdim=True)  # texts learn differences only
    count = weights[0].numel()
    mask = torch.ones(weights.shape, dtype=torch.bool)
    name = "text" if len(shape) == 1 else "image"

    def probability(masks: Scores, index: Tensor) -> Tensor:
        return (masks[name] * weights[index]).flatten(1).sum(1)

    exact = {name: weights * count * UNIT}
    assert coalition_loss(exact, {name: mask}, probability, 8, unit=UNIT).max() < 1e-20
    off = {name: exact[name] + torch.linspace(-1, 1, count, dtype=torch.float64).reshape(shape)}
    assert coalition_loss(off, {name: mask}, probability, 8, unit=UNIT).min() > 1e-4
    whole = probability({name: mask.double()}, torch.arange(5))
    assert coalition_loss(exact, {name: mask}, probability, 8, unit=UNIT, whole=whole).max() < 1e-20


def test_a_pair_is_hidden_in_part_one_at_a_time_or_together() -> None:
    mask = {"image": torch.ones(3, 1, 8, 8, dtype=torch.bool), "text": torch.ones(3, 6, dtype=torch.bool)}
    raw = {m: torch.zeros(v.shape) for m, v in mask.items()}
    asked: list[tuple[str, ...]] = []

    def probability(masks: Scores, index: Tensor) -> Tensor:
        asked.append(tuple(masks))
        return torch.zeros(len(index))

    coalition_loss(raw, mask, probability, 4, unit=UNIT)
    assert asked == [("image",), ("text",)] * 2
    asked.clear()
    coalition_loss(raw, mask, probability, 2, unit=UNIT, solo=False)
    assert asked == [("image", "text")] * 2
    asked.clear()
    coalition_loss(raw, mask, probability, 3, unit=UNIT, modalities=["text"])
    assert asked == [("text",)] * 3


@pytest.mark.parametrize("draws", [1, 3])
def test_no_modality_is_left_out_if_there_are_fewer_draws_than_modalities(draws: int) -> None:
    mask = {"image": torch.ones(5, 1, 8, 8, dtype=torch.bool), "text": torch.ones(5, 6, dtype=torch.bool)}
    asked = {"image": 0, "text": 0}

    def probability(masks: Scores, index: Tensor) -> Tensor:
        for name in masks:
            asked[name] += len(index) // 2
        return torch.zeros(len(index))

    for _ in range(20):
        coalition_loss(
            {m: torch.zeros(v.shape) for m, v in mask.items()}, mask, probability, draws, unit=UNIT
        )
    assert sum(asked.values()) == 20 * draws * 5
    assert abs(asked["image"] - asked["text"]) <= 20


def test_the_two_parts_share_what_is_no_feature_and_nothing_else() -> None:
    mask = torch.tensor([[True, True, True, True, False], [True, True, False, False, False]])
    asked: list[Tensor] = []

    def probability(masks: Scores, index: Tensor) -> Tensor:
        assert index.tolist() == [0, 1, 0, 1]
        asked.append(masks["text"])
        return torch.zeros(4)

    coalition_loss({"text": torch.zeros(2, 5)}, {"text": mask}, probability, 1, unit=UNIT)
    one, other = asked[0].chunk(2)
    assert torch.equal(one + other, 1.0 + (~mask).float())


def test_coalitions_go_to_the_samples_and_modalities_that_change_something() -> None:
    """The first sample's verdict hangs on its words, the second's on words and picture, the third's on nothing."""
    mask = {"image": torch.ones(3, 1, 8, 8, dtype=torch.bool), "text": torch.ones(3, 4, dtype=torch.bool)}
    raw = {m: torch.zeros(v.shape) for m, v in mask.items()}
    weights = {"image": torch.tensor([0.0, 0.5, 0.0]), "text": torch.tensor([1.0, 0.5, 0.0])}
    asked: dict[tuple[str, int], int] = {}

    def probability(masks: Scores, index: Tensor) -> Tensor:
        for name in masks:
            for sample in index.tolist():
                asked[name, sample] = asked.get((name, sample), 0) + 1
        parts = [w[index] * (masks[m].flatten(1).mean(1) if m in masks else 1) for m, w in weights.items()]
        return torch.stack(parts).sum(0)

    draws = 100
    coalition_loss(raw, mask, probability, draws, unit=UNIT, whole=torch.tensor([1.0, 1.0, 0.0]))
    # of 300 coalitions, shares (change + floor) / (2 + 6 floors); two passes each, and one with all of it hidden
    for (name, sample), times in asked.items():
        share = 3 * draws * (weights[name][sample].item() + FLOOR) / (2 + 6 * FLOOR)
        assert abs((times - 1) / 2 - share) < 1, (name, sample)
    assert sum(asked.values()) == 6 + 2 * 3 * draws


def test_the_error_of_shared_out_coalitions_belongs_to_their_samples() -> None:
    mask = torch.ones(3, 4, dtype=torch.bool)
    weights = torch.tensor([[4.0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])

    def probability(masks: Scores, index: Tensor) -> Tensor:
        return (masks["text"] * weights[index]).sum(1)

    loss = coalition_loss(
        {"text": torch.zeros(3, 4)}, {"text": mask}, probability, 10, unit=UNIT, whole=weights.sum(1)
    )
    # the first sample gets all but its neighbours' floors of 30 coalitions, each with an effect of 4 or -4
    count = loss[0].item() * 10 / 16
    assert count == pytest.approx(round(count))
    assert abs(count - 30 * (4 + FLOOR) / (4 + 3 * FLOOR)) < 1
    assert loss[1:].tolist() == [0, 0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.integers(1, 3), st.integers(1, 60))
def test_draws_are_shared_out_to_within_one_of_the_share(row: list[float], parts: int, count: int) -> None:
    changes = torch.tensor([row] * parts)
    plan = share_out(changes, count, torch.Generator().manual_seed(0))
    found = torch.zeros(changes.shape)
    for part, samples in plan:
        assert 0 < len(samples) <= len(row)
        found[part] += torch.bincount(samples, minlength=len(row))
    assert int(found.sum()) == count
    share = (changes.double() + FLOOR) / (changes.double() + FLOOR).sum() * count
    assert (found - share).abs().max() < 1 + 1e-6


def test_gradient_reaches_raw_scores_and_not_the_target() -> None:
    raw = torch.zeros(2, 4, requires_grad=True)
    weights = torch.ones(2, 4, requires_grad=True)
    mask = torch.ones(2, 4, dtype=torch.bool)
    loss = coalition_loss(
        {"text": raw},
        {"text": mask},
        lambda m, index: (m["text"] * weights[index])[:, :2].sum(1),
        6,
        unit=UNIT,
    )
    loss.sum().backward()
    assert raw.grad is not None
    assert raw.grad.abs().sum() > 0
    assert weights.grad is None


# -- draws ---------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_half_of_a_text_and_every_word_alike(count: int) -> None:
    mask = torch.zeros(4000, 9, dtype=torch.bool)
    mask[:, :count] = True
    part = random_part(mask, torch.Generator().manual_seed(0))
    assert bool(part[:, count:].all())  # padding is never hidden
    kept = part[:, :count].sum(1)
    assert int(kept.min()) >= count // 2
    assert int(kept.max()) <= -(-count // 2)
    # 5 standard deviations of a fair coin
    assert (part[:, :count].float().mean(0) - 0.5).abs().max() < 5 * 0.5 / 4000**0.5


@pytest.mark.parametrize("size", [(28, 28), (11, 40), (2, 3), (1, 1)])
def test_every_pixel_of_an_image_is_kept_half_of_the_time(size: tuple[int, int]) -> None:
    mask = torch.ones(3000, 1, *size, dtype=torch.bool)
    part = random_part(mask, torch.Generator().manual_seed(1))
    assert part.shape == mask.shape
    assert (part.float().mean(0) - 0.5).abs().max() < 5 * 0.5 / 3000**0.5


def test_parts_of_an_image_are_cells_and_not_scattered_pixels() -> None:
    part = random_part(torch.ones(200, 1, 28, 28, dtype=torch.bool), torch.Generator().manual_seed(0))
    same = (part[..., 1:] == part[..., :-1]).float().mean()
    assert same > 0.8  # half for scattered pixels; cells are at least 4 pixels wide


@pytest.mark.parametrize("size", [(32, 128), (128, 32), (40, 60)])
def test_parts_of_a_long_image_are_squares(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        kept = random_part(torch.ones(64, 1, *size, dtype=torch.bool), generator)[:, 0]
        # how often neighbours differ, down and across: by cells of one side equally often
        down = float((kept[:, 1:] != kept[:, :-1]).float().mean())
        across = float((kept[:, :, 1:] != kept[:, :, :-1]).float().mean())
        assert across == pytest.approx(down, rel=0.35)
        assert 2 <= min(size) * 2 * down <= 8  # borders along the shorter side


def test_parts_of_a_square_image_are_drawn_as_before() -> None:
    generator = torch.Generator().manual_seed(0)
    kept = random_part(torch.ones(3, 1, 28, 28, dtype=torch.bool), generator)
    generator.manual_seed(0)
    cells = int(torch.randint(3, 8, (1,), generator=generator))
    drawn = torch.rand(3, cells + 1, cells + 1, generator=generator) < 0.5
    side = -(-28 // cells)
    rows, columns = (
        (torch.arange(28) + torch.randint(side, (3, 1), generator=generator)) // side for _ in "yx"
    )
    expected = drawn[torch.arange(3)[:, None, None], rows[:, :, None], columns[:, None, :]]
    assert torch.equal(kept[:, 0], expected)


def test_draws_repeat_with_a_generator() -> None:
    mask = torch.ones(5, 1, 9, 9, dtype=torch.bool)
    one, two = (random_part(mask, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(one, two)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="coalition_draws must be at least 1"):
        ObjectiveConfig(coalition_weight=1.0, coalition_draws=0)
    with pytest.raises(ConfigError, match=r"coalition_unit must be above 0; got 0\.0"):
        ObjectiveConfig(coalition_weight=1.0, coalition_unit=0.0)
    with pytest.raises(ConfigError, match="coalition_modalities must be a list of names; got 'image'"):
        ObjectiveConfig(coalition_weight=1.0, coalition_modalities="image")
