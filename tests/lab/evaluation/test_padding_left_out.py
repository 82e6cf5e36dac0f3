"""Masked copies of short texts do not carry the padding of the batch's longest one through the model."""

from __future__ import annotations

import pytest
import torch

from sidelight.inputs.base import Batch
from sidelight.lab.evaluation.engine import evaluate_batch
from sidelight.lab.evaluation.settings import EvalSettings
from sidelight.targets import as_target
from sidelight.targets.text import TextTarget
from text_models import FAMILIES, TEXTS, make_pair

SHORT = "a film"
LONG = " ".join(["the story is charming and the film was dull"] * 3)


def read(family: str, texts: list[str]) -> tuple[TextTarget, Batch]:
    target = as_target(*make_pair(family))
    assert isinstance(target, TextTarget)
    return target, Batch(target.reader.read(texts, labelled=False).inputs, list(range(len(texts))))


def measured(target: TextTarget, batch: Batch, fill: str) -> tuple[dict[tuple[int, str], float], int]:
    """Values of each sample and metric, and how many places went through the model."""
    places: list[int] = []

    def count(module: torch.nn.Module, args: tuple[object, ...], given: dict[str, torch.Tensor]) -> None:
        places.append(given["attention_mask"].numel())

    handle = target.model.register_forward_pre_hook(count, with_kwargs=True)
    scores = {"text": torch.rand(batch.inputs["input_ids"].shape, generator=torch.Generator().manual_seed(0))}
    options = EvalSettings(
        fills=[fill], steps=4, metrics=["srg", "deletion_auc", "sufficiency"], forward_batch=6
    )
    found = evaluate_batch(target, batch, scores, method="m", signed=False, settings=options)
    handle.remove()
    return {(row["sample"], row["metric"]): row["value"] for row in found.rows}, sum(places)


@pytest.mark.parametrize("fill", ["zero", "drop"])
@pytest.mark.parametrize("family", FAMILIES)
def test_values_are_those_of_padded_copies(family: str, fill: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target, batch = read(family, [SHORT, LONG, *TEXTS[:2]])
    own, few = measured(target, batch, fill)
    monkeypatch.setattr(TextTarget, "_trimmed", lambda self, *given: given)
    expected, many = measured(target, batch, fill)
    assert own == pytest.approx(expected, abs=2e-6)
    assert few < 0.8 * many


def test_padding_on_the_left_stays() -> None:
    """Positions are counted from there by some models."""
    target, batch = read("bert", [SHORT, LONG])
    turned = {name: value[:1].flip(1) for name, value in batch.inputs.items()}
    given = turned, {}, target.fill_values(turned, "zero", [0]), target.unmasked(turned)
    assert target._trimmed(*given)[0] is turned


def test_a_training_gets_what_it_got_before() -> None:
    target, batch = read("bert", [SHORT, LONG])
    first = {name: value[:1] for name, value in batch.inputs.items()}
    places: list[int] = []
    handle = target.model.register_forward_pre_hook(
        lambda module, args, given: places.append(given["attention_mask"].shape[1]), with_kwargs=True
    )
    scores = {"text": torch.ones(first["input_ids"].shape)}
    values, whole = target.fill_values(first, "zero", [0]), target.unmasked(first)
    padded = target.classify(first, scores, values, unmasked=whole)
    with torch.no_grad():
        cut = target.classify(first, scores, values, unmasked=whole)
    handle.remove()
    assert places == [len(first["input_ids"][0]), int(first["attention_mask"].sum())]
    torch.testing.assert_close(cut, padded.detach(), atol=1e-5, rtol=0)


def test_what_is_not_known_stays_whole() -> None:
    target, batch = read("bert", [SHORT, LONG])
    first = {name: value[:1] for name, value in batch.inputs.items()}
    whole, values = target.unmasked(first), target.fill_values(first, "drop", [0])
    cut, _, fill, parts = target._trimmed(first, {}, values, whole)
    used = int(first["attention_mask"].sum())
    assert cut["input_ids"].shape == (1, used) == parts.feature_mask["text"].shape
    assert type(fill["text"]) is type(values["text"]), "the mark of dropped words stays"
    odd = {**first, "bias": torch.zeros(1, 2, 3)}
    assert target._trimmed(odd, {}, values, whole)[0] is odd
    without_mask = {name: value for name, value in first.items() if name != "attention_mask"}
    assert target._trimmed(without_mask, {}, values, whole)[0] is without_mask
    target._accepts = frozenset({"input_ids"})  # type: ignore[assignment]
    assert target._trimmed(first, {}, values, whole)[0] is first
