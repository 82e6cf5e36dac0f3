"""A model that answers otherwise with the same weights: work on it that stopped does not go on as if it were the same one."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fault_models import T, bert, tok, untrained
from test_training_identity import hooked, other_attribute, patched
from torch import nn

from sidelight import Explainer
from sidelight.core.files import write_json
from sidelight.errors import ConfigError
from sidelight.targets import as_target

ROWS = [{"text": text} for text in T[:24]]
WORDS = r"the model's answers with the same weights \(logits \[.*\] there, \[.*\] now; look for a hook"


class Killed(BaseException):
    """Stops a job between two rows."""


def stream(stop: int | None = None) -> Iterator[Any]:
    for number, row in enumerate(ROWS):
        if number == stop:
            raise Killed
        yield dict(row)


def stopped(explainer: Explainer, out: Path) -> dict[str, Any]:
    """The manifest of a job on a stream that was killed before its last row."""
    with pytest.raises(Killed):
        explainer.explain_dataset(stream(23), out, block_rows=2)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["ends"]
    return dict(manifest)


@pytest.fixture(scope="module")
def first() -> Explainer:
    return untrained(bert(), tok(), T[0])


def beside(first: Explainer, model: nn.Module) -> Explainer:
    return Explainer(as_target(model, tok()), first.scorer)


@pytest.mark.parametrize("make", [hooked, patched, other_attribute])
def test_kind_rows_are_not_explained_further_by_a_model_that_answers_otherwise(
    first: Explainer, make: Callable[[], nn.Module], tmp_path: Path
) -> None:
    """``explain_dataset`` went on, and one folder held the answers of two models."""
    stopped(first, tmp_path / "stream")
    first.explain_dataset(ROWS, tmp_path / "list")
    other = beside(first, make())
    assert other.target.fingerprint() == first.target.fingerprint()
    for source, out in ((stream(), "stream"), (ROWS, "list")):
        with pytest.raises(ConfigError, match=f"another job .different {WORDS}"):
            other.explain_dataset(source, tmp_path / out, block_rows=2)
    assert len(first.explain_dataset(stream(), tmp_path / "stream", block_rows=2)) == len(ROWS)


def test_kind_explained_rows_of_an_earlier_version_or_another_device_go_on(
    first: Explainer, tmp_path: Path
) -> None:
    manifest = stopped(first, tmp_path)
    noted = manifest["about"]["answers"]
    near = {**noted, "logits": [[v + 0.5 * noted["off"] for v in row] for row in noted["logits"]]}
    for answers in ({"answers": near}, {}):
        about = {k: v for k, v in manifest["about"].items() if k != "answers"} | answers
        write_json(tmp_path / "manifest.json", {**manifest, "about": about})
        assert len(first.explain_dataset(stream(), tmp_path, block_rows=2)) == len(ROWS)
        kept = json.loads((tmp_path / "manifest.json").read_text())["about"]["answers"]
        assert kept == answers.get("answers", noted)


def test_kind_bad_rows_at_the_start_hide_no_other_model(first: Explainer, tmp_path: Path) -> None:
    rows = [{"text": None}, {"text": 3}, *ROWS]
    first.explain_dataset(rows, tmp_path)
    with pytest.raises(ConfigError, match=WORDS):
        beside(first, hooked()).explain_dataset(rows, tmp_path)


def test_kind_a_model_that_answers_at_random_explains_further(first: Explainer, tmp_path: Path) -> None:
    model = bert()
    model.classifier.register_forward_hook(lambda module, given, logits: logits + torch.rand(1))
    noisy = beside(first, model)
    assert "answers" not in stopped(noisy, tmp_path)["about"]
    assert len(noisy.explain_dataset(stream(), tmp_path, block_rows=2)) == len(ROWS)


def test_kind_a_row_that_is_looked_at_twice_is_warned_about_once(first: Explainer, tmp_path: Path) -> None:
    long = " ".join(T[0].split() * 200)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        first.explain_dataset([{"text": long}, *ROWS], tmp_path)
    assert len([one for one in told if "Truncation" in one.category.__name__]) == 1
