"""What a model's output means, and numbers that are no numbers. References: the models called by themselves."""

from __future__ import annotations

import dataclasses
import json
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fault_models import SQUARE, P, S, T, bert, eye, tok
from torch import Tensor, nn
from transformers import BertModel, ViTModel

from sidelight import Explainer, Explanation
from sidelight.checks.removal import granted_classes
from sidelight.core.tensors import probabilities
from sidelight.errors import (
    CheckpointError,
    ConfigError,
    InputError,
    NotFiniteError,
    SidelightError,
    UnsupportedTargetError,
)
from sidelight.inputs.base import Batch
from sidelight.lab.baselines import make_rival
from sidelight.targets import as_target

X = torch.stack([SQUARE(p) for p in P[:8]])
BATCH = {"pixel_values": X}


class Net(nn.Module):
    """A plain network of three classes, or of ``outputs`` numbers; ``last`` makes of them what it returns."""

    def __init__(
        self, last: Callable[[Tensor], Any] = lambda y: y, outputs: int = 3, scale: float = 60
    ) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.stem, self.head = nn.Conv2d(3, 8, 3, 2), nn.Linear(8, outputs)
        self.last, self.scale = last, scale
        self.eval()

    def forward(self, x: Tensor) -> Any:
        y = self.head(self.stem(x).relu().mean((2, 3)))
        return self.last(y * self.scale)


def fitted(model: nn.Module, data: Any, folder: Path, **options: Any) -> Explainer:
    return Explainer.fit(model, data, output_dir=folder / "run", **{**S, **options})


def plain(model: nn.Module, folder: Path, **options: Any) -> Explainer:
    return fitted(model, P[:24], folder, processor=SQUARE, layers=["stem"], **options)


def seen(model: nn.Module, **options: Any) -> Tensor:
    """What sidelight takes the model's probabilities for."""
    return as_target(model, SQUARE, layers=["stem"], **options).encode(BATCH).probabilities

    # -- row 10: independent labels -----------------------------------------------------------


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("family", ["text", "image"])
def test_fault_10_independent_labels_have_the_models_own_sigmoids(
    family: str, count: int, tmp_path: Path
) -> None:
    kind = {"problem_type": "multi_label_classification"}
    model, data, processor = (
        (bert(labels=count, **kind), T, tok()) if family == "text" else (eye(labels=count, **kind), P, SQUARE)
    )
    explainer = fitted(model, data, tmp_path, processor=processor)
    with torch.no_grad():
        own = (
            [model(**processor(t, return_tensors="pt")).logits[0].sigmoid() for t in T[:8]]
            if family == "text"
            else model(X).logits.sigmoid()
        )
    for found, p in zip(explainer.explain(data[:8]), own, strict=True):
        assert found.independent
        np.testing.assert_allclose(found.probabilities, p.detach(), atol=1e-5)
        assert found.prediction == int(p.argmax())


def test_fault_10_independent_labels_of_pairs_are_read() -> None:
    import pair_models

    model = pair_models.fusion(num_labels=4, problem_type="multi_label_classification").eval()
    target = as_target(model)
    assert target.independent
    assert target.id2label[4] == f"not {target.id2label[0]}"


@pytest.mark.parametrize("goal", ["prediction", "data"])
def test_fault_10_lists_of_labels_are_refused_by_name(goal: str, tmp_path: Path) -> None:
    rows = [{"text": t, "labels": [1.0, 0.0, 1.0]} for t in T]
    with pytest.raises(SidelightError, match=r"row 0.*independent labels.*output='labels'"):
        fitted(bert(), rows, tmp_path, processor=tok(), label=goal)
    plain_rows = [(p, np.array([0, 1, 1, 0])) for p in P[:20]]
    with pytest.raises(SidelightError, match=r"row 0.*independent labels.*output='labels'"):
        fitted(Net(outputs=4), plain_rows, tmp_path, processor=SQUARE, layers=["stem"], label=goal)


