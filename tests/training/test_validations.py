"""Validations are spread over a training, and no pass of one is made twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_training import column, fit, read_log

from helpers_training import quick
from sidelight.training.trainer import ScorerTrainer


@pytest.fixture
def validated(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps at which validations ran."""
    steps: list[int] = []
    loop = ScorerTrainer.evaluation_loop

    def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
        steps.append(self.state.global_step)
        return loop(self, *args, **kwargs)

    monkeypatch.setattr(ScorerTrainer, "evaluation_loop", noted)
    return steps


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [
        (1, [4, 8]),
        (9 / 8, [4, 9]),
        (10 / 8, [4, 8, 10]),
        (11 / 8, [4, 8, 11]),
        (13 / 8, [4, 8, 13]),
        (3 / 8, [3]),
    ],
)
def test_no_validation_comes_just_before_the_last(
    epochs: float, expected: list[int], validated: list[int], tmp_path: Path
) -> None:
    fit(tmp_path, training=quick(epochs=epochs, patience=0))
    assert validated == expected
    assert sorted(set(column([r for r in read_log(tmp_path) if r.get("eval_loss")], "step"))) == expected


def test_metrics_are_those_of_the_best_validation(validated: list[int], tmp_path: Path) -> None:
    first = fit(tmp_path, training=quick(epochs=2, patience=0))
    assert validated == [4, 8, 12, 16]
    losses = column(read_log(tmp_path), "eval_loss")
    assert first.training_metrics["eval_loss"] == pytest.approx(min(losses))
    again = fit(tmp_path, training=quick(epochs=2, patience=0))
    assert validated == [4, 8, 12, 16]
    for name, value in first.training_metrics.items():
        assert name.startswith("train_") or again.training_metrics[name] == value
