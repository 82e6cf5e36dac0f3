"""Maps of chosen classes from end to end: one sample or many, in any form, with bad rows, saved and stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pair_models import make_target, pairs
from sidelight import Explainer, ExplainFailure, Explanation, ScorerConfig
from sidelight.errors import ConfigError, InputError
from sidelight.explanations.reading import read_explanations
from sidelight.explanations.stored import StoredExplanations
from sidelight.targets import as_target
from sidelight.training.network import new_scorer
from text_models import TEXTS, make_pair

SMALL: dict[str, Any] = {"image": {"channels": [4, 4]}, "text": {"width": 8, "layers": 1, "heads": 2}}
NAMES = ["bad", "fair", "good"]
T = [*TEXTS, "an elegant story", "the script is not great", "weak acting but thrilling"]


def knowing(target: Any, row: Any, by_class: bool = True) -> Explainer:
    torch.manual_seed(0)
    decoder = {m: SMALL[m] for m in target.modalities}
    return Explainer(target, new_scorer(target, [row], ScorerConfig(decoder=decoder, by_class=by_class)))


@pytest.fixture(scope="module")
def texts() -> Explainer:
    return knowing(as_target(*make_pair("bert"), class_names=NAMES), T[0])


@pytest.fixture(scope="module")
def both() -> Explainer:
    return knowing(make_target("fusion-resnet"), pairs()[0])


def assert_same(found: Explanation, expected: Explanation) -> None:
    for name in ("prediction", "explained", "versus", "label", "explained_label"):
        assert getattr(found, name) == getattr(expected, name), name
    for kind in ("scores", "ranking", "effects"):
        own, other = getattr(found, kind), getattr(expected, kind)
        assert own.keys() == other.keys()
        for modality, values in other.items():
            np.testing.assert_allclose(own[modality], values, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize(
    ("target", "versus"), [(None, None), ("good", None), ("second", None), (None, "second")]
)
def test_one_sample_is_explained_as_in_a_batch(target: Any, versus: Any, texts: Explainer) -> None:
    found = texts.explain(T[:5], batch_size=2, target=target, versus=versus)
    for text, explanation in zip(T[:5], found, strict=True):
        assert_same(texts.explain(text, target=target, versus=versus), explanation)


def test_classes_change_the_map_and_not_the_verdict(texts: Explainer) -> None:
    plain = texts.explain(T[0])
    maps = {name: texts.explain(T[0], target=name) for name in NAMES}
    assert {e.prediction for e in maps.values()} == {plain.prediction}
    assert [maps[name].explained for name in NAMES] == [0, 1, 2]
    assert [maps[name].explained_label for name in NAMES] == NAMES
    np.testing.assert_array_equal(maps[plain.label].map, plain.map)
    other = next(name for name in NAMES if name != plain.label)
    assert not np.allclose(maps[other].ranking["text"], plain.ranking["text"])
    assert (plain.explained, plain.versus, "explained_label" in plain.meta) == (plain.prediction, None, False)


def test_why_this_and_not_that_is_the_difference_of_effects(both: Explainer) -> None:
    sample = pairs()[1]
    one, other = (both.explain(sample, target=k) for k in (0, 2))
    found = both.explain(sample, target=0, versus=2)
    assert (found.explained, found.versus) == (0, 2)
    for modality in ("image", "text"):
        expected = one.effects[modality] - other.effects[modality]
        np.testing.assert_allclose(found.effects[modality], expected, atol=1e-6)
    reverse = both.explain(sample, target=2, versus=0)
    for modality in ("image", "text"):
        np.testing.assert_allclose(reverse.effects[modality], -found.effects[modality], atol=1e-6)


@pytest.mark.parametrize("form", ["list", "inputs"])
def test_lists_of_classes_reach_their_samples_over_several_batches(form: str, texts: Explainer) -> None:
    wanted = ["good", 0, "second", "bad", 2]
    samples: Any = T[:5] if form == "list" else texts.target.reader.read(T[:5]).inputs
    found = texts.explain(samples, batch_size=2, target=wanted)
    for text, own, explanation in zip(T, wanted, found, strict=False):
        expected = texts.explain(text, target=own)
        assert explanation.explained == expected.explained
        if form == "list":
            assert_same(explanation, expected)


def test_bad_rows_do_not_move_the_classes_of_the_others(texts: Explainer) -> None:
    samples, wanted = [T[0], "", T[1], T[2], None, T[3]], ["good", 0, "bad", "fair", 1, "second"]
    found = texts.explain(samples, batch_size=4, target=wanted, errors="skip")
    assert [bool(e) for e in found] == [True, False, True, True, False, True]
    for sample, own, explanation in zip(samples, wanted, found, strict=True):
        if explanation:
            assert_same(explanation, texts.explain(sample, target=own))


def test_a_sample_that_has_no_other_class_is_named_and_costs_the_others_nothing(texts: Explainer) -> None:
    predicted = [e.label for e in texts.explain(T[:4])]
    versus = [next(n for n in NAMES if n != p) for p in predicted]
    versus[2] = predicted[2]
    with pytest.raises(InputError, match=f"sample 2: versus='{predicted[2]}' is the class"):
        texts.explain(T[:4], batch_size=2, versus=versus)
    found = texts.explain(T[:4], batch_size=2, versus=versus, errors="skip")
    assert isinstance(found[2], ExplainFailure)
    assert "is the class that is explained" in found[2].reason
    assert [e.meta["versus_label"] for e in found if e] == [v for i, v in enumerate(versus) if i != 2]


@pytest.mark.parametrize("errors", ["raise", "skip"])
def test_what_is_no_class_is_an_error_of_the_call_and_not_of_its_rows(errors: Any, texts: Explainer) -> None:
    for options in ({"target": "god"}, {"versus": 9}, {"target": [0, 1, "god"]}):
        with pytest.raises(ConfigError, match="is no class"):
            texts.explain(T[:3], errors=errors, **options)
        with pytest.raises(ConfigError, match="is no class"):
            list(texts.explain_stream(T[:3], errors=errors, **options))


def test_lists_of_another_length_are_refused_before_a_pass(texts: Explainer) -> None:
    for samples in (T[0], T[:3], texts.target.reader.read(T[:3]).inputs, {"text": T[:3]}):
        with pytest.raises(InputError, match="lists 2 classes"):
            texts.explain(samples, target=[0, 1])
    with pytest.raises(InputError, match="the samples are a stream"):
        texts.explain((t for t in T[:2]), target=[0, 1])
    assert texts.explain(T[0], target=[1]).explained == 1


def test_inputs_without_an_axis_do_not_count_as_samples(texts: Explainer) -> None:
    inputs = {"label_smoothing": torch.tensor(1.0), **texts.target.reader.read(T[:2]).inputs}
    with pytest.raises(InputError, match="lists 3 classes for 2 samples"):
        texts.explain(inputs, target=[0, 1, 2])


def test_the_stream_takes_classes_too(texts: Explainer) -> None:
    found = list(texts.explain_stream(T[:5], batch_size=2, first=3, target=[0, 1, 2, 1, "good"]))
    assert [e.explained for e in found] == [1, 2]
    assert_same(found[0], texts.explain(T[3], target=1))


def test_a_scorer_of_the_thesis_says_so() -> None:
    explainer = knowing(as_target(*make_pair("bert")), T[0], by_class=False)
    found = explainer.explain(T[0])
    assert found.effects is None
    assert found.ranking is not None
    for call in (explainer.explain, explainer.explain_stream):
        with pytest.raises(ConfigError, match="predicted class only"):
            call(T[:2], target=1)  # type: ignore[operator]


def test_saved_explanations_keep_what_they_say_of_a_class(both: Explainer, tmp_path: Path) -> None:
    explanation = both.explain(pairs()[0], target=1, versus="second" if _second(both) != 1 else 0)
    explanation.save(tmp_path / "one")
    assert_same(Explanation.load(tmp_path / "one"), explanation)
    plain = both.explain(pairs()[0])
    assert not {"explained", "versus"} & plain.to_dict().keys()
    assert_same(Explanation.from_dict(json.loads(json.dumps(plain.to_dict()))), plain)


def _second(explainer: Explainer) -> int:
    return int(np.argsort(explainer.explain(pairs()[0]).probabilities)[-2])


def test_stored_explanations_keep_what_they_say_of_a_class(both: Explainer, tmp_path: Path) -> None:
    found = [both.explain(pair, target=k) for k, pair in enumerate(pairs())]
    stored = StoredExplanations.open(tmp_path / "answers", {"scorer": "s"})
    stored.add(found[:2])
    stored.add(found[2:])
    for answer, explanation in zip(read_explanations(tmp_path / "answers"), found, strict=True):
        assert isinstance(answer, Explanation)
        assert (answer.explained, answer.explained_label) == (
            explanation.explained,
            explanation.explained_label,
        )
        for kind in ("ranking", "effects"):
            for modality, values in getattr(explanation, kind).items():
                np.testing.assert_allclose(getattr(answer, kind)[modality], values, rtol=1e-6, atol=1e-12)


def test_maps_of_another_class_do_not_continue_a_folder(texts: Explainer, tmp_path: Path) -> None:
    place, job = tmp_path / "answers", {"scorer": "s"}
    StoredExplanations.open(place, {**job, "target": "god"})  # nothing was explained, so the folder is free
    StoredExplanations.open(place, {**job, "target": "good"}).add([texts.explain(T[0], target="good")])
    assert StoredExplanations.open(place, {**job, "target": "good"}).finished == 1
    for other in (job, {**job, "target": "bad"}, {**job, "target": "good", "versus": "bad"}):
        with pytest.raises(ConfigError, match="another job"):
            StoredExplanations.open(place, other)


def test_a_certificate_belongs_to_the_class_that_is_explained(both: Explainer) -> None:
    samples = pairs()
    for options in ({}, {"target": 1}):
        found = both.explain(samples, batch_size=2, verify=True, **options)
        for sample, explanation in zip(samples, found, strict=True):
            certificates = explanation.meta["certificate"]
            assert [c["fill"] for c in certificates] == ["zero", "mean"]
            clean = explanation.probabilities[explanation.explained]
            assert all(c["clean"] == pytest.approx(clean, abs=1e-5) for c in certificates)
            alone = both.explain(sample, verify=True, **options).meta["certificate"]
            for one, other in zip(alone, certificates, strict=True):
                assert one["kept"] == pytest.approx(other["kept"], abs=1e-4)
                np.testing.assert_allclose(one["deletion"], other["deletion"], atol=1e-4)
    assert "certificate" not in both.explain(samples[0]).meta
    json.dumps(found[0].to_dict())
