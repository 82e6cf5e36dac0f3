"""One regression value: maps of "higher" and of "lower". References: formulas by hand, and the models' own values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import pair_models
import toy_models
from cli_tools import sidelight
from sidelight import Explainer, Explanation, ImageTransform, read_explanations
from sidelight.errors import ConfigError, UnsupportedTargetError
from sidelight.lab.baselines import make_rival
from sidelight.targets import ImageTextProcessor, as_target
from text_models import TEXTS, make_pair

SIDE = 16
TRANSFORM = ImageTransform((SIDE, SIDE), mean=(0.0,) * 3, std=(1.0,) * 3)
SMALL: dict[str, Any] = {"image": {"channels": [8, 8]}, "text": {"width": 8, "layers": 1, "heads": 2}}
REGRESSION = {"problem_type": "regression", "num_labels": 1}


class Balance(nn.Module):
    """A value: ``100 · (mean red − mean blue) + 7``."""

    def __init__(self, squeezed: bool = False) -> None:
        super().__init__()
        self.same, self.head, self.squeezed = nn.Conv2d(3, 3, 1), nn.Linear(3, 1), squeezed
        with torch.no_grad():
            self.same.weight.copy_(torch.eye(3)[:, :, None, None])
            self.same.bias.zero_()
            self.head.weight.copy_(torch.tensor([[100.0, 0.0, -100.0]]))
            self.head.bias.fill_(7.0)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        value = self.head(self.same(x).mean((2, 3)))
        return value.squeeze(1) if self.squeezed else value


def pictures(count: int, seed: int = 0) -> list[np.ndarray]:
    """Dark pictures ``[16, 16, 3]`` with a red square on one side and a blue one on the other, of random brightness."""
    rng = np.random.default_rng(seed)
    shown = rng.integers(0, 10, (count, SIDE, SIDE, 3), dtype=np.uint8)
    for picture in shown:
        for side, channel in enumerate(rng.permutation([0, 2])):
            top, left = int(rng.integers(0, 11)), int(rng.integers(0, 3)) + 8 * side
            picture[top : top + 5, left : left + 5, channel] = rng.integers(60, 256)
    return list(shown)


def value(picture: np.ndarray) -> float:
    red, _, blue = (picture / 255).mean((0, 1))
    return float(100 * (red - blue) + 7)


def fit(rows: Any, folder: Path, model: nn.Module | None = None, **options: Any) -> Explainer:
    own: dict[str, Any] = {
        "layers": ["same"],
        "output": "value",
        "decoder": {"image": SMALL["image"]},
        "batch_size": 16,
        "evals_per_epoch": 1,
        "on_collapse": "warn",
        "processor": TRANSFORM,
        **options,
    }
    return Explainer.fit(model or Balance(), rows, output_dir=folder / "run", **own)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Explainer:
    rows = [(x, value(x)) for x in pictures(300)]
    options = {"epochs": 6, "learning_rate": 0.01, "fills": ["zero"], "other_classes": 0.4}
    return fit(rows, tmp_path_factory.mktemp("trained"), **options)


def test_low_and_high_come_from_the_first_rows(trained: Explainer) -> None:
    known = np.array([value(x) for x in pictures(300)[:256]])
    verdict = trained.target.verdict
    assert verdict.threshold == pytest.approx(known.mean(), abs=1e-4)
    assert verdict.scale == pytest.approx(known.std(), rel=1e-5)
    assert trained.target.id2label == {0: "lower", 1: "higher"}


def test_the_value_is_the_models_own_and_the_rest_by_hand(trained: Explainer) -> None:
    shown = pictures(6, seed=3)
    threshold, scale = trained.target.verdict.threshold, trained.target.verdict.scale
    for x, found in zip(shown, trained.explain(shown), strict=True):
        assert found.meta["value"] == pytest.approx(value(x), abs=1e-4)
        p = 1 / (1 + np.exp(-(value(x) - threshold) / scale))
        np.testing.assert_allclose(found.probabilities, [1 - p, p], atol=1e-5)
        assert found.label == ("higher" if value(x) > threshold else "lower")
        assert not found.independent


def test_gradients_by_hand() -> None:
    target = as_target(
        Balance().double(), TRANSFORM, layers=["same"], output="value", threshold=5.0, scale=2.5
    )
    x = torch.rand(2, 3, SIDE, SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    scores = torch.ones(2, 1, SIDE, SIDE, dtype=torch.float64, requires_grad=True)
    logits = target.classify({"pixel_values": x}, {"image": scores}, "zero")
    own = torch.tensor([value(255 * one.permute(1, 2, 0).numpy()) for one in x])
    torch.testing.assert_close(logits[:, 1], (own.double() - 5) / 2.5, atol=1e-5, rtol=0)
    assert bool((logits[:, 0] == 0).all())
    logits[:, 1].sum().backward()
    expected = (x[:, :1] - x[:, 2:]) * 100 / SIDE**2 / 2.5
    torch.testing.assert_close(scores.grad, expected, atol=1e-9, rtol=0)
    torch.testing.assert_close(target.verdict.value_of(logits), own.double(), atol=1e-4, rtol=0)


def test_maps_of_higher_point_at_what_raises_the_value(trained: Explainer) -> None:
    shown = pictures(64, seed=5)
    hits = {"higher": [], "lower": []}
    signs = []
    for name, channel in (("higher", 0), ("lower", 2)):
        for x, found in zip(shown, trained.explain(shown, target=name), strict=True):
            best = np.unravel_index(found.ranking["image"].argmax(), (SIDE, SIDE))
            hits[name].append(x[..., channel][best] > 50)
            own, other = (found.effects["image"][x[..., c] > 50].sum() for c in (channel, 2 - channel))
            signs.append(own > 0 > other)
    assert np.mean(hits["higher"]) > 0.9
    assert np.mean(hits["lower"]) > 0.9
    assert np.mean(signs) > 0.8


def test_a_saved_scorer_reads_the_same(trained: Explainer, tmp_path: Path) -> None:
    shown = pictures(3, seed=6)
    trained.save_pretrained(tmp_path / "s")
    again = Explainer.from_pretrained(tmp_path / "s", Balance())
    kept = json.loads((tmp_path / "s" / "config.json").read_text())["target"]["options"]
    verdict = trained.target.verdict
    assert (kept["output"], kept["threshold"], kept["scale"]) == ("value", verdict.threshold, verdict.scale)
    for a, b in zip(trained.explain(shown), again.explain(shown), strict=True):
        np.testing.assert_array_equal(a.map, b.map)
        np.testing.assert_array_equal(a.probabilities, b.probabilities)
        assert a.meta["value"] == b.meta["value"]
    bare = as_target(Balance(), TRANSFORM, layers=["same"], output="value")
    beside = Explainer.from_pretrained(tmp_path / "s", bare)
    np.testing.assert_array_equal(beside.explain(shown[0]).map, again.explain(shown[0]).map)
    made = trained.explain(shown[0], target="higher")
    made.save(tmp_path / "one")
    assert Explanation.load(tmp_path / "one").meta["value"] == pytest.approx(value(shown[0]), abs=1e-4)


def test_the_callers_threshold_and_scale_stay(tmp_path: Path) -> None:
    explainer = fit(pictures(20), tmp_path, Balance(squeezed=True), epochs=1, threshold=0.0)
    known = np.array([value(x) for x in pictures(20)])
    verdict = explainer.target.verdict
    assert verdict.threshold == 0.0
    assert verdict.scale == pytest.approx(known.std(), rel=1e-5)


def test_a_baseline_method_needs_threshold_and_scale() -> None:
    inputs = {"pixel_values": torch.rand(2, 3, SIDE, SIDE)}
    bare = as_target(Balance(), TRANSFORM, layers=["same"], output="value")
    with pytest.raises(ConfigError, match=r"threshold=.*scale="):
        make_rival("saliency")(bare, inputs, torch.tensor([1, 1]))
    told = as_target(Balance(), TRANSFORM, layers=["same"], output="value", threshold=7.0, scale=1.0)
    found = make_rival("input_x_gradient")(told, inputs, torch.tensor([1, 1]))["image"]
    x = inputs["pixel_values"]
    torch.testing.assert_close(found, (x[:, :1] - x[:, 2:]) * 100 / SIDE**2, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"scale": 0.0}, "scale must be above 0"),
        ({"scale": float("inf")}, "finite"),
        ({"threshold": float("nan")}, "finite"),
        ({"output": "logits", "threshold": 1.0}, "say output='value'"),
        ({"output": "auto", "scale": 1.0}, "say output='value'"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        as_target(Balance(), TRANSFORM, layers=["same"], **{"output": "value", **options})


def test_rows_that_tell_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="same value for all 20 rows"):
        fit([pictures(1)[0]] * 20, tmp_path)
    with pytest.raises(ConfigError, match=r"gives a value.*label='prediction'"):
        fit([(x, 1) for x in pictures(20)], tmp_path, label="data")


def test_one_number_of_a_plain_module_still_asks(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedTargetError, match=r"output='sigmoid'.*output='value'"):
        fit(pictures(20), tmp_path, output="auto")


def test_every_modality_reads_a_value(tmp_path: Path) -> None:
    text_model, tokenizer = make_pair("bert")
    text = toy_models.seeded(
        lambda: type(text_model)(
            type(text_model.config)(**{**text_model.config.to_dict(), **REGRESSION})
        ).eval()
    )
    processor = ImageTextProcessor(ImageTransform((32, 32)), pair_models.make_tokenizer())
    pair = toy_models.seeded(lambda: pair_models.fusion(**REGRESSION).eval())
    picture = toy_models.seeded(
        lambda: toy_models.vit(image_size=SIDE, initializer_range=0.5, **REGRESSION).eval()
    )
    cases: list[tuple[Any, Any, list[Any]]] = [
        (picture, TRANSFORM, pictures(16)),
        (text, tokenizer, [f"{t} {i}" for i, t in enumerate(TEXTS * 6)]),
        (pair, processor, [p for p in pair_models.pairs() for _ in range(6)]),
    ]
    for number, (model, how, rows) in enumerate(cases):
        options = {"output": "auto", "layers": [-1] if number else (), "processor": how, "epochs": 1}
        decoder = {m: SMALL[m] for m in (("image",), ("text",), ("image", "text"))[number]}
        explainer = fit(rows, tmp_path / str(number), model, decoder=decoder, **options)
        target = explainer.target
        inputs = target.reader.read(rows[:3], labelled=False).inputs
        with target.one_pass(), torch.no_grad():
            known = {k: v for k, v in inputs.items() if k != "special_tokens_mask"}
            own = target.model(**known).logits[:, 0]
        found = explainer.explain(rows[:3], target="higher")
        assert [e.meta["value"] for e in found] == pytest.approx(own.tolist(), abs=1e-4)
        explainer.save_pretrained(tmp_path / str(number) / "s")
        again = Explainer.from_pretrained(tmp_path / str(number) / "s", model, processor=how)
        assert again.target.verdict.settled() == target.verdict.settled()
        assert again.explain(rows[0]).probability == explainer.explain(rows[0]).probability


def test_the_command_line_tells_the_value(tmp_path: Path) -> None:
    model = toy_models.seeded(
        lambda: toy_models.vit(image_size=SIDE, initializer_range=0.5, **REGRESSION).eval()
    )
    model.save_pretrained(tmp_path / "model")
    shown = pictures(20)
    explainer = fit(shown, tmp_path, model, output="auto", layers=(), epochs=1)
    explainer.save_pretrained(tmp_path / "scorer")
    from PIL import Image

    for number in range(2):
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.fromarray(shown[number]).save(tmp_path / "photos" / f"{number}.png")
    own = [e.meta["value"] for e in explainer.explain(shown[:2])]
    words = ("--model", tmp_path / "model", "--target", "higher")
    result = sidelight(
        "explain", tmp_path / "scorer", tmp_path / "photos" / "0.png", *words, "--out", tmp_path / "out"
    )
    assert result.code == 0, result.err
    assert f"the model's value is {own[0]:.6g}" in result.out
    result = sidelight(
        "explain", tmp_path / "scorer", "--folder", tmp_path / "photos", *words, "--out", tmp_path / "many"
    )
    assert result.code == 0, result.err
    table = pd.read_csv(tmp_path / "many" / "explanations.csv")
    assert table["value"].tolist() == pytest.approx(own, abs=1e-4)
    assert [e.meta["value"] for e in read_explanations(tmp_path / "many")] == pytest.approx(own, abs=1e-4)
