"""Refined maps: better by the objective, the same again, and nothing else is touched."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from helpers_training import TRANSFORM, classifier, corner_images, state
from pair_models import make_target, pairs
from sidelight import Explainer, ScorerConfig
from sidelight.checks.quality import clues_of, fitted
from sidelight.errors import ConfigError, InputError, SelfCheckError
from sidelight.targets import as_target
from sidelight.training.network import new_scorer
from sidelight.training.refine import refine
from text_models import TEXTS, make_pair

SMALL: dict[str, Any] = {"image": {"channels": [4, 4]}, "text": {"width": 8, "layers": 1, "heads": 2}}
CASES: dict[str, Any] = {
    "image": (lambda: as_target(classifier(), TRANSFORM), list(corner_images(3)[0])),
    "text": (lambda: as_target(*make_pair("bert")), TEXTS[:3]),
    "pair": (lambda: make_target("fusion-resnet"), pairs()[:3]),
}


def explainer(name: str, by_class: bool = True) -> tuple[Explainer, Any]:
    build, samples = CASES[name]
    target = build()
    torch.manual_seed(1)
    config = ScorerConfig(decoder={m: SMALL[m] for m in target.modalities}, by_class=by_class)
    return Explainer(target, new_scorer(target, samples[:1], config)), samples


@pytest.mark.parametrize("name", CASES)
def test_a_refined_map_differs_and_comes_again(name: str) -> None:
    made, samples = explainer(name)
    before = state(made.scorer)
    plain, first, second = (made.explain(samples[0], refine=n) for n in (0, 20, 20))
    for m in plain.scores:
        assert np.array_equal(first.scores[m], second.scores[m])
        assert np.array_equal(first.ranking[m], second.ranking[m])  # type: ignore[index]
        assert np.array_equal(plain.effects[m], first.effects[m])  # type: ignore[index]
    assert any(not np.array_equal(plain.scores[m], first.scores[m]) for m in plain.scores)
    assert all(torch.equal(before[k], v) for k, v in state(made.scorer).items())


def test_the_model_keeps_its_flags_and_gradients() -> None:
    made, samples = explainer("image")
    flags = [p.requires_grad for p in made.target.model.parameters()]
    made.explain(samples, refine=2, target="second")
    assert [p.requires_grad for p in made.target.model.parameters()] == flags
    assert all(p.grad is None for p in made.target.model.parameters())
    assert all(p.grad is None for p in made.scorer.parameters())


def test_scorers_of_the_thesis_can_be_refined_too() -> None:
    made, samples = explainer("image", by_class=False)
    found = made.explain(samples[0], refine=2)
    assert found.effects is None


def test_steps_lower_the_objective_of_that_input() -> None:
    made, samples = explainer("image")
    target, inputs = made.target, made.target.reader.read(samples).inputs
    encoding = target.encode(inputs)
    classes = encoding.prediction
    with torch.no_grad():
        raw = made.scorer.raw(encoding, classes)
    better = refine(target, made.scorer, inputs, encoding, raw, classes, 60)

    def kept_minus_removed(ranking: torch.Tensor) -> float:
        order = ranking.flatten(1).argsort(1, descending=True).argsort(1).reshape(ranking.shape)
        total = 0.0
        for share in (0.1, 0.3, 0.5, 0.7):
            first = (order < share * order[0].numel()).float()
            for mask, sign in ((first, 1), (1 - first, -1)):
                p = target.classify(inputs, {"image": mask}, "zero").softmax(-1)
                total += sign * float(p.gather(1, classes[:, None]).mean())
        return total

    assert kept_minus_removed(better.ranking["image"]) > kept_minus_removed(raw.ranking["image"])


@pytest.mark.parametrize("steps", [-1, 1.5, True, "3", None])
def test_odd_numbers_of_steps_are_refused(steps: Any) -> None:
    made, samples = explainer("image")
    with pytest.raises(ConfigError, match="refine must be a number of steps"):
        made.explain(samples[0], refine=steps)


def test_refine_and_versus_do_not_go_together() -> None:
    made, samples = explainer("image")
    with pytest.raises(ConfigError, match="leave versus out"):
        made.explain(samples[0], refine=2, versus="second")


@pytest.mark.parametrize("name", CASES)
def test_a_map_is_refined_alone_whatever_else_is_asked_for(name: str) -> None:
    made, samples = explainer(name)
    together = made.explain(samples, refine=3)
    for sample, found in zip(samples, together, strict=True):
        alone = made.explain(sample, refine=3)
        for m in alone.scores:
            assert np.array_equal(alone.scores[m], found.scores[m])
            assert np.array_equal(alone.ranking[m], found.ranking[m])  # type: ignore[index]


def test_nothing_is_refined_beside_a_model_without_gradients() -> None:
    made, samples = explainer("text")
    model = torch.ao.quantization.quantize_dynamic(made.target.model, {torch.nn.Linear}, dtype=torch.qint8)
    beside = Explainer(as_target(model, made.target.reader.tokenizer), made.scorer)
    assert beside.explain(samples[0]).label
    with pytest.raises(SelfCheckError, match="no map can be refined beside it: leave refine out"):
        beside.explain(samples[0], refine=2)


@pytest.mark.parametrize("classes", [torch.tensor([-1]), torch.tensor([99]), torch.tensor([0, 1])])
def test_tensors_of_classes_are_checked_before_they_are_read(classes: torch.Tensor) -> None:
    made, samples = explainer("image")
    inputs = made.target.reader.read(samples[:1]).inputs
    encoding = made.target.encode(inputs)
    for call in (made.attribute, made.read, made.scores):
        given = inputs if call == made.attribute else encoding
        with pytest.raises((ConfigError, InputError), match="classes"):
            call(given, classes)  # type: ignore[operator]
    with pytest.raises((ConfigError, InputError), match="versus"):
        made.read(encoding, None, classes)


def test_a_refined_map_has_no_quality_that_was_learnt_from_others() -> None:
    made, samples = explainer("image")
    inputs = made.target.reader.read(samples[:1]).inputs
    encoding = made.target.encode(inputs)
    width = clues_of(encoding, made.read(encoding), encoding.prediction).shape[1]
    made.scorer.quality = fitted(torch.rand(30, width).double(), torch.rand(30).double())
    assert "quality" in made.explain(samples[0]).meta
    assert "quality" not in made.explain(samples[0], refine=1).meta