@pytest.mark.parametrize("last", [torch.sigmoid, lambda y: y.sigmoid().clone().view(len(y), -1)])
def test_fault_10_a_module_that_ends_in_sigmoids_must_be_told(last: Any, tmp_path: Path) -> None:
    told = "sigmoid for each of its 3 outputs.*output='label_probabilities'"
    with pytest.raises(UnsupportedTargetError, match=told):
        plain(Net(last), tmp_path)
    with pytest.raises(ConfigError, match=told):
        plain(Net(last), tmp_path, output="labels")
    model = Net(last, scale=3)
    said = plain(model, tmp_path / "said", output="logits").explain(P[:8])  # as the first message advises
    assert [e.prediction for e in said] == model(X).argmax(1).tolist()
    found = plain(model, tmp_path, output="label_probabilities").explain(P[:8])
    np.testing.assert_allclose([e.probabilities for e in found], model(X).detach(), atol=1e-6)


def test_fault_10_one_label_may_be_explained_by_itself(tmp_path: Path) -> None:
    model = Net(lambda y: y[:, 1], outputs=4)
    found = plain(model, tmp_path, output="sigmoid").explain(P[:8])
    own = model(X).sigmoid().detach()
    np.testing.assert_allclose([e.probabilities[1] for e in found], own, atol=1e-6)


# -- row 11: one number a sample -----------------------------------------------------------


@pytest.mark.parametrize("kind", [None, "regression"])
@pytest.mark.parametrize("family", ["text", "image"])
def test_fault_11_one_label_of_hugging_face_is_regression_if_it_says_so(
    family: str, kind: Any, tmp_path: Path
) -> None:
    options = {} if kind is None else {"problem_type": kind}
    model = bert(labels=1, **options) if family == "text" else eye(labels=1, **options)
    data, processor = (T, tok()) if family == "text" else (P, SQUARE)
    if kind is None:
        told = r"one number a sample.*regression.*output='sigmoid'.*output='value'"
        with pytest.raises(UnsupportedTargetError, match=told):
            fitted(model, data, tmp_path, processor=processor)
        return
    explainer = fitted(model, data, tmp_path, processor=processor)
    sample = data[0]
    inputs = tok()(sample, return_tensors="pt") if family == "text" else {"pixel_values": X[:1]}
    own = float(model(**inputs).logits.detach())
    found = explainer.explain(sample)
    assert found.meta["value"] == pytest.approx(own, rel=1e-4, abs=1e-5)
    assert found.label == ("higher" if own > explainer.target.verdict.threshold else "lower")


def test_fault_11_regression_of_several_values_is_refused_and_of_pairs_is_read() -> None:
    import pair_models

    with pytest.raises(UnsupportedTargetError, match=r"regression.*a module that returns one of them"):
        as_target(bert(labels=3, problem_type="regression"), tok(), output="sigmoid")
    with pytest.raises(ConfigError, match=r"one number a sample.*a module that returns one of them"):
        seen(Net(), output="value", threshold=0.0, scale=1.0)
    target = as_target(pair_models.fusion(num_labels=1, problem_type="regression").eval())
    assert target.verdict.reading == "value"
    assert target.id2label == {0: "lower", 1: "higher"}


@pytest.mark.parametrize("last", [lambda y: y, lambda y: y.squeeze(1)])
def test_fault_11_a_module_of_one_number_must_be_told(last: Any, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedTargetError, match=r"one number a sample.*output='probabilities'"):
        plain(Net(last, outputs=1), tmp_path)


@pytest.mark.parametrize("last", [lambda y: y, lambda y: y.squeeze(1)])
def test_fault_11_one_logit_makes_two_classes(last: Any, tmp_path: Path) -> None:
    model = Net(last, outputs=1, scale=3)
    own = model(X).reshape(-1).sigmoid().detach().numpy()
    explainer = plain(model, tmp_path, output="sigmoid")
    found = explainer.explain(P[:8])
    np.testing.assert_allclose([e.probabilities[1] for e in found], own, atol=1e-6)
    assert [e.label for e in found] == ["yes" if p > 0.5 else "no" for p in own]
    explainer.save_pretrained(tmp_path / "s")
    again = Explainer.from_pretrained(tmp_path / "s", model).explain(P[:8])
    assert all((a.map == b.map).all() and a.label == b.label for a, b in zip(found, again, strict=True))


