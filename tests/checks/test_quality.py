"""Foretold quality: the regression against numpy with every row left out in turn, clues by hand, SRG by an evaluation."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.integrate import simpson
from scipy.stats import spearmanr

from pair_models import make_target, pairs
from sidelight import ScorerConfig
from sidelight.checks.certificate import certify
from sidelight.checks.quality import (
    CLASSES,
    CLUES,
    FEWEST,
    PENALTIES,
    SHARES,
    Quality,
    calibrated,
    clues_of,
    fitted,
    limit_of_srg,
    srg_of,
)
from sidelight.core.types import Encoding, Reading
from sidelight.errors import CheckpointError
from sidelight.inputs.base import Batch
from sidelight.lab.evaluation.engine import evaluate_batch
from sidelight.lab.evaluation.settings import EvalSettings
from sidelight.lab.metrics.layout import RankedScores
from sidelight.training import quality as learning
from sidelight.training.network import new_scorer
from sidelight.training.quality import READ_FOR_ONE, learn_quality


def ridge(x: np.ndarray, y: np.ndarray, penalty: float) -> tuple[np.ndarray, float]:
    """Weights and mean of a ridge regression whose mean bears no penalty, on columns that are centred already."""
    return np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ (y - y.mean())), float(y.mean())


def test_the_regression_is_the_one_that_foretells_left_out_rows_best() -> None:
    rng = np.random.default_rng(0)
    raw = rng.normal(size=(40, 3)) * [1, 5, 0.2] + [0, 3, -1]
    y = 0.5 + raw @ [0.2, 0.0, 1.0] + 0.1 * rng.normal(size=40)
    model = fitted(torch.tensor(raw), torch.tensor(y))
    x = (raw - raw.mean(0)) / raw.std(0, ddof=1)
    # with the intercept as one more column, leaving row i out is a regression on the other rows
    wide = np.hstack([x, np.ones((40, 1))])
    errors, foretold = {}, {}
    for penalty in PENALTIES:
        bearing = np.diag([penalty] * 3 + [0.0])
        left = []
        for i in range(40):
            others = np.delete(np.arange(40), i)
            weights = np.linalg.solve(wide[others].T @ wide[others] + bearing, wide[others].T @ y[others])
            left.append(wide[i] @ weights)
        errors[penalty], foretold[penalty] = np.mean((np.array(left) - y) ** 2), np.array(left)
    best = min(errors, key=errors.__getitem__)
    weights, mean = ridge(x, y, best)
    np.testing.assert_allclose(model.weights, weights, rtol=1e-9)
    assert model.intercept == pytest.approx(mean)
    assert model.rows == 40
    assert model.skill == pytest.approx(spearmanr(foretold[best], y)[0], abs=1e-9)
    expected = np.clip(mean + x @ weights, -1, 1)
    np.testing.assert_allclose(model.foretell(torch.tensor(raw)).numpy(), expected, atol=1e-6)


def test_a_clue_that_never_changes_and_a_constant_answer() -> None:
    model = fitted(torch.ones(30, 2, dtype=torch.float64), torch.full((30,), 0.25, dtype=torch.float64))
    assert model.skill == 0
    assert model.foretell(torch.tensor([[1.0, 1.0], [5.0, 9.0]])).tolist() == [0.25, 0.25]


def test_clues_by_hand() -> None:
    """Two samples of four tokens, the last of the first one being padding."""
    p = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3]])
    real = torch.tensor([[True, True, True, False], [True] * 4])
    encoding = SimpleNamespace(probabilities=p, logits=p.log(), feature_mask={"text": real})
    scores = torch.tensor([[1.0, 0.5, 0.0, 9.0], [0.2, 0.4, 0.6, 0.8]])
    ranking = torch.tensor([[1.0, 3.0, 2.0, 9.0], [4.0, 3.0, 2.0, 1.0]])
    effects = torch.tensor([[0.3, 0.2, -0.1, 9.0], [0.1, 0.1, 0.1, 0.1]])
    reading = Reading({"text": scores}, {"text": ranking}, {"text": effects})
    found = clues_of(encoding, reading, torch.tensor([0, 2]))  # type: ignore[arg-type]
    assert found.shape == (2, len(CLUES) + CLASSES)
    first = dict(zip(CLUES, found[0].tolist(), strict=False))
    second = dict(zip(CLUES, found[1].tolist(), strict=False))
    assert first["probability"] == pytest.approx(0.7)
    assert first["margin"] == pytest.approx(0.5)
    assert first["odds"] == pytest.approx(np.log(0.7 / 0.2), abs=1e-6)
    assert second["margin"] == pytest.approx(-0.3)
    assert (first["mean"], first["area"]) == pytest.approx((0.5, 1 / 3))
    assert first["binary"] == pytest.approx((0 + 1 + 0) / 3)
    # ranking 1, 3, 2 standardised: -1.2247, 1.2247, 0
    assert first["agreement"] == pytest.approx((-1.224745 + 0.5 * 1.224745) / 3, abs=1e-5)
    assert (first["gain"], first["loss"]) == pytest.approx((0.5, -0.1))
    # in the order of the ranking the effects are 0.2, -0.1, 0.3; so far 0.2, 0.1, 0.4
    assert first["promised"] == pytest.approx(2 * (0.2 + 0.1 + 0.4) / 3 - 0.4)
    assert second["promised"] == pytest.approx(2 * (0.1 + 0.2 + 0.3 + 0.4) / 4 - 0.4)
    assert first[f"effect of {SHARES[0]:.0%}"] == pytest.approx(0.2)
    assert first["effect of 50%"] == pytest.approx(0.1)  # the first two of three
    assert found[0, len(CLUES) :].nonzero().tolist() == [[0]]
    assert found[1, len(CLUES) :].nonzero().tolist() == [[2]]


def test_srg_is_that_of_an_evaluation_and_calibration_is_seeded() -> None:
    target = make_target("fusion-resnet")
    torch.manual_seed(1)
    small = {"image": {"channels": [4, 4]}, "text": {"width": 8, "layers": 1, "heads": 2}}
    scorer = new_scorer(target, pairs()[:1], ScorerConfig(decoder=small, by_class=True)).eval()
    inputs = target.reader.read(pairs()).inputs
    encoding = target.encode(inputs)
    with torch.no_grad():
        reading = scorer.reading(encoding)
    found = [srg_of(own) for own in certify(target, inputs, encoding, reading, fills=["zero"], steps=6)]
    settings = EvalSettings(fills=("zero",), metrics=("srg",), steps=6)
    batch = Batch(inputs, [0, 1, 2])
    shown = RankedScores(reading.scores, reading.ranking)
    rows = evaluate_batch(target, batch, shown, method="m", signed=False, settings=settings).rows
    joint = [r["value"] for r in rows if r["modality"] == "image+text"]
    assert found == pytest.approx(joint, abs=1e-6)

    def read(own: Encoding) -> Reading:
        with torch.no_grad():
            return scorer.reading(own)

    assert calibrated(target, read, [inputs]) is None  # three rows teach nothing
    many = [inputs] * (FEWEST // 3)
    first, second = calibrated(target, read, many), calibrated(target, read, many)
    assert first == second
    assert first is not None
    assert first.rows == FEWEST
    assert Quality.from_dict(first.to_dict()) == first


@pytest.mark.parametrize("steepness", [1.0, 4.0, 8.0])
def test_few_points_give_nearly_the_area_of_many(steepness: float) -> None:
    shares = np.linspace(0, 1, 7)
    one = SimpleNamespace(
        shares=shares, deletion=np.exp(-steepness * shares), insertion=1 - np.exp(-steepness * shares)
    )
    true = 1 - 2 * (1 - np.exp(-steepness)) / steepness
    found, coarse = limit_of_srg([one]), srg_of([one])
    assert found == pytest.approx(simpson(one.insertion - one.deletion, x=shares), abs=1e-12)
    assert abs(found - true) < abs(coarse - true) / 3


def test_what_is_learnt_are_the_areas_of_many_points() -> None:
    """They were those of six points, which lie below what ``verify=True`` measures."""
    target = make_target("fusion-resnet")
    inputs = target.reader.read(pairs()).inputs
    encoding = target.encode(inputs)

    def read(own: Encoding) -> Reading:
        noise = torch.rand(own.feature_mask["image"].shape, generator=torch.Generator().manual_seed(3))
        words = torch.rand(own.feature_mask["text"].shape, generator=torch.Generator().manual_seed(4))
        scores = {"image": noise, "text": words}
        return Reading(scores, scores, None)

    found = calibrated(target, read, [inputs] * (FEWEST // 3))
    assert found is not None
    measured = [limit_of_srg(own) for own in certify(target, inputs, encoding, read(encoding), steps=6)]
    assert found.intercept == pytest.approx(np.mean(measured), abs=1e-6)


@pytest.mark.parametrize("skill", [-0.5, 0.0, 0.3, 0.39, 0.41, 0.9])
def test_guesses_without_skill_are_not_given(
    skill: float, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A rank correlation of 25 unrelated pairs is above 0.39 in one case of forty (normal, with a deviation of 1 / √25)."""
    found = Quality((0.0,), (1.0,), (1.0,), 0.0, skill, 25)
    monkeypatch.setattr(learning, "calibrated", lambda *_: found)
    target = make_target("fusion-resnet")
    scorer = new_scorer(target, pairs()[:1], ScorerConfig(by_class=True))
    with caplog.at_level("INFO", "sidelight"):
        kept = learn_quality(target, scorer, [None] * 100, None, 100 * READ_FOR_ONE)  # type: ignore[arg-type]
    assert kept == (found if skill > 0.392 else None)
    assert ("better than by chance" in caplog.text) == (kept is None)
    assert f"{skill:.2f}" in caplog.text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"skill": "high"}, "damaged"),
        ({"spread": [0.0]}, "above 0"),
        ({"weights": [1, 2]}, "differ in length"),
    ],
)
def test_a_damaged_entry_is_refused(change: dict[str, object], words: str) -> None:
    good = Quality((0.0,), (1.0,), (0.5,), 0.1, 0.2, 30).to_dict()
    with pytest.raises(CheckpointError, match=words):
        Quality.from_dict({**good, **change})
    with pytest.raises(CheckpointError, match="damaged"):
        Quality.from_dict({})
