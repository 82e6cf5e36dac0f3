"""Independent labels: maps of each label and of its opposite. References: formulas by hand, and the models' own sigmoids."""

from __future__ import annotations

import json
import math
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
from sidelight import Explainer, Explanation, ImageTransform, ScorerConfig, read_explanations
from sidelight.checks.certificate import certify
from sidelight.checks.modality_share import modality_shares
from sidelight.checks.removal import granted_classes
from sidelight.core.tensors import decisions, opposite, predictable, probabilities
from sidelight.core.types import Reading
from sidelight.errors import ConfigError, InputError
from sidelight.explanations.stored import StoredExplanations
from sidelight.targets import ImageTextProcessor, TargetModel, as_target
from sidelight.training.network import class_weight, new_scorer
from sidelight.training.objective import (
    complement_loss,
    own_question,
    said_labels,
    task_loss,
    with_other_classes,
)
from sidelight.training.presets import objective_of
from sidelight.training.step import make_step
from text_models import TEXTS, make_pair

SIDE, GAIN, BIAS = 16, 80.0, -6.0
LABELS = ["red", "green", "blue"]
TRANSFORM = ImageTransform((SIDE, SIDE), mean=(0.0,) * 3, std=(1.0,) * 3)
SMALL: dict[str, Any] = {"image": {"channels": [8, 8]}, "text": {"width": 8, "layers": 1, "heads": 2}}
MULTI = {"problem_type": "multi_label_classification"}


class Colours(nn.Module):
    """Label ``l`` is there if channel ``l`` of the picture is bright: ``s_l = 80 · mean(channel l) − 6``."""

    def __init__(self, last: Any = None) -> None:
        super().__init__()
        self.same, self.head, self.last = nn.Conv2d(3, 3, 1), nn.Linear(3, 3), last
        with torch.no_grad():
            self.same.weight.copy_(torch.eye(3)[:, :, None, None])
            self.same.bias.zero_()
            self.head.weight.copy_(GAIN * torch.eye(3))
            self.head.bias.fill_(BIAS)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        s = self.head(self.same(x).mean((2, 3)))
        return s if self.last is None else self.last(s)