def test_fault_11_one_logit_of_a_text_model(tmp_path: Path) -> None:
    tokenizer = tok()
    model = bert(len(tokenizer), labels=1, id2label={0: "spam"})
    found = fitted(model, T, tmp_path, processor=tokenizer, output="sigmoid").explain(T[:6])
    own = [float(model(**tokenizer(t, return_tensors="pt")).logits.detach().sigmoid()) for t in T[:6]]
    np.testing.assert_allclose([e.probabilities[1] for e in found], own, atol=1e-5)
    assert {e.label for e in found} <= {"spam", "not spam"}


@pytest.mark.parametrize(
    "last", [torch.sigmoid, lambda y: y.sigmoid().squeeze(1), lambda y: y.sigmoid()[:, 0]]
)
def test_fault_11_a_sigmoid_is_not_taken_twice(last: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ends in a sigmoid itself: say output='probabilities'"):
        plain(Net(last, outputs=1), tmp_path, output="sigmoid")
    assert plain(Net(last, outputs=1), tmp_path, output="probabilities").explain(P[0]).label in ("no", "yes")


@pytest.mark.parametrize(
    ("kind", "options", "told"),
    [
        ({"labels": 1}, {"output": "sigmoid"}, "ends in a sigmoid itself: say output='probabilities'"),
        ({"problem_type": "multi_label_classification"}, {}, "say output='label_probabilities'"),
        ({"labels": 3}, {}, "output='label_probabilities'"),
    ],
    ids=["one", "labels", "classes"],
)
@pytest.mark.parametrize("family", ["text", "image"])
def test_fault_10_sigmoids_at_the_end_of_a_model_of_hugging_face_are_not_taken_twice(
    family: str, kind: dict[str, Any], options: dict[str, Any], told: str, tmp_path: Path
) -> None:
    build, data, processor = (bert, T, tok()) if family == "text" else (eye, P, SQUARE)
    model = build(**kind)
    model.classifier = nn.Sequential(model.classifier, nn.Sigmoid())
    with pytest.raises(SidelightError, match=told):
        fitted(model, data, tmp_path, processor=processor, **options)


def test_fault_11_one_probability_makes_two_classes() -> None:
    model = Net(lambda y: y.sigmoid(), outputs=1, scale=3)
    own = model(X)
    found = seen(model, output="probabilities")
    torch.testing.assert_close(found, torch.cat([1 - own, own], 1), atol=1e-6, rtol=0)
    with pytest.raises(ConfigError, match="outside"):
        seen(Net(lambda y: y + 5, outputs=1), output="probabilities")


# -- row 23: probabilities already ---------------------------------------------------------


def test_fault_23_probabilities_are_the_models_own(tmp_path: Path) -> None:
    model = Net(lambda y: y.softmax(-1))
    own = model(X).detach().numpy()
    explainer = plain(model, tmp_path)
    found = explainer.explain(P[:8])
    np.testing.assert_allclose([e.probabilities for e in found], own, atol=1e-6)
    assert explainer.target.verdict.reading == "probabilities"
    explainer.save_pretrained(tmp_path / "s")
    kept = json.loads((tmp_path / "s" / "config.json").read_text())["target"]["options"]
    assert kept["output"] == "probabilities"
    again = Explainer.from_pretrained(tmp_path / "s", model).explain(P[0])
    np.testing.assert_allclose(again.probabilities, own[0], atol=1e-6)


@pytest.mark.parametrize("rows", [1, 2, 8])
@pytest.mark.parametrize(
    ("last", "read"),
    [
        (lambda y: y.softmax(-1), "probabilities"),
        (lambda y: y.softmax(-1).half(), "probabilities"),
        (lambda y: y.softmax(-1).bfloat16(), "probabilities"),
        (lambda y: y.log_softmax(-1), "logits"),
        (lambda y: y, "logits"),
        (lambda y: y.softmax(-1) * 2, "logits"),
        (lambda y: y.softmax(-1) + 0.1, "logits"),
    ],
)
def test_fault_23_probabilities_are_told_from_logits(last: Any, read: str, rows: int) -> None:
    model = Net(last, scale=5)
    target = as_target(model, SQUARE, layers=["stem"])
    found = target.encode({"pixel_values": X[:rows]}).probabilities
    assert target.verdict.reading == read
    raw = model(X[:rows]).float()
    own = raw / raw.sum(1, keepdim=True) if read == "probabilities" else raw.softmax(-1)
    torch.testing.assert_close(found, own, atol=1e-5, rtol=0)


def test_fault_23_the_reading_never_changes() -> None:
    target = as_target(Net(), SQUARE, layers=["stem"])
    target.encode(BATCH)
    target.model.last = lambda y: y.softmax(-1)
    target.encode(BATCH)
    assert target.verdict.reading == "logits"
    assert as_target(Net(), output="logits", layers=["stem"]).verdict.reading == "logits"


def test_fault_23_a_probability_of_zero_stays_finite_and_gradients_flow() -> None:
    target = as_target(Net(lambda y: y.softmax(-1), scale=2000), SQUARE, layers=["stem"])
    assert bool((target.model(X) == 0).any())
    encoding = target.encode(BATCH)
    torch.testing.assert_close(encoding.probabilities, target.model(X), atol=1e-6, rtol=0)
    scores = {"image": torch.full((8, 1, 32, 32), 0.9, requires_grad=True)}
    logits = target.classify(BATCH, scores, "zero")
    logits.log_softmax(-1)[:, 0].sum().backward()
    gradient = scores["image"].grad
    assert torch.isfinite(logits).all()
    assert torch.isfinite(gradient).all()
    assert gradient.abs().sum() > 0


def test_fault_23_everything_else_asks_the_same_place() -> None:
    model = Net(lambda y: y.softmax(-1), scale=5)
    target = as_target(model, SQUARE, layers=["stem"])
    target.encode(BATCH)
    zeros = {"image": torch.zeros(8, 1, 32, 32)}
    masked = probabilities(target.classify(BATCH, zeros, "zero"))
    black = torch.zeros_like(X)
    torch.testing.assert_close(masked, model(black), atol=1e-6, rtol=0)
    from sidelight.lab.metrics.probe import Probe

    probe = Probe(target, BATCH, range(8))
    own, classes = model(X).max(-1)
    torch.testing.assert_close(probe.clean, own, atol=1e-6, rtol=0)
    assert torch.equal(probe.classes, classes)
    for granted in granted_classes(target, BATCH, ["zero"]):
        assert granted.probability == pytest.approx(float(model(black)[0].max()), abs=1e-5)
    logits, _, _ = target.states_with_grad(BATCH)
    torch.testing.assert_close(probabilities(logits), model(X), atol=1e-6, rtol=0)


# -- row 24: dictionaries, tuples and the like ----------------------------------------------

Both = namedtuple("Both", ["logits", "aux_logits"])


@dataclasses.dataclass
class Answer:
    scores: Tensor
    features: Tensor


@pytest.mark.parametrize(
    "last",
    [
        lambda y: {"logits": y},
        lambda y: {"logits": y, "features": y * 2},
        lambda y: {"output": y, "loss": y.sum()},
        lambda y: (y, y.new_zeros(len(y), 4, 2, 2)),
        lambda y: [y],
        lambda y: (y, y.argmax(-1)),
        lambda y: Both(y, y * 2),
        lambda y: Answer(y, y * 2),
    ],
)
def test_fault_24_logits_are_found_in_what_a_module_returns(last: Any, tmp_path: Path) -> None:
    own = Net()(X).softmax(-1).detach()
    torch.testing.assert_close(seen(Net(last)), own, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("last", "told"),
    [
        (lambda y: (y, torch.cat([y, y], 1)), r"tuple with 0: \(8, 3\), 1: \(8, 6\)"),
        (lambda y: {"a": y, "b": y}, r"dict with a: \(8, 3\), b: \(8, 3\)"),
        (lambda y: {}, "an empty dict"),
        (lambda y: None, "NoneType"),
        (lambda y: "cat", "str"),
        (lambda y: y[:, :, None, None].expand(-1, -1, 4, 4), r"\(8, 3, 4, 4\).*segmentation"),
        (lambda y: y[:, None].expand(-1, 5, -1), r"\(8, 5, 3\).*token"),
        (lambda y: y[:, :, None, None], r"\(8, 3, 1, 1\).*left from pooling, flatten them"),
        (lambda y: y[:, :, None], r"\(8, 3, 1\).*left from pooling, flatten them"),
        (lambda y: y[:, None], r"\(8, 1, 3\).*left from pooling, flatten them"),
        (lambda y: y[:, None, None], r"\(8, 1, 1, 3\).*left from pooling, flatten them"),
        (lambda y: y[:, :1, None, None].expand(-1, -1, 4, 4), r"\(8, 1, 4, 4\).*segmentation"),
        (lambda y: y.argmax(-1), r"int64"),
        (lambda y: y.long(), r"int64"),
        (lambda y: y[:, :0], r"\(8, 0\)"),
        (lambda y: y[0], r"\(3,\)"),
        (lambda y: y[:4], r"\(4, 3\)"),
        (lambda y: torch.complex(y, y), "complex64"),
    ],
)
def test_fault_24_what_was_returned_is_told(last: Any, told: str) -> None:
    with pytest.raises(UnsupportedTargetError, match=told) as caught:
        seen(Net(last))
    assert "AutoModel" not in str(caught.value)


def test_fault_24_class_names_tell_which_of_two_are_the_logits() -> None:
    found = seen(Net(lambda y: (torch.cat([y, y], 1), y)), class_names=["a", "b", "c"])
    torch.testing.assert_close(found, Net()(X).softmax(-1), atol=1e-6, rtol=0)


def test_fault_24_hugging_face_models_without_a_head_are_refused_with_their_advice() -> None:
    with pytest.raises(UnsupportedTargetError, match="AutoModelForImageClassification"):
        as_target(ViTModel(eye().config).eval(), SQUARE).encode(BATCH)
    tokenizer = tok()
    target = as_target(BertModel(bert(len(tokenizer)).config).eval(), tokenizer)
    with pytest.raises(UnsupportedTargetError, match="AutoModelForSequenceClassification"):
        target.encode(target.reader.read(T[:2]).inputs)


def test_fault_24_a_hugging_face_model_that_returns_tuples(tmp_path: Path) -> None:
    tokenizer = tok()
    model = bert(len(tokenizer), return_dict=False)
    assert isinstance(model(**tokenizer(T[0], return_tensors="pt")), tuple)
    found = fitted(model, T[:24], tmp_path, processor=tokenizer).explain(T[:3])
    own = [model(**tokenizer(t, return_tensors="pt"))[0].softmax(-1)[0].detach() for t in T[:3]]
    np.testing.assert_allclose([e.probabilities for e in found], torch.stack(own), atol=1e-5)


# -- class names -----------------------------------------------------------------------------


def test_kind_class_names_of_a_plain_module(tmp_path: Path) -> None:
    names = ["cat", "dog", "cow"]
    explainer = plain(Net(), tmp_path, class_names=names)
    own = Net()(X).argmax(-1).tolist()
    assert [e.label for e in explainer.explain(P[:8])] == [names[i] for i in own]
    explainer.save_pretrained(tmp_path / "s")
    again = Explainer.from_pretrained(tmp_path / "s", Net()).explain(P[0])
    assert again.label == names[own[0]]
    with pytest.raises(ConfigError, match="output must be one of"):
        as_target(Net(), layers=["stem"], output="softmax")


@pytest.mark.parametrize("names", [{"0": "a", "1": "b", "2": "c"}, {0: "a"}, {i: f"n{i}" for i in range(9)}])
def test_kind_class_names_of_any_length_and_key(names: dict[Any, str]) -> None:
    model = eye()
    model.config.__dict__["id2label"] = names
    found = as_target(model, SQUARE).id2label
    assert found == {int(k): v for k, v in names.items()}


# -- numbers that are no numbers ---------------------------------------------------------------


class Broken(Net):
    """Gives NaN or infinity for white pictures."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        white = (x.flatten(1).amin(1) > 0.99)[:, None]
        return torch.where(white, torch.full_like(y, self.value), y)


@pytest.fixture(scope="module")
def white() -> Any:
    from PIL import Image

    return Image.new("RGB", (32, 32), (255, 255, 255))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_kind_nan_logits_name_the_sample(value: float, white: Any, tmp_path: Path) -> None:
    model = Broken(value).eval()
    explainer = plain(model, tmp_path)
    with pytest.raises(NotFiniteError, match=r"sample\(s\) \[5\]"):
        explainer.explain([*P[:5], white, P[6]], batch_size=2)
    with pytest.raises(NotFiniteError, match=r"sample\(s\) \[0\]"):
        explainer.explain(white)
    with pytest.raises(InputError, match=r"sample\(s\) \[1\]"):
        explainer.attribute({"pixel_values": torch.stack([X[0], SQUARE(white)])})


@pytest.mark.parametrize("place", [3, 20])
def test_kind_nan_logits_in_fit_name_the_row(place: int, white: Any, tmp_path: Path) -> None:
    rows = list(P[:24])
    rows[place] = white
    with pytest.raises(NotFiniteError, match=rf"\[{place}\]"):
        fitted(Broken(float("nan")).eval(), rows, tmp_path, eval=P[24:30], processor=SQUARE, layers=["stem"])


def test_kind_nan_logits_in_an_evaluation_name_the_sample(white: Any) -> None:
    from sidelight.lab.evaluation.engine import make_probe
    from sidelight.lab.evaluation.settings import EvalSettings

    target = as_target(Broken(float("nan")).eval(), SQUARE, layers=["stem"])
    inputs = {"pixel_values": torch.stack([X[0], SQUARE(white)])}
    with pytest.raises(NotFiniteError, match=r"\[71\]"):
        make_probe(target, Batch(ids=[70, 71], inputs=inputs), EvalSettings())
    probe = make_probe(target, Batch(ids=[70, 71], inputs={"pixel_values": X[:2]}), EvalSettings())
    target.model.forward = lambda x: torch.full((len(x), 3), float("nan"))
    with pytest.raises(NotFiniteError, match=r"masked under fill 'zero'.*\[70, 71\]"):
        probe.confidence("zero", torch.arange(2), lambda part: {"image": torch.ones(2, 1, 32, 32)})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_kind_a_scorer_that_gives_nan_is_no_map_of_zeros(value: float, tmp_path: Path) -> None:
    explainer = plain(Net(), tmp_path)
    with torch.no_grad():
        next(iter(explainer.scorer.decoders.parameters())).fill_(value)
    with pytest.raises(NotFiniteError, match=r"scorer's output for the image.*\[0\]"):
        explainer.explain(P[:2])


def test_kind_nan_loss_stops_the_training(tmp_path: Path) -> None:
    model = Net()
    once = model.forward

    def forward(x: Tensor) -> Tensor:  # finite for whole pictures, NaN for those with anything masked
        y = once(x)
        masked = (x.abs().amin((1, 2, 3)) == 0)[:, None]
        return torch.where(masked, y / 0 * 0, y)

    model.forward = forward  # type: ignore[method-assign]
    with pytest.raises(NotFiniteError, match=r"loss.*training stops"):
        plain(model, tmp_path, fills=["zero"])


# -- damaged explanations, complex maps, stored answers ------------------------------------------


def explanation(**changes: Any) -> Explanation:
    fields: dict[str, Any] = {
        "scores": {"text": np.array([0.0, 1.0])},
        "inputs": {"text": ["a", "b"]},
        "prediction": 1,
        "label": "good",
        "probability": 0.75,
        "probabilities": np.array([0.25, 0.75]),
    }
    return Explanation(**{**fields, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"probability": float("nan")},
        {"probability": "nan"},
        {"probability": 1.5},
        {"probability": -0.1},
        {"probability": None},
        {"probability": True},
        {"probabilities": [0.25, float("inf")]},
        {"probabilities": [0.25, 0.25]},
        {"probabilities": [-0.5, 1.5]},
        {"probabilities": [[0.25, 0.75]]},
        {"probabilities": ["a", "b"]},
        {"prediction": 2},
        {"prediction": -1},
        {"prediction": 0.5},
        {"prediction": "1"},
        {"label": 3},
        {"label": None},
        {"scores": {"text": [1j, 0.5]}},
        {"scores": {"text": ["x", "y"]}},
        {"inputs": {"text": [[float("nan")]]}},
    ],
)
def test_kind_an_explanation_holds_possible_values(changes: dict[str, Any]) -> None:
    with pytest.raises(SidelightError):
        explanation(**changes)
    values = {**explanation().to_dict(), **changes}
    if "scores" not in changes or not isinstance(changes["scores"]["text"][0], complex):
        with pytest.raises(CheckpointError):
            Explanation.from_dict(values)


@pytest.mark.parametrize("version", [999, 0, "1", None, True, 1.0])
def test_kind_versions_that_are_not_known(version: Any) -> None:
    told = "newer sidelight.*Update" if version == 999 else "damaged"
    with pytest.raises(CheckpointError, match=told):
        Explanation.from_dict({**explanation().to_dict(), "version": version})


@pytest.mark.parametrize("key", ["scores", "inputs", "prediction", "label", "probability", "meta", "target"])
@pytest.mark.parametrize("value", [5, [1, 2], {"text": {}}])
def test_kind_saved_explanations_of_wrong_types(key: str, value: Any) -> None:
    values = {**explanation().to_dict(), key: value}
    if (key, value) == ("meta", {"text": {}}):
        return
    if (key, value) == ("prediction", 5):
        assert value >= 2
    with pytest.raises(CheckpointError):
        Explanation.from_dict(values)


def test_kind_json_has_no_nan(tmp_path: Path) -> None:
    from sidelight.core.files import read_json, write_json

    found = explanation(meta={"x": float("nan"), "y": [np.float32("inf"), 1.5], "z": np.array([np.nan])})
    _, data = found.save(tmp_path / "e")
    kept = json.loads(data.read_text(), parse_constant=lambda word: pytest.fail(word))
    assert kept["meta"] == {"x": None, "y": [None, 1.5], "z": [None]}
    data.write_text(data.read_text().replace("0.75", "NaN", 1))
    with pytest.raises(CheckpointError, match="NaN"):
        Explanation.load(data)
    write_json(tmp_path / "w.json", {"a": [float("nan"), 1.0], "b": float("-inf")})
    assert read_json(tmp_path / "w.json", finite=True) == {"a": [None, 1.0], "b": None}


def test_kind_stored_answers_with_nan_or_infinity(tmp_path: Path, caplog: Any) -> None:
    import pandas as pd

    from sidelight.lab.metrics.statistics import summarise
    from sidelight.lab.report.stored import read_run
    from sidelight.lab.speed.subjects import training_seconds

    key = {"modality": "text", "method": "a", "reduction": "none", "fill": "zero", "granularity": "token"}
    rows = pd.DataFrame([{**key, "metric": "average_drop", "sample": i, "value": 0.5} for i in range(4)])
    (tmp_path / "results.json").write_text('{"name": "n", "dataset": "d"}')

    def stored(value: float) -> Any:
        rows.assign(value=[value, 0.5, 0.5, 0.5]).to_parquet(tmp_path / "scores.parquet")
        return read_run(tmp_path)

    with pytest.raises(CheckpointError, match="infinite values of average_drop"):
        stored(float("inf"))
    with caplog.at_level("WARNING"):
        stored(float("nan"))
    assert "average_drop 1 of 4" in caplog.text
    with pytest.raises(InputError, match="infinite"):
        summarise(rows.assign(value=float("-inf")))
    (tmp_path / "results.json").write_text('{"name": "n", "dataset": "d", "rows": [{"mean": NaN}]}')
    with pytest.raises(CheckpointError, match="NaN"):
        stored(0.5)
    (tmp_path / "fit.json").write_text('{"target": {}, "scorers": {"0": {"train_runtime": NaN}}}')
    with pytest.raises(CheckpointError, match="NaN"):
        training_seconds(str(tmp_path))


def test_kind_complex_maps_are_refused(tmp_path: Path) -> None:
    from sidelight.lab.evaluation.engine import evaluate_batch
    from sidelight.lab.evaluation.map_files import read_maps

    np.savez(tmp_path / "m.npz", ids=np.arange(2), image=np.full((2, 4, 4), 1 + 2j))
    with pytest.raises(InputError, match="complex"):
        read_maps(tmp_path / "m.npz")
    np.savez(tmp_path / "n.npz", ids=np.arange(2), image=np.full((2, 4, 4), np.nan))
    with pytest.raises(InputError, match="NaN"):
        read_maps(tmp_path / "n.npz")
    target = as_target(Net(), SQUARE, layers=["stem"])
    maps = {"image": torch.ones(8, 1, 32, 32, dtype=torch.complex64)}
    with pytest.raises(InputError, match="complex"):
        evaluate_batch(target, Batch(ids=list(range(8)), inputs=BATCH), maps, method="m", signed=False)


@pytest.mark.parametrize("kind", ["texts", "pictures"])
@pytest.mark.parametrize("nth", [2, 13])
def test_kind_a_pass_that_fails_while_a_training_is_prepared_is_told(
    kind: str, nth: int, tmp_path: Path
) -> None:
    data = (T[:20], {"processor": tok()}) if kind == "texts" else (P[:20], {"processor": SQUARE})
    model, error, passes = bert() if kind == "texts" else eye(), RuntimeError("the device is lost"), []

    def lost(*_: Any) -> None:
        passes.append(1)
        if len(passes) == nth:
            raise error

    model.register_forward_pre_hook(lost)
    with pytest.raises(RuntimeError, match="the device is lost") as caught:
        fitted(model, data[0], tmp_path, **data[1])
    assert caught.value.__cause__ is error
    assert len(passes) <= nth + 1


@pytest.mark.parametrize("names", [None, {0: "spam"}])
def test_kind_one_logit_is_two_classes_before_its_first_pass_too(names: dict[int, str] | None) -> None:
    """A run checks the labels of its rows before any pass, and refused the label 1 of each binary data set."""
    model = bert(labels=1)
    model.config.id2label = names or model.config.id2label
    target = as_target(model, processor=tok(), output="sigmoid")
    before = dict(target.id2label)
    target.encode(target.reader.read(T[:2]).inputs)
    assert before == target.id2label == dict(enumerate(("not spam", "spam") if names else ("no", "yes")))


@pytest.mark.parametrize("method", ["saliency", "integrated_gradients", "deep_lift", "gradient", "occlusion"])
def test_kind_methods_of_gradients_explain_the_no_of_one_logit(method: str) -> None:
    """Its logit is 0 whatever the input is, so each map of the class "no" was empty."""
    target = as_target(bert(labels=1), processor=tok(), output="sigmoid")
    inputs = target.reader.read(T[:2]).inputs
    both = [make_rival(method)(target, inputs, torch.tensor([c, c]))["text"] for c in (0, 1)]
    assert all(bool(scores.any(-1).all()) for scores in both)
    if method == "integrated_gradients":
        torch.testing.assert_close(both[0], -both[1])
