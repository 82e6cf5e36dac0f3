"""The rank term against counting by hand, and on games whose best order is known."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from helpers_training import TRANSFORM, classifier, corner_rows
from sidelight import Explainer
from sidelight.core.layout import Layout, lay_out
from sidelight.fills.base import complement
from sidelight.training.ranking import best_share, draw_units, random_grid, rank_loss
from sidelight.training.step import drawable


def units_of(real: Tensor) -> Layout:
    """Every feature of ``real [B, N]`` by itself."""
    return lay_out({"text": real})


@settings(max_examples=60, deadline=None)
@given(
    length=st.integers(2, 30),
    padding=st.integers(0, 5),
    share=st.floats(0.001, 0.999),
    seed=st.integers(0, 10**6),
)
def test_as_many_units_are_kept_as_the_share_says(length: int, padding: int, share: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    real = torch.arange(length + padding).expand(3, -1) < length
    raw = torch.randn(real.shape, generator=generator)
    mask = best_share({"text": raw}, units_of(real), torch.full((3,), share), generator)["text"]
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    expected = min(max(int(torch.tensor(share) * length), 1), length - 1)
    assert (mask * real).sum(1).tolist() == [expected] * 3
    assert bool((mask[~real] == 1).all())


def test_orders_are_drawn_as_the_plackett_luce_model_says() -> None:
    draws = 4000
    raw = torch.tensor([[0.0, 3.0, 1.0, 2.0]]).expand(draws, -1)
    real = torch.ones(draws, 4, dtype=torch.bool)
    generator = torch.Generator().manual_seed(0)
    mask = best_share({"text": raw}, units_of(real), torch.full((draws,), 0.26), generator)["text"]
    # the probability of being first is the softmax; 4 standard errors of a share
    torch.testing.assert_close(mask.mean(0), raw[0].softmax(0), rtol=0, atol=4 * 0.5 / draws**0.5)


def test_the_gradient_is_that_of_a_sigmoid_around_the_cut() -> None:
    torch.manual_seed(0)
    raw = torch.randn(1, 6, requires_grad=True)
    real = torch.ones(1, 6, dtype=torch.bool)
    generator = torch.Generator().manual_seed(3)
    mask = best_share({"text": raw}, units_of(real), torch.tensor([0.5]), generator)["text"]
    towards = torch.arange(6.0)
    (mask * towards).sum().backward()
    # by hand, in float64, with the same noise
    again = torch.Generator().manual_seed(3)
    noise = -(-torch.rand(1, 6, generator=again).clamp(1e-9).log()).log().double()
    own = raw.detach().double().requires_grad_()
    noisy = own - own.logsumexp(1, keepdim=True) + noise
    ordered = noisy.detach().sort(1, descending=True).values
    cut = (ordered[:, 2] + ordered[:, 3]) / 2
    (torch.sigmoid(noisy - cut) * towards).sum().backward()
    torch.testing.assert_close(raw.grad.double(), own.grad, rtol=1e-5, atol=1e-7)  # type: ignore[union-attr]


def test_cells_cover_the_image_and_vary() -> None:
    torch.manual_seed(0)
    seen = set()
    for _ in range(40):
        cells = random_grid((1, 1, 28, 28))
        assert cells.shape == (784,)
        sides = cells.view(28, 28)
        # a cell is a rectangle: rows and columns change together
        assert torch.equal(sides, sides[:, :1] + sides[:1, :] - sides[0, 0])
        seen.add((int(cells.max()), int((sides[0] == sides[0, 0]).sum())))
    assert len(seen) > 10


class Game:
    """A step whose probability is a known function of the masks, so that the best order is known."""

    def __init__(
        self, ranking: dict[str, Tensor], weights: dict[str, Tensor], words: Tensor | None = None
    ) -> None:
        self.ranking, self.weights = ranking, weights
        self.feature_mask = {m: torch.ones_like(r, dtype=torch.bool) for m, r in ranking.items()}
        self.config = SimpleNamespace(rank_draws=2, rank_groups=True, rank_hard=False)
        self.training, self.inputs = True, {}
        self.target = SimpleNamespace(words=lambda inputs: {} if words is None else {"text": words})

    def generator(self) -> None:
        return None

    def probability(self, masks: dict[str, Tensor]) -> Tensor:
        total = sum((masks[m] * w).flatten(1).sum(1) for m, w in self.weights.items() if m in masks)
        whole = sum(w.sum() for m, w in self.weights.items() if m in masks)
        return (6 * (total / whole - 0.5)).sigmoid()

    def rank_errors(self, masks: dict[str, Tensor], draw: int) -> Tensor:
        removed = {m: complement(mask, self.feature_mask[m]) for m, mask in masks.items()}
        return 1 - self.probability(masks) + self.probability(removed)


def learnt(game: Any, steps: int = 400) -> None:
    optimiser = torch.optim.Adam(list(game.ranking.values()), lr=0.05)
    for _ in range(steps):
        optimiser.zero_grad()
        rank_loss(game).mean().backward()
        optimiser.step()


def test_the_order_of_an_additive_game_is_found() -> None:
    torch.manual_seed(0)
    weights = torch.tensor([0.02, 0.4, 0.1, 0.25, 0.01, 0.22])
    ranking = torch.zeros(32, 6, requires_grad=True)
    learnt(Game({"text": ranking}, {"text": weights}))
    order = ranking.detach().mean(0).argsort(descending=True).tolist()
    assert order[:3] == [1, 3, 5]
    assert set(order[4:]) == {0, 4}


def test_pixels_that_decide_come_first() -> None:
    torch.manual_seed(0)
    weights = torch.zeros(1, 8, 8)
    weights[:, 2:5, 3:6] = 1
    ranking = torch.zeros(8, 1, 8, 8, requires_grad=True)
    learnt(Game({"image": ranking}, {"image": weights}))
    first = ranking.detach().mean(0).flatten().topk(9).indices.tolist()
    assert set(first) == set(weights.flatten().nonzero().flatten().tolist())


def test_pieces_of_a_word_go_together() -> None:
    ranking = {"text": torch.randn(2, 5)}
    words = torch.tensor([[0, 0, 1, 2, 2], [0, 1, 1, 1, 2]])
    game: Any = Game(ranking, {"text": torch.ones(5)}, words)
    units = draw_units(game, ["text"], grouped=True, generator=None)
    assert units.size.tolist() == [[2, 1, 2], [1, 3, 1]]
    mask = best_share(ranking, units, torch.full((2,), 0.5))["text"]
    for row, own in zip(mask, words, strict=True):
        assert all(len(set(row[own == word].tolist())) == 1 for word in own.unique())


def test_modalities_take_turns_and_are_ranked_together() -> None:
    torch.manual_seed(0)
    ranking = {"image": torch.zeros(1, 1, 6, 6), "text": torch.zeros(1, 4)}
    seen: list[tuple[str, ...]] = []
    game: Any = Game(ranking, {"image": torch.ones(1, 6, 6), "text": torch.ones(4)})
    game.config.rank_draws, game.training = 6, False
    original = game.rank_errors
    game.rank_errors = lambda masks, draw: seen.append(tuple(masks)) or original(masks, draw)
    rank_loss(game)
    assert seen == [("image", "text")] * 2 + [("image",)] * 2 + [("text",)] * 2


@pytest.mark.parametrize("count", [1, 2])
def test_few_features_are_no_error(count: int) -> None:
    real = torch.ones(1, count, dtype=torch.bool)
    mask = best_share({"text": torch.randn(1, count)}, units_of(real), torch.tensor([0.5]))["text"]
    assert mask.isfinite().all()


@pytest.mark.parametrize("rows", [9, 17])
def test_a_batch_of_one_sample_is_no_error(tmp_path: Path, rows: int) -> None:
    # of 8 and 1: the fill "image" takes another image of the batch, and the last batch has none
    fitted = Explainer.fit(
        classifier(),
        corner_rows(rows),
        eval=corner_rows(rows),
        processor=TRANSFORM,
        output_dir=tmp_path,
        decoder={"image": {"channels": [4, 4]}},
        batch_size=8,
        epochs=1,
        on_collapse="warn",
        check="off",
    )
    assert fitted.scorer.config.by_class


def test_the_image_fill_alone_still_says_what_it_needs() -> None:
    target = SimpleNamespace(reference={})
    assert drawable(target, ["zero", "image", "image+random"], 1) == ["zero"]  # type: ignore[arg-type]
    assert drawable(target, ["image"], 1) == ["image"]  # type: ignore[arg-type]
    assert drawable(target, ["zero", "image"], 2) == ["zero", "image"]  # type: ignore[arg-type]
