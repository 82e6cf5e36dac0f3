"""Certificates against the evaluation of the same maps, and by hand on a model whose probabilities are known."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from eval_toys import LinearToy
from helpers_training import SIZE, TRANSFORM, classifier, corner_images
from pair_models import make_target, pairs
from sidelight import ScorerConfig
from sidelight.checks.certificate import STEPS, certify
from sidelight.core.types import IMAGE, Reading
from sidelight.errors import UnknownNameError
from sidelight.inputs.base import Batch
from sidelight.lab.evaluation.engine import evaluate_batch
from sidelight.lab.evaluation.settings import EvalSettings
from sidelight.lab.metrics.layout import RankedScores
from sidelight.targets import as_target
from sidelight.training.network import new_scorer
from text_models import TEXTS, make_pair

SMALL: dict[str, Any] = {"image": {"channels": [4, 4]}, "text": {"width": 8, "layers": 1, "heads": 2}}
METRICS = ("average_drop", "deletion_auc", "insertion_auc", "flip_share")
CASES: dict[str, Any] = {
    "image": (lambda: as_target(classifier(), TRANSFORM), list(corner_images(3)[0]), ("zero", "blur")),
    "text": (lambda: as_target(*make_pair("bert")), TEXTS, ("zero", "mean")),
    "pair": (lambda: make_target("fusion-resnet"), pairs(), ("zero", "mean")),
}


def area(p: tuple[float, ...], shares: tuple[float, ...]) -> float:
    return sum((p[i] + p[i + 1]) / 2 * (shares[i + 1] - shares[i]) for i in range(len(p) - 1))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("by_class", [True, False])
def test_the_numbers_are_those_of_an_evaluation(by_class: bool, name: str) -> None:
    build, samples, fills = CASES[name]
    target = build()
    torch.manual_seed(1)
    config = ScorerConfig(decoder={m: SMALL[m] for m in target.modalities}, by_class=by_class)
    scorer = new_scorer(target, samples[:1], config).eval()
    inputs = target.reader.read(samples).inputs
    encoding = target.encode(inputs)
    with torch.no_grad():
        reading = scorer.reading(encoding)
    found = certify(target, inputs, encoding, reading)
    assert [[c.fill for c in of_sample] for of_sample in found] == [list(fills)] * 3
    settings = EvalSettings(fills=fills, metrics=METRICS, steps=STEPS)
    # a scorer of the thesis is evaluated by its map, whose ties are broken by chance; the certificate has its ranking
    scores = RankedScores(reading.scores, reading.ranking)
    batch = Batch(inputs, [0, 1, 2])
    rows = evaluate_batch(target, batch, scores, method="m", signed=False, settings=settings).rows
    expected = {(r["sample"], r["fill"], r["metric"]): r["value"] for r in rows}
    for number, certificates in enumerate(found):
        for c in certificates:
            own = {
                "average_drop": max(0.0, c.clean - c.kept),
                "deletion_auc": area(c.deletion, c.shares),
                "insertion_auc": area(c.insertion, c.shares),
                "flip_share": c.flip,
            }
            for metric, value in own.items():
                assert value == pytest.approx(expected[number, c.fill, metric], abs=1e-6), (c.fill, metric)


def test_two_by_two_pixels_by_hand() -> None:
    weights = torch.tensor([[[4.0, -1.0], [2.0, 0.0]]])
    target = LinearToy({"image": weights}, [IMAGE])
    inputs = {
        "image": torch.ones(1, 1, 2, 2),
        "image_real": torch.ones(1, 1, 2, 2, dtype=torch.bool),
    }
    ranking = torch.tensor([[[[4.0, 1.0], [3.0, 2.0]]]])
    scores = torch.tensor([[[[1.0, 0.0], [0.5, 0.0]]]])
    encoding = target.encode(inputs)
    ((found,),) = certify(
        target, inputs, encoding, Reading({"image": scores}, {"image": ranking}), fills=["zero"]
    )

    def p(logit: float) -> float:
        return float(torch.tensor(logit, dtype=torch.float64).sigmoid())

    assert found.clean == pytest.approx(p(5), abs=1e-6)
    assert found.kept == pytest.approx(p(4 + 1), abs=1e-6)
    assert found.lost == pytest.approx(p(1 - 1), abs=1e-6)
    # first the 4 goes, then the 2, the 0 and the -1
    assert sorted(set(found.shares)) == [0, 0.25, 0.5, 0.75, 1]
    removed = dict(zip(found.shares, found.deletion, strict=True))
    alone = dict(zip(found.shares, found.insertion, strict=True))
    for share, gone in {0: 5, 0.25: 1, 0.5: -1, 0.75: -1, 1: 0}.items():
        assert removed[share] == pytest.approx(p(gone), abs=1e-6)
    for share, kept in {0: 0, 0.25: 4, 0.5: 6, 0.75: 6, 1: 5}.items():
        assert alone[share] == pytest.approx(p(kept), abs=1e-6)
    assert found.flip == 0.5
    assert found.to_dict()["flip"] == 0.5
    # of the other class the probabilities are the rest
    ((other,),) = certify(
        target,
        inputs,
        encoding,
        Reading({"image": scores}, {"image": ranking}),
        torch.tensor([1]),
        fills=["zero"],
    )
    assert other.clean == pytest.approx(1 - found.clean, abs=1e-6)
    assert list(other.deletion) == pytest.approx([1 - value for value in found.deletion], abs=1e-6)
    assert other.flip == found.flip, "the verdict is the model's, whatever class is explained"


def test_a_verdict_that_never_changes_has_a_flip_of_1() -> None:
    target = LinearToy({"image": torch.zeros(1, 1, 2, 2)}, [IMAGE])
    inputs = {"image": torch.ones(1, 1, 2, 2), "image_real": torch.ones(1, 1, 2, 2, dtype=torch.bool)}
    reading = Reading({"image": torch.rand(1, 1, 2, 2)}, {"image": torch.rand(1, 1, 2, 2)})
    ((found,),) = certify(target, inputs, target.encode(inputs), reading, fills=["zero"])
    assert found.flip == 1


def test_an_unknown_fill_is_refused() -> None:
    target = as_target(classifier(), TRANSFORM)
    inputs = target.reader.read(list(corner_images(1)[0])).inputs
    encoding = target.encode(inputs)
    scores = {"image": torch.rand(1, 1, SIZE, SIZE)}
    with pytest.raises(UnknownNameError, match="Did you mean 'blur'"):
        certify(target, inputs, encoding, Reading(scores, scores), fills=["blurr"])
