"""Vectors of classes: readings are linear in them, so that a class versus another is a difference."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from pair_models import make_target, pairs
from sidelight.core.types import Encoding, StateSpec, TargetSpec
from sidelight.errors import ConfigError
from sidelight.scorers import Scorer, ScorerConfig
from sidelight.scorers.readout import READINGS, SHARED_UNIT, UNIT, ClassReadout
from sidelight.training.network import last_weight, new_scorer

SMALL: dict[str, Any] = {"image": {"channels": [4, 4]}, "text": {"width": 8, "layers": 1, "heads": 2}}


@pytest.fixture(scope="module")
def scene() -> tuple[Scorer, Any]:
    target = make_target("fusion-resnet")
    torch.manual_seed(0)
    scorer = new_scorer(target, [pairs()[0]], ScorerConfig(decoder=SMALL, by_class=True)).eval()
    return scorer, target.encode(target.reader.read(pairs()).inputs)


def test_vectors_are_a_shared_part_and_an_own_one() -> None:
    torch.manual_seed(0)
    readout = ClassReadout(width=5, classes=4)
    classes = torch.tensor([[0, 3], [2, 2]])
    found = readout.weights(classes)
    assert found.shape == (2, 2, len(READINGS), 5)
    for b in range(2):
        for c in range(2):
            torch.testing.assert_close(found[b, c], readout.shared + readout.own[classes[b, c]])


def test_classes_that_the_classifier_keeps_together_begin_together() -> None:
    torch.manual_seed(0)
    weight = torch.randn(3, 40)
    weight[1] = weight[0] + 0.01 * torch.randn(40)
    readout = ClassReadout(width=64, classes=3)
    readout.start_from(weight)
    own = readout.own.detach().flatten(1)
    near, far = (own[0] - own[1]).norm(), (own[0] - own[2]).norm()
    assert near < 0.1 * far
    torch.testing.assert_close(own.mean(0), torch.zeros(own.shape[1]), atol=1e-5, rtol=0)
    assert 0.2 < float(own.std() * 64**0.5) < 1.5  # about as large as without the classifier


def test_one_pass_gives_the_readings_of_any_class(scene: tuple[Scorer, Any]) -> None:
    scorer, encoding = scene
    classes = torch.tensor([[0, 1, 2], [2, 0, 1], [1, 2, 0]])
    with torch.no_grad():
        together = scorer.raw_of_classes(encoding, classes)
        for place, found in enumerate(together):
            alone = scorer.raw(encoding, classes[:, place])
            for kind in ("map", "ranking", "effects"):
                for m, values in getattr(alone, kind).items():
                    assert values.shape == encoding.feature_mask[m].shape
                    torch.testing.assert_close(getattr(found, kind)[m], values)
        predicted, own = scorer.raw(encoding), scorer.raw(encoding, encoding.prediction)
    assert all(torch.equal(predicted.map[m], own.map[m]) for m in own.map)


def test_a_class_versus_another_is_a_difference_of_raw_scores(scene: tuple[Scorer, Any]) -> None:
    scorer, encoding = scene
    these, those = torch.tensor([0, 1, 2]), torch.tensor([1, 2, 0])
    with torch.no_grad():
        one, other = scorer.raw(encoding, these), scorer.raw(encoding, those)
        found = scorer.reading(encoding, these, those)
    scores = scorer.score({m: one.map[m] - other.map[m] for m in one.map}, encoding.feature_mask)
    for m, real in encoding.feature_mask.items():
        torch.testing.assert_close(found.ranking[m], one.ranking[m] - other.ranking[m])
        torch.testing.assert_close(found.scores[m], scores[m])
        count = real.flatten(1).sum(1).view(-1, *[1] * (real.ndim - 1))
        expected = ((one.effects[m] - other.effects[m]) / (count * SHARED_UNIT)).masked_fill(~real, 0)
        assert found.effects is not None
        torch.testing.assert_close(found.effects[m], expected)


def test_a_scorer_of_an_earlier_version_keeps_its_unit_of_effects(scene: tuple[Scorer, Any]) -> None:
    scorer, encoding = scene
    assert scorer.config.effect_unit == SHARED_UNIT
    earlier = Scorer(scorer.spec, replace(scorer.config, effect_unit=None))
    earlier.load_state_dict(scorer.state_dict())
    with torch.no_grad():
        now, then = scorer.reading(encoding), earlier.reading(encoding)
    assert now.effects is not None
    assert then.effects is not None
    for m, values in then.effects.items():
        torch.testing.assert_close(values, now.effects[m] * SHARED_UNIT / UNIT)


def test_gradients_reach_every_class_that_is_read(scene: tuple[Scorer, Any]) -> None:
    scorer, encoding = scene
    raw = scorer.raw(encoding, torch.tensor([0, 0, 2]))
    total = sum(
        (v * torch.linspace(-1, 1, v[0].numel()).view(v.shape[1:])).sum()
        for part in (raw.map, raw.ranking, raw.effects)
        for v in part.values()
    )
    total.backward()  # type: ignore[union-attr]
    for readout in (m for m in scorer.modules() if isinstance(m, ClassReadout)):
        assert readout.own.grad is not None
        assert readout.own.grad.flatten(1).abs().sum(1).bool().tolist() == [True, False, True]
        assert bool(readout.shared.grad.abs().sum())  # type: ignore[union-attr]
    scorer.zero_grad()


def test_a_scorer_of_classes_needs_their_number(scene: tuple[Scorer, Any]) -> None:
    spec = scene[0].spec
    assert spec.classes == 3
    with pytest.raises(ConfigError, match="by_class needs the number of classes"):
        Scorer(type(spec)(spec.states, spec.feature_shape, spec.fusion_dim), ScorerConfig(by_class=True))


def test_the_last_layer_of_as_many_outputs_is_the_classifiers() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 5), torch.nn.Linear(5, 3))
    assert torch.equal(last_weight(model, 3), model[2].weight)  # type: ignore[arg-type]
    assert last_weight(model, 7) is None
    assert last_weight(model, None) is None


def test_a_ranking_that_nobody_taught_is_that_of_the_map() -> None:
    torch.manual_seed(0)
    spec = TargetSpec({"text": (StateSpec(6),)}, classes=3)
    encoding = Encoding(
        torch.randn(2, 3), {"text": (torch.randn(2, 5, 6),)}, {"text": torch.ones(2, 5, dtype=torch.bool)}
    )
    for ranked, same in ((False, True), (None, False), (True, False)):
        config = ScorerConfig(
            by_class=True, ranked=ranked, decoder={"text": {"width": 8, "layers": 1, "heads": 2}}
        )
        raw = Scorer(spec, config).raw(encoding)
        assert torch.equal(raw.map["text"], raw.ranking["text"]) == same
