"""A decoder costs a stated share of its target, counted here by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import toy_models
from sidelight import Explainer, ImageTransform, ScorerConfig
from sidelight.core.types import StateSpec
from sidelight.scorers.image import ImageDecoder
from sidelight.targets import as_target
from sidelight.training import decoder_cost
from sidelight.training.decoder_cost import LARGEST_SHARE
from sidelight.training.network import new_scorer

SIDE = 128


def pictures(count: int = 4, side: int = SIDE) -> list[Image.Image]:
    draw = np.random.default_rng(0)
    return [Image.fromarray(draw.integers(0, 256, (side, side, 3), dtype=np.uint8)) for _ in range(count)]


def mobilenet(side: int = SIDE) -> Any:
    model = toy_models.seeded(lambda: toy_models.mobilenet(num_labels=3, image_size=side)).eval()
    return as_target(model, ImageTransform((side, side)))


def multiplications(module: nn.Module, call: Any) -> int:
    """Of the convolutions and linear layers of ``module`` during ``call``."""
    counts: list[int] = []

    def count(layer: Any, _: Any, out: Tensor) -> None:
        inside = layer.weight[0].numel()
        counts.append(out.numel() * inside)

    hooks = [m.register_forward_hook(count) for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        call()
    for hook in hooks:
        hook.remove()
    return sum(counts)


def share_of(scorer: Any, target: Any) -> float:
    inputs = target.reader.read(pictures(1)).inputs
    encoding = target.encode(inputs)
    own = multiplications(scorer, lambda: scorer.raw(encoding))
    return own / multiplications(target.model, lambda: target.model(**inputs))


def test_a_decoder_of_a_small_target_is_cut_until_it_costs_a_twentieth() -> None:
    target = mobilenet()
    usual = new_scorer(target, pictures(1), ScorerConfig(by_class=True), fitted=False)
    fitted = new_scorer(target, pictures(1), ScorerConfig(by_class=True))
    assert share_of(usual, target) > 4 * LARGEST_SHARE
    assert share_of(fitted, target) < share_of(usual, target) / 4
    cheapest = dict(decoder_cost.CHEAPER[-1])
    chosen = dict(fitted.config.decoder["image"])
    # this target is so small that even the cheapest decoder is above the limit: then it has the cheapest one
    assert share_of(fitted, target) <= LARGEST_SHARE or chosen == cheapest


def test_the_limit_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    target = mobilenet()
    usual = share_of(new_scorer(target, pictures(1), ScorerConfig(by_class=True), fitted=False), target)
    monkeypatch.setattr(decoder_cost, "LARGEST_SHARE", 1.2 * usual)
    assert new_scorer(target, pictures(1), ScorerConfig(by_class=True)).config.decoder == {}
    monkeypatch.setattr(decoder_cost, "LARGEST_SHARE", 0.8 * usual)
    fitted = new_scorer(target, pictures(1), ScorerConfig(by_class=True))
    assert fitted.config.decoder["image"] == decoder_cost.CHEAPER[0]


@pytest.mark.parametrize("given", [{"stride": 2}, {"channels": (8, 8)}])
def test_what_the_user_asks_for_stays(given: dict[str, Any]) -> None:
    config = ScorerConfig(by_class=True, decoder={"image": given})
    assert new_scorer(mobilenet(), pictures(1), config).config == config


def test_small_pictures_keep_their_pixels() -> None:
    scorer = new_scorer(mobilenet(64), pictures(1, 64), ScorerConfig())
    assert scorer.config.decoder == {}
    assert scorer.decoders["image"].decoder.sizes[-1] == (64, 64)


def test_pooled_states_are_means_over_cells() -> None:
    states = [StateSpec(3, (32, 32)), StateSpec(5, (8, 8))]
    torch.manual_seed(0)
    pooled = ImageDecoder(states, (64, 64), stride=4, pooled=True).double()
    assert pooled.sizes == [(8, 8), (16, 16)]
    torch.manual_seed(0)
    plain = ImageDecoder([StateSpec(3, (16, 16)), states[1]], (64, 64), stride=4).double()
    plain.load_state_dict(pooled.state_dict())
    fine, deep = (torch.randn(2, s.channels, *s.grid, dtype=torch.float64) for s in states)  # type: ignore[misc]
    by_hand = fine.view(2, 3, 16, 2, 16, 2).mean((3, 5))
    torch.testing.assert_close(pooled([fine, deep], (64, 64)), plain([by_hand, deep], (64, 64)))


@pytest.mark.parametrize("grid", [(31, 32), (17, 9), (64, 64)])
def test_pooled_states_of_any_size(grid: tuple[int, int]) -> None:
    decoder = ImageDecoder([StateSpec(3, grid), StateSpec(5, (4, 4))], (64, 64), stride=4, pooled=True)
    assert max(decoder.sizes[-1]) <= 16
    assert decoder([torch.randn(1, 3, *grid), torch.randn(1, 5, 4, 4)], (64, 64)).shape == (1, 1, 64, 64)


def test_a_training_of_an_earlier_version_keeps_its_decoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier version gave every target the same decoder. Its folder is taken up, and not refused."""
    rows = [{"image": p, "label": i % 2} for i, p in enumerate(pictures(8))]
    settings: dict[str, Any] = {"epochs": 1, "batch_size": 4, "label": "prediction", "on_collapse": "warn"}
    with monkeypatch.context() as earlier:
        earlier.setattr(decoder_cost, "CHEAPER", ())
        first = Explainer.fit(mobilenet(), rows, output_dir=tmp_path / "run", **settings)
    again = Explainer.fit(mobilenet(), rows, output_dir=tmp_path / "run", **settings)
    fresh = Explainer.fit(mobilenet(), rows, output_dir=tmp_path / "other", **settings)
    assert again.scorer.config == first.scorer.config != fresh.scorer.config
    for one, other in zip(
        first.scorer.state_dict().values(), again.scorer.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    restored = Explainer.from_pretrained(tmp_path / "other" / "scorer", fresh.target)
    np.testing.assert_array_equal(
        restored.explain(rows[0]["image"]).scores["image"], fresh.explain(rows[0]["image"]).scores["image"]
    )
