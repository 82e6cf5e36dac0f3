"""Masking is exact at its ends; fills follow the sample's own seed and nothing else."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from sidelight.core.types import IMAGE, MODALITIES, TEXT
from sidelight.errors import InputError, UnknownNameError
from sidelight.fills.base import FILLS, FillContext, apply_mask, fill_values
from sidelight.fills.image import gaussian_blur
from sidelight.inputs.images import ImageTransform
from sidelight.targets.image import ImageTarget
from tiny_models import SIZE, pixels, tiny

SEEDED = ("noise", "image")
NAMES = ("zero", "black", "mean", "blur", "noise", "image")


def context(seeds: list[int], reference: Tensor | None = None) -> FillContext:
    low, high = ImageTransform(SIZE, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4)).bounds()
    bank = pixels(5, seed=9) if reference is None else reference
    return FillContext(seeds, low, high, bank)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("fill", NAMES)
def test_scores_of_one_are_the_input_and_scores_of_zero_the_fill_exactly(
    fill: str, dtype: torch.dtype
) -> None:
    x = pixels(3).to(dtype)
    values = fill_values(fill, x, IMAGE, context([0, 1, 2]))
    ones = torch.ones(3, 1, *SIZE)
    assert torch.equal(apply_mask(x, ones, values, IMAGE), x)
    emptied = apply_mask(x, 0 * ones, values, IMAGE)
    assert torch.equal(emptied, values.to(dtype).expand_as(x))
    assert emptied.dtype == dtype
    half = apply_mask(x, 0.25 * ones, values, IMAGE)
    torch.testing.assert_close(half, 0.25 * x + 0.75 * values.to(dtype))


def test_text_scores_multiply_whole_embeddings() -> None:
    x, values = torch.randn(2, 4, 3), torch.randn(2, 4, 3)
    scores = torch.tensor([[1.0, 0.0, 0.5, 1.0]] * 2)
    masked = apply_mask(x, scores, values, TEXT)
    assert torch.equal(masked[:, 0], x[:, 0])
    assert torch.equal(masked[:, 1], values[:, 1])
    torch.testing.assert_close(masked[:, 2], (x[:, 2] + values[:, 2]) / 2)


def test_modalities_reduce_over_their_channels_alone() -> None:
    image, text = torch.randn(2, 3, 4, 5), torch.randn(2, 6, 7)
    assert torch.equal(IMAGE.reduce_sum(image), image.sum(1, keepdim=True))
    assert torch.equal(TEXT.reduce_sum(text), text.sum(-1))
    torch.testing.assert_close(IMAGE.reduce_norm(image), image.square().sum(1, keepdim=True).sqrt())
    torch.testing.assert_close(TEXT.reduce_norm(text), text.square().sum(-1).sqrt())
    assert set(MODALITIES) == set(FILLS) == {"image", "text"}


@pytest.mark.parametrize("fill", NAMES)
def test_fills_follow_the_seed_and_not_the_batch(fill: str) -> None:
    x = pixels(4)
    together = fill_values(fill, x, IMAGE, context([3, 1, 3, 2])).expand_as(x)
    for i, seed in enumerate([3, 1, 3, 2]):
        alone = fill_values(fill, x[i : i + 1], IMAGE, context([seed])).expand_as(x[:1])
        torch.testing.assert_close(alone[0], together[i], rtol=0, atol=1e-6)
    again = fill_values(fill, x, IMAGE, context([3, 1, 3, 2])).expand_as(x)
    assert torch.equal(together, again)
    if fill in SEEDED:
        assert torch.equal(together[0], together[2])
        assert not torch.equal(together[0], together[1])


def test_fills_leave_the_global_random_state_alone() -> None:
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    for fill in NAMES:
        fill_values(fill, pixels(2), IMAGE, context([0, 1]))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_black_is_a_black_picture_through_the_transform(mode: str) -> None:
    n = 3 if mode == "RGB" else 1
    transform = ImageTransform((8, 9), mode, (0.4, 0.5, 0.6)[:n], (0.2, 0.3, 0.4)[:n])
    picture = transform(np.zeros((20, 20, 3), np.uint8))
    low, high = transform.bounds()
    values = fill_values("black", pixels(1, (8, 9), n), IMAGE, FillContext([0], low, high))
    torch.testing.assert_close(values[0], picture)
    white = transform(np.full((20, 20, 3), 255, np.uint8))
    torch.testing.assert_close(high.view(-1, 1, 1).expand_as(white), white)
    assert not transform.to_display(values[0]).any()


def test_black_needs_the_pixel_range() -> None:
    with pytest.raises(InputError, match="give its image processor"):
        fill_values("black", pixels(1), IMAGE, FillContext([0]))
    target = ImageTarget(tiny("vit"), ImageTransform(SIZE))
    values = target.fill_values({"pixel_values": pixels()}, "black", [0, 1])["image"]
    assert bool((values == -1).all())


def test_mean_is_each_images_own_colour() -> None:
    x = pixels(2)
    values = fill_values("mean", x, IMAGE, FillContext([0, 1])).expand_as(x)
    torch.testing.assert_close(values[1, 2, 5, 5], x[1, 2].mean())
    torch.testing.assert_close(values.mean((2, 3)), x.mean((2, 3)))


def test_noise_covers_the_pixel_range_evenly_and_is_normal_without_one() -> None:
    x = torch.zeros(1, 3, 64, 64)
    values = fill_values("noise", x, IMAGE, context([0]))[0]
    low, high = context([0]).lower, context([0]).upper
    assert low is not None
    assert high is not None
    for channel, a, b in zip(values, low, high, strict=True):
        assert a <= channel.min() < a + 0.01 * (b - a)
        assert b >= channel.max() > b - 0.01 * (b - a)
        assert float(channel.mean()) == pytest.approx(float(a + b) / 2, abs=0.03 * float(b - a))
    free = fill_values("noise", x, IMAGE, FillContext([0]))
    assert float(free.mean()) == pytest.approx(0, abs=0.05)
    assert float(free.std()) == pytest.approx(1, abs=0.05)


def test_blur_leaves_a_constant_image_and_equals_a_slow_convolution() -> None:
    constant = torch.full((1, 3, 20, 30), 0.7)
    torch.testing.assert_close(fill_values("blur", constant, IMAGE, FillContext([0])), constant)

    x = torch.randn(1, 2, 9, 11, generator=torch.Generator().manual_seed(0)).double()
    sigma = 1.3
    radius = int(3 * sigma + 0.5)
    weights = [math.exp(-0.5 * (t / sigma) ** 2) for t in range(-radius, radius + 1)]
    total = sum(weights) ** 2
    blurred = gaussian_blur(x, sigma)
    for c, row, column in [(0, 0, 0), (1, 4, 5), (0, 8, 10), (1, 2, 9)]:
        expected = 0.0
        for i, a in enumerate(weights):
            for j, b in enumerate(weights):
                y = min(max(row + i - radius, 0), 8)
                z = min(max(column + j - radius, 0), 10)
                expected += a * b * float(x[0, c, y, z])
        assert float(blurred[0, c, row, column]) == pytest.approx(expected / total, rel=1e-9)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (3, 2), (64, 40)])
def test_blur_takes_any_size(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size)
    assert fill_values("blur", x, IMAGE, FillContext([0, 1])).shape == x.shape
    assert float(fill_values("blur", x, IMAGE, FillContext([0, 1])).std()) <= float(x.std()) + 1e-6


def test_image_draws_from_the_bank_and_else_takes_the_next_of_the_batch() -> None:
    x, bank = pixels(6), pixels(3, seed=8)
    values = fill_values("image", x, IMAGE, context(list(range(6)), bank))
    picks = [next(i for i, b in enumerate(bank) if torch.equal(b, v)) for v in values]
    assert len(set(picks)) > 1
    following = fill_values("image", x, IMAGE, FillContext(range(6)))
    assert torch.equal(following[0], x[1])
    assert torch.equal(following[5], x[0])
    with pytest.raises(InputError, match="reference bank"):
        fill_values("image", x[:1], IMAGE, FillContext([0]))
    with pytest.raises(InputError, match=r"3×16×16.*3×32×48"):
        fill_values("image", x, IMAGE, context(list(range(6)), pixels(2, (16, 16))))


def test_a_target_draws_from_its_reference() -> None:
    target, x = ImageTarget(tiny("vit")), pixels()
    bank = pixels(1, seed=5)
    target.set_reference({"pixel_values": bank})
    values = target.fill_values({"pixel_values": x}, "image", [0, 1])["image"]
    assert torch.equal(values, bank.expand_as(x))


def test_an_image_in_the_bank_is_never_its_own_fill() -> None:
    bank = pixels(3, seed=8)
    for seed in range(12):
        values = fill_values("image", bank, IMAGE, context([seed] * 3, bank))
        assert all(not torch.equal(v, b) for v, b in zip(values, bank, strict=True))


def test_wrong_names_and_seeds_are_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown image fill 'blurr'\. Did you mean 'blur'"):
        fill_values("blurr", pixels(1), IMAGE, FillContext([0]))
    with pytest.raises(InputError, match="one number for each sample: got 1 for 2"):
        fill_values("zero", pixels(2), IMAGE, FillContext([0]))