def quarter(number: int) -> np.ndarray:
    """The pixels of a quarter of the picture."""
    found = np.zeros((SIDE, SIDE), dtype=bool)
    found[8 * (number // 2) :, 8 * (number % 2) :][:8, :8] = True
    return found


def pictures(count: int, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    """Dark pictures ``[16, 16, 3]`` with a red, a green, a blue square, or some of them, and the flags of these.

    No two squares lie in one quarter of the picture.
    """
    rng = np.random.default_rng(seed)
    flags = rng.random((count, 3)) < 0.5
    shown = rng.integers(0, 10, (count, SIDE, SIDE, 3), dtype=np.uint8)
    for picture, there in zip(shown, flags, strict=True):
        for label, place in enumerate(rng.permutation(4)[:3]):
            top, left = rng.integers(0, 3, 2).tolist()
            square = picture[8 * (place // 2) + top :, 8 * (place % 2) + left :, label][:6, :6]
            square[:] = 255 if there[label] else square
    return list(shown), flags


def sigmoid(s: Any) -> Any:
    return 1 / (1 + np.exp(-np.asarray(s, dtype=np.float64)))


def by_hand(x: np.ndarray) -> np.ndarray:
    """``[3]`` log-odds of the labels of a picture ``[16, 16, 3]`` in [0, 1]."""
    return GAIN * x.mean((0, 1)) + BIAS


def toy(model: nn.Module | None = None, output: str = "labels", **options: Any) -> TargetModel:
    own = {"layers": ["same"], "class_names": LABELS, **options}
    return as_target(model or Colours(), TRANSFORM, output=output, **own)


# -- what logits mean -----------------------------------------------------------------------


@pytest.mark.parametrize("output", ["labels", "label_probabilities"])
def test_probabilities_are_sigmoids_and_opposites_are_the_rest(output: str) -> None:
    model = Colours(torch.sigmoid if output == "label_probabilities" else None).double()
    target = toy(model, output)
    x = torch.rand(5, 3, SIDE, SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) / 6
    encoding = target.encode({"pixel_values": x})
    s = torch.tensor(np.stack([by_hand(one.permute(1, 2, 0).numpy()) for one in x]))
    torch.testing.assert_close(encoding.logits, torch.cat([s, -s], 1) / 2, atol=1e-9, rtol=1e-9)
    p = s.sigmoid().float()
    torch.testing.assert_close(encoding.probabilities, torch.cat([p, 1 - p], 1), atol=1e-6, rtol=0)
    pair = torch.stack([encoding.logits[:, 1], encoding.logits[:, 4]], 1).softmax(1)
    torch.testing.assert_close(pair[:, 0], s[:, 1].sigmoid(), atol=1e-9, rtol=0)
    assert encoding.prediction.tolist() == s.argmax(1).tolist()
    assert target.id2label == {**dict(enumerate(LABELS)), **{3 + i: f"not {n}" for i, n in enumerate(LABELS)}}


def test_a_gradient_is_half_of_the_log_odds_and_turns_round_for_the_opposite() -> None:
    target = toy(Colours().double())
    x = torch.rand(2, 3, SIDE, SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for number in (2, 5):
        scores = torch.ones(2, 1, SIDE, SIDE, dtype=torch.float64, requires_grad=True)
        target.classify({"pixel_values": x}, {"image": scores}, "zero")[:, number].sum().backward()
        sign = 1 if number == 2 else -1
        expected = sign * x[:, 2:3] * GAIN / SIDE**2 / 2
        torch.testing.assert_close(scores.grad, expected, atol=1e-12, rtol=0)


def test_a_probability_of_one_keeps_finite_logits_and_gradients() -> None:
    model = Colours(lambda s: (1000 * s).sigmoid())
    target = toy(model, "label_probabilities")
    x = torch.rand(3, 3, SIDE, SIDE)
    assert bool((model(x) == 1).any())
    scores = torch.full((3, 1, SIDE, SIDE), 0.9, requires_grad=True)
    logits = target.classify({"pixel_values": x}, {"image": scores}, "zero")
    logits.sum().backward()
    assert torch.isfinite(logits).all()
    assert torch.isfinite(scores.grad).all()
    torch.testing.assert_close(
        target.encode({"pixel_values": x}).probabilities[:, :3], model(x), atol=1e-6, rtol=0
    )


def test_decisions_by_hand() -> None:
    s = torch.tensor([[2.0, -1.0, 0.0], [-3.0, -2.0, -1.0]])
    logits = torch.cat([s, -s], 1) / 2
    assert predictable(logits, True).argmax(1).tolist() == [0, 2]
    assert opposite(torch.tensor([0, 2, 3, 5]), 6).tolist() == [3, 5, 0, 2]
    assert decisions(logits, torch.tensor([0, 2]), True).tolist() == [True, False]
    assert decisions(logits, torch.tensor([1, 5]), True).tolist() == [False, True]
    assert decisions(probabilities(logits, True), torch.tensor([1, 5]), True).tolist() == [False, True]
    assert decisions(logits, torch.tensor([1, 1])).tolist() == logits.argmax(1).tolist()


def test_certificates_by_hand() -> None:
    target = toy(Colours().double())
    x = np.zeros((SIDE, SIDE, 3))
    x[quarter(0), 0], x[quarter(3), 2] = 0.5, 1.0  # s = 4, -6, 14
    inputs = {"pixel_values": torch.from_numpy(x).permute(2, 0, 1)[None]}
    encoding = target.encode(inputs)
    ranking = np.random.default_rng(0).permutation(SIDE * SIDE).reshape(SIDE, SIDE) + 1e3 * quarter(0)
    shown = torch.from_numpy(quarter(0).astype(float))[None, None]
    reading = Reading({"image": shown}, {"image": torch.from_numpy(ranking)[None, None]})
    for number, sign in ((0, 1), (3, -1)):
        ((found,),) = certify(target, inputs, encoding, reading, torch.tensor([number]), ["zero"])
        assert found.clean == pytest.approx(sigmoid(sign * 4), abs=1e-6)
        assert found.kept == pytest.approx(sigmoid(sign * 4), abs=1e-6)
        assert found.lost == pytest.approx(sigmoid(sign * BIAS), abs=1e-6)
        first, log_odds = np.argsort(-ranking.ravel()), []
        for share, p in zip(found.shares, found.deletion, strict=True):
            left = x.reshape(-1, 3).copy()
            left[first[: round(share * SIDE**2)]] = 0
            log_odds.append(by_hand(left.reshape(x.shape))[0])
            assert p == pytest.approx(sigmoid(sign * log_odds[-1]), abs=1e-6)
        # red is there until enough of its quarter is gone, although blue is the most probable label all the time
        assert found.flip == next(s for s, odds in zip(found.shares, log_odds, strict=True) if odds < 0)
        assert 0 < found.flip < 0.25


# -- goals and losses -----------------------------------------------------------------------


def test_goals_are_labels_that_the_model_says_yes_to() -> None:
    s = torch.tensor([[3.0, 1.0, -1.0], [-3.0, -2.0, -1.0]]).repeat(400, 1)
    logits = torch.cat([s, -s], 1) / 2
    torch.manual_seed(0)
    drawn = said_labels(logits, any_of_them=True, chance=True).argmax(1)
    share = float((drawn[::2] == 1).float().mean())
    assert set(drawn[::2].tolist()) == {0, 1}
    assert share == pytest.approx(0.5, abs=0.1)
    assert set(drawn[1::2].tolist()) == {2}
    turn = said_labels(logits[::2], any_of_them=True, chance=False).argmax(1)
    assert turn[:4].tolist() == [0, 1, 0, 1]
    assert set(said_labels(logits, any_of_them=False, chance=True).argmax(1)[::2].tolist()) == {0}
    goal = said_labels(logits, any_of_them=False, chance=True)
    other = with_other_classes(goal, logits, 1.0, independent=True).argmax(1)[::2]
    assert set(other.tolist()) == {1, 2, 3, 4, 5}
    assert float((other == 1).float().mean()) == pytest.approx(
        0.6, abs=0.1
    )  # the second label, or any of five


def test_losses_are_those_of_one_label() -> None:
    s = torch.tensor([[2.0, -1.0], [0.5, 4.0]], dtype=torch.float64)
    logits = torch.cat([s, -s], 1) / 2
    goal = torch.eye(4, dtype=torch.float64)[[0, 3]]  # label 0, and "not label 1"
    p = torch.tensor([s[0, 0], -s[1, 1]], dtype=torch.float64).sigmoid()
    asked = own_question(logits, goal)
    torch.testing.assert_close(task_loss(*asked).double(), -p.log(), atol=1e-6, rtol=0)
    torch.testing.assert_close(complement_loss(*asked).double(), -(1 - p).log(), atol=1e-5, rtol=0)


def test_a_step_asks_about_the_goal_alone() -> None:
    target = toy()
    shown, _ = pictures(3)
    inputs = target.reader.read(shown).inputs
    torch.manual_seed(0)
    scorer = new_scorer(target, shown[:1], ScorerConfig(decoder={"image": SMALL["image"]}, by_class=True))
    encoding, goal = target.encode(inputs), torch.eye(6)[[0, 2, 4]]
    raw = scorer.raw(encoding, goal.argmax(1))
    step = make_step(objective_of("robust"), target, scorer, inputs, encoding, raw, goal, ["zero"], False)
    s = np.stack([by_hand(picture / 255) for picture in shown])
    p = torch.from_numpy(sigmoid([s[0, 0], s[1, 2], -s[2, 1]]))
    torch.testing.assert_close(step.clean_probability().double(), p, atol=1e-5, rtol=0)
    torch.testing.assert_close(step.clean_loss().double(), -p.log(), atol=1e-4, rtol=1e-4)
    assert step.choices == 2
    nothing = {"image": torch.zeros(3, 1, SIDE, SIDE)}
    empty = torch.from_numpy(sigmoid([BIAS, BIAS, -BIAS]))
    torch.testing.assert_close(step.masked_loss(nothing).double(), -empty.log(), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        step.removed_loss({"image": 1 - nothing["image"]}).double(), -(1 - empty).log(), atol=1e-4, rtol=0
    )


def test_class_vectors_begin_with_the_weight_of_a_label_and_its_negative() -> None:
    target = toy()
    target.encode({"pixel_values": torch.zeros(1, 3, SIDE, SIDE)})
    weight = class_weight(target, 6)
    assert weight is not None
    torch.testing.assert_close(weight, torch.cat([target.model.head.weight, -target.model.head.weight]))
    one = nn.Sequential(nn.Conv2d(3, 2, 4, 4), nn.Flatten(), nn.Linear(32, 1))
    yes = as_target(one, TRANSFORM, layers=["0"], output="sigmoid")
    yes.encode({"pixel_values": torch.zeros(1, 3, SIDE, SIDE)})
    torch.testing.assert_close(class_weight(yes, 2), torch.cat([-one[2].weight, one[2].weight]))


@pytest.mark.parametrize("goal", ["data", "distribution"])
def test_goals_of_exclusive_classes_are_refused(goal: str, tmp_path: Path) -> None:
    shown, flags = pictures(20)
    rows = [(x, f.astype(int).tolist()) for x, f in zip(shown, flags, strict=True)]
    with pytest.raises(ConfigError, match=r"decides each label by itself.*label='prediction'"):
        fit(rows, tmp_path, label=goal)
    assert not (tmp_path / "run").exists()


# -- a short training -----------------------------------------------------------------------


def fit(rows: Any, folder: Path, model: nn.Module | None = None, **options: Any) -> Explainer:
    own: dict[str, Any] = {
        "layers": ["same"],
        "class_names": LABELS,
        "output": "labels",
        "decoder": {"image": SMALL["image"]},
        "batch_size": 16,
        "evals_per_epoch": 1,
        "on_collapse": "warn",
        **options,
    }
    return Explainer.fit(model or Colours(), rows, processor=TRANSFORM, output_dir=folder / "run", **own)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Explainer:
    shown, flags = pictures(192)
    rows = [{"image": x, "label": f.astype(int).tolist()} for x, f in zip(shown, flags, strict=True)]
    return fit(
        rows,
        tmp_path_factory.mktemp("trained"),
        epochs=14,
        learning_rate=0.01,
        fills=["zero"],
        other_classes=0.4,
    )


def test_a_map_points_at_the_label_that_it_is_of(trained: Explainer) -> None:
    shown, flags = pictures(64, seed=5)
    hits, signs = [], []
    for label, name in enumerate(LABELS):
        there = [x for x, f in zip(shown, flags, strict=True) if f[label]]
        places = [x[..., label] > 200 for x in there]
        yes, no = trained.explain(there, target=name), trained.explain(there, target=f"not {name}")
        for found, against, square in zip(yes, no, places, strict=True):
            assert found.explained_label == name
            best = np.unravel_index(found.ranking["image"].argmax(), (SIDE, SIDE))
            hits.append(square[best])
            own = found.effects["image"][square].sum(), against.effects["image"][square].sum()
            signs.append(own[0] > 0 > own[1])
    assert np.mean(hits) > 0.9
    assert np.mean(signs) > 0.9


def test_an_explanation_holds_a_probability_for_each_label(trained: Explainer) -> None:
    shown, _ = pictures(8, seed=6)
    for x, found in zip(shown, trained.explain(shown), strict=True):
        p = sigmoid(by_hand(x / 255))
        np.testing.assert_allclose(found.probabilities, p, atol=1e-5)
        assert (found.prediction, found.label) == (int(p.argmax()), LABELS[int(p.argmax())])
        assert found.probability == pytest.approx(p.max(), abs=1e-5)
        assert found.independent
    second = trained.explain(shown[0], target="second")
    assert second.explained == int(np.argsort(-sigmoid(by_hand(shown[0] / 255)))[1])
    against = trained.explain(shown[0], target="red", versus="blue")
    assert (against.explained, against.versus) == (0, 2)
    mine = trained.explain(shown[:3], target=["red", "not blue", 4])
    assert [e.explained for e in mine] == [0, 5, 4]
    assert [e.explained_label for e in mine] == ["red", "not blue", "not green"]
    assert mine[1].explained_probability == pytest.approx(1 - mine[1].probabilities[2], abs=1e-6)
    with pytest.raises(ConfigError, match="3 labels, 0 to 2, and their opposites, 3 to 5"):
        trained.explain(shown[0], target=6)


def test_measuring_refining_and_pictures_of_an_opposite(trained: Explainer) -> None:
    shown, _ = pictures(1, seed=7)
    found = trained.explain(shown[0], target="not red", verify=True, refine=2)
    p = sigmoid(by_hand(shown[0] / 255))[0]
    assert found.meta["certificate"][0]["clean"] == pytest.approx(1 - p, abs=1e-5)
    assert f"map of not red {1 - p:.1%}" in found.to_html()
    assert found.plot().get_suptitle().endswith(f"map of not red {1 - p:.1%}")


def test_saved_scorers_know_their_labels(trained: Explainer, tmp_path: Path) -> None:
    shown, _ = pictures(4, seed=8)
    trained.save_pretrained(tmp_path / "s")
    again = Explainer.from_pretrained(tmp_path / "s", Colours())
    assert again.target.independent
    for a, b in zip(
        trained.explain(shown, target="not green"),
        again.explain(shown, target="not green"),
        strict=True,
    ):
        np.testing.assert_array_equal(a.map, b.map)
        assert a.explained_label == b.explained_label == "not green"


def test_explanations_come_back_from_files(trained: Explainer, tmp_path: Path) -> None:
    shown, _ = pictures(3, seed=9)
    made = trained.explain(shown, target="not green")
    made[0].save(tmp_path / "one")
    stored = StoredExplanations.open(tmp_path / "many", {})
    stored.add(made)
    for found in (Explanation.load(tmp_path / "one"), next(iter(read_explanations(tmp_path / "many")))):
        assert found.independent
        assert (found.explained, found.explained_label) == (4, "not green")
        np.testing.assert_allclose(found.probabilities, made[0].probabilities, atol=1e-6)
    values = made[0].to_dict()
    with pytest.raises(InputError, match="sum to 1"):
        Explanation(**{**_fields(made[0]), "independent": False, "probabilities": [0.9, 0.9, 0.1]})
    with pytest.raises(InputError, match="explained must be the index"):
        Explanation(**{**_fields(made[0]), "explained": 6})
    assert Explanation.from_dict(json.loads(json.dumps(values))).independent


def _fields(explanation: Explanation) -> dict[str, Any]:
    names = ("scores", "inputs", "prediction", "label", "probability", "probabilities", "independent")
    return {name: getattr(explanation, name) for name in names}


# -- texts and pairs ------------------------------------------------------------------------


def texts() -> tuple[TargetModel, list[Any]]:
    model, tokenizer = make_pair("bert")
    return as_target(model, tokenizer, output="labels"), list(TEXTS)


def pairs() -> tuple[TargetModel, list[Any]]:
    model = pair_models.fusion(num_labels=4, **MULTI).eval()
    processor = ImageTextProcessor(ImageTransform((32, 32)), pair_models.make_tokenizer())
    return as_target(model, processor), pair_models.pairs()


def images() -> tuple[TargetModel, list[Any]]:
    model = toy_models.seeded(
        lambda: toy_models.vit(image_size=SIDE, num_labels=3, initializer_range=0.5, **MULTI).eval()
    )
    return as_target(model, TRANSFORM), pictures(3)[0]


@pytest.mark.parametrize("build", [images, texts, pairs])
def test_every_modality_reads_labels(build: Any) -> None:
    target, samples = build()
    inputs = target.reader.read(samples, labelled=False).inputs
    encoding = target.encode(inputs)
    with target.one_pass(), torch.no_grad():
        known = {k: v for k, v in inputs.items() if k != "special_tokens_mask"}
        own = target.model(**known).logits.sigmoid()
    count = own.shape[1]
    torch.testing.assert_close(encoding.probabilities[:, :count], own, atol=1e-5, rtol=0)
    torch.manual_seed(0)
    config = ScorerConfig(decoder={m: SMALL[m] for m in target.modalities}, by_class=True)
    explainer = Explainer(target, new_scorer(target, samples[:1], config))
    assert explainer.scorer.spec.classes == 2 * count
    names = target.id2label
    for i, found in enumerate(explainer.explain(samples, target=count + 1, verify=True)):
        assert found.explained_label == f"not {names[1]}"
        assert found.meta["certificate"][0]["clean"] == pytest.approx(1 - float(own[i, 1]), abs=1e-5)
        assert found.effects is not None
    granted = granted_classes(target, inputs, ["zero"])
    assert all(g.label in [str(names[i]) for i in range(count)] for g in granted)
    if len(target.modalities) > 1:
        shares = modality_shares(target, inputs, inputs, draws=1)
        assert [s.confidence for s in shares] == pytest.approx(own.max(1).values.tolist(), abs=1e-5)


def test_the_command_line_takes_labels_and_opposites(tmp_path: Path) -> None:
    model, tokenizer = make_pair("bert")
    model.config.id2label = dict(enumerate(["cat", "dog", "cow"]))
    model.config.problem_type = MULTI["problem_type"]
    model.save_pretrained(tmp_path / "model")
    target = as_target(str(tmp_path / "model"), tokenizer)
    torch.manual_seed(0)
    config = ScorerConfig(decoder={"text": SMALL["text"]}, by_class=True)
    Explainer(target, new_scorer(target, TEXTS[:1], config)).save_pretrained(tmp_path / "scorer")
    words = ("--target", "not cat", "--out", tmp_path / "out", "--json", tmp_path / "rows.json")
    result = sidelight("explain", tmp_path / "scorer", TEXTS[0], *words)
    assert result.code == 0, result.err
    with torch.no_grad():
        p = float(model(**tokenizer(TEXTS[0], return_tensors="pt")).logits[0, 0].sigmoid())
    assert f"the map is of not cat ({1 - p:.1%})" in result.out
    (row,) = json.loads((tmp_path / "rows.json").read_text())
    assert row["explained"] == "not cat"
    assert row["explained_probability"] == pytest.approx(1 - p, abs=1e-5)
    pd.DataFrame({"text": TEXTS}).to_csv(tmp_path / "t.csv", index=False)
    result = sidelight(
        "explain",
        tmp_path / "scorer",
        "--csv",
        tmp_path / "t.csv",
        "--target",
        "dog",
        "--out",
        tmp_path / "many",
    )
    assert result.code == 0, result.err
    table = pd.read_csv(tmp_path / "many" / "explanations.csv")
    assert set(table["explained"]) == {"dog"}
    found = list(read_explanations(tmp_path / "many"))
    assert [round(float(e.probabilities[1]), 4) for e in found] == [
        round(p, 4) for p in table["explained_probability"]
    ]
    assert not math.isclose(float(found[0].probabilities.sum()), 1, abs_tol=1e-2)
