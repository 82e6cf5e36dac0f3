"""Similarity of maps against scipy, scikit-image, sets and hand formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from sidelight.errors import InputError
from sidelight.lab.metrics.similarity import spearman, ssim, top_overlap

RNG = np.random.default_rng(0)


def draw(*shape: int) -> torch.Tensor:
    return torch.from_numpy(RNG.random(shape))


def test_spearman_is_scipys_with_ties_and_padding() -> None:
    a, b = draw(4, 30).mul(6).round(), draw(4, 30).mul(4).round() - 2
    real = torch.arange(30) < torch.tensor([[30], [17], [3], [25]])
    wanted = [spearmanr(x[k], y[k]).statistic for x, y, k in zip(a, b, real, strict=True)]
    np.testing.assert_allclose(spearman(a, b, real), wanted, atol=1e-12)
    # what lies outside the real features is not looked at, not even where it is no number
    spoiled = a.masked_fill(~real, torch.nan)
    np.testing.assert_allclose(spearman(spoiled, b, real), wanted, atol=1e-12)


def test_spearman_at_its_ends() -> None:
    a = draw(3, 20)
    assert spearman(a, a).tolist() == pytest.approx([1, 1, 1])
    assert spearman(a, a.exp() * 7).tolist() == pytest.approx([1, 1, 1])
    assert spearman(a, -a).tolist() == pytest.approx([-1, -1, -1])
    flat = torch.ones(1, 20)
    assert spearman(flat, flat * 3).tolist() == [1.0]
    assert spearman(flat, a[:1]).isnan().all()
    assert spearman(a[:1].index_fill(1, torch.tensor([4]), torch.inf), a[:1]).isnan().all()


def test_top_overlap_counts_common_features() -> None:
    a, b = draw(5, 40), draw(5, 40)
    for share, k in ((0.1, 4), (0.25, 10), (0.01, 1), (1.0, 40)):
        wanted = [
            len(set(x.argsort()[-k:].tolist()) & set(y.argsort()[-k:].tolist())) / k
            for x, y in zip(a, b, strict=True)
        ]
        np.testing.assert_allclose(top_overlap(a, b, share=share), wanted, atol=1e-12)


def test_top_overlap_of_tied_maps() -> None:
    """Two of four places, three features tied for the second: weights 1, 1/3, 1/3, 1/3 against 1, 1, 0, 0."""
    a, b = torch.tensor([[9.0, 1, 1, 1]]), torch.tensor([[4.0, 3, 2, 1]])
    by_hand = (1 + 1 / 3) / np.sqrt((1 + 3 / 9) * 2)
    assert top_overlap(a, b, share=0.5).item() == pytest.approx(by_hand)
    assert top_overlap(a, a, share=0.5).item() == 1.0
    # maps that are zero nearly everywhere do not agree by their zeros
    sparse = torch.zeros(2, 1000)
    sparse[0, :50], sparse[1, 50:100] = 1.0, 1.0
    assert top_overlap(sparse[:1], sparse[1:], share=0.1).item() < 0.2
    assert top_overlap(sparse, sparse).tolist() == [1.0, 1.0]


def test_top_overlap_of_unrelated_orders_is_about_the_share() -> None:
    found = top_overlap(draw(200, 100), draw(200, 100), share=0.2)
    assert found.mean().item() == pytest.approx(0.2, abs=0.02)
    real = torch.ones(1, 4, dtype=torch.bool)
    assert top_overlap(torch.tensor([[1.0, torch.nan, 0, 0]]), draw(1, 4), real).isnan().all()


def test_ssim_is_that_of_scikit_image() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    a = draw(3, 20, 27)
    b = (a + 0.3 * draw(3, 20, 27)).clamp(0, 1)
    wanted = [
        metrics.structural_similarity(
            x.numpy(),
            y.numpy(),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
        )
        for x, y in zip(a, b, strict=True)
    ]
    np.testing.assert_allclose(ssim(a, b), wanted, atol=1e-9)
    assert ssim(a, a).tolist() == pytest.approx([1, 1, 1])


def test_ssim_of_one_window_by_hand() -> None:
    a, b = draw(1, 11, 11), draw(1, 11, 11)
    t = np.arange(-5, 6)
    w = np.exp(-(t[:, None] ** 2 + t[None] ** 2) / (2 * 1.5**2))
    w /= w.sum()
    x, y = a[0].numpy(), b[0].numpy()
    mx, my = (w * x).sum(), (w * y).sum()
    vx, vy, cov = (w * (x - mx) ** 2).sum(), (w * (y - my) ** 2).sum(), (w * (x - mx) * (y - my)).sum()
    by_hand = (2 * mx * my + 1e-4) * (2 * cov + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))
    assert ssim(a, b).item() == pytest.approx(by_hand, abs=1e-12)
    assert ssim(a[:, :4, :5], a[:, :4, :5]).item() == pytest.approx(1)


def test_what_cannot_be_compared() -> None:
    a = draw(2, 9)
    with pytest.raises(InputError, match="one shape"):
        spearman(a, a[:, :3])
    with pytest.raises(InputError, match="no real feature"):
        top_overlap(a, a, torch.zeros(2, 9, dtype=torch.bool))
    with pytest.raises(InputError, match=r"\(0, 1\]"):
        top_overlap(a, a, share=0.0)
    with pytest.raises(InputError, match="3 pixels a side"):
        ssim(draw(1, 2, 9), draw(1, 2, 9))
