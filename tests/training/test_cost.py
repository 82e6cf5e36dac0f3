"""A training's cost in epochs of fine-tuning. The time of a pass is set here, so the cost is known."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import pytest

from helpers_training import TRANSFORM, classifier, corner_rows, quick
from sidelight import Explainer
from sidelight.inputs.collate import Collator
from sidelight.targets import as_target
from sidelight.training import cost


def test_a_row_is_three_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    timed: list[Any] = []
    monkeypatch.setattr(cost, "timed", lambda run, place: timed.append(run) or 2.0)
    rows = corner_rows(24)
    with caplog.at_level(logging.INFO, "sidelight"):
        explainer = Explainer.fit(
            classifier(),
            rows,
            validation=corner_rows(8, 1),
            processor=TRANSFORM,
            training=quick(batch_size=4),
            output_dir=tmp_path / "out",
        )
    found = explainer.training_metrics
    assert len(timed) == 1  # a batch of four rows, in two seconds
    assert found["train_cost"] == pytest.approx(found["train_runtime"] / (3 * 24 * 2.0 / 4), abs=1e-4)
    assert "epochs of fine-tuning the classifier on the same 24 rows" in caplog.text
    assert "train_cost" not in explainer.scorer.facts["metrics"]  # it differs between trainings


def test_the_pass_of_the_classifier_is_what_is_timed() -> None:
    model = classifier()
    model.register_forward_pre_hook(lambda *_: time.sleep(0.2))
    target = as_target(model, TRANSFORM)
    rows = [{"image": image, "label": label} for image, label in corner_rows(10)]
    found = cost.cost_of_training(60.0, target, rows, Collator(target), batch_size=5)
    # the pass of five rows takes 0.2 s and little more, and an epoch six of these passes
    assert 60 / (3 * 10 / 5 * 0.4) < found < 60 / (3 * 10 / 5 * 0.2)


@pytest.mark.parametrize("seconds", [0.001, 2.0])
def test_a_short_epoch_is_not_told_as_a_measure(
    seconds: float, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Beside a tiny model a training of some seconds was told as dozens of epochs."""
    monkeypatch.setattr(cost, "timed", lambda run, place: seconds)
    target = as_target(classifier(), TRANSFORM)
    rows = [{"image": image, "label": label} for image, label in corner_rows(10)]
    with caplog.at_level(logging.INFO, "sidelight"):
        found = cost.cost_of_training(8.0, target, rows, Collator(target), batch_size=5)
    assert found == pytest.approx(8.0 / (3 * 10 / 5 * seconds))
    assert "the training took 8 s" in caplog.text
    assert ("epochs of fine-tuning" in caplog.text) == (seconds > 1)
