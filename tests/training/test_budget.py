"""Trainings within a budget: as long as was asked for, said before, and resumed with the same number of steps."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers_training import TRANSFORM, classifier, corner_rows, state
from sidelight import Explainer
from sidelight.errors import ConfigError
from sidelight.training import budget as module
from sidelight.training.budget import Budget, fewer_rows
from sidelight.training.settings import TrainingConfig

SMALL: dict[str, Any] = {"decoder": {"image": {"channels": [4, 4]}}}


def fitted(folder: Path, **options: Any) -> Explainer:
    given: dict[str, Any] = {"batch_size": 8, "on_collapse": "warn", "check": "off", **SMALL, **options}
    return Explainer.fit(classifier(), corner_rows(40), processor=TRANSFORM, output_dir=folder, **given)


def training_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "training.json").read_text())["training"]
    return found


def test_a_budget_sets_steps_from_the_time_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_seconds_per_step", lambda *_: 0.5)
    monkeypatch.setitem(module.BUDGETS, "minute", Budget(5.0, 3, 3, 16))
    with caplog.at_level(logging.WARNING):
        fitted(tmp_path, budget="minute")
    # 10 steps of 8 of the 36 rows that are not held out
    found = training_of(tmp_path)
    assert found["epochs"] == pytest.approx(10 * 8 / 36, rel=0.01)
    assert json.loads((tmp_path / "training.json").read_text())["objective"]["rank_draws"] == 3
    assert "budget 'minute': about 10 steps of 0.50 s" in caplog.text


def test_no_more_epochs_than_the_budget_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_seconds_per_step", lambda *_: 1e-6)
    monkeypatch.setitem(module.BUDGETS, "minute", Budget(60, 2, 1, 16))
    fitted(tmp_path, budget="minute")
    assert training_of(tmp_path)["epochs"] == 2


def test_a_training_goes_on_with_its_own_number_of_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(module.BUDGETS, "minute", Budget(2.0, 3, 1, 16))
    monkeypatch.setattr(module, "_seconds_per_step", lambda *_: 0.5)
    first = fitted(tmp_path, budget="minute")
    monkeypatch.setattr(module, "_seconds_per_step", lambda *_: 0.1)  # a faster machine
    again = fitted(tmp_path, budget="minute")
    assert training_of(tmp_path)["epochs"] == pytest.approx(4 * 8 / 36, rel=0.01)
    ours, theirs = state(first.scorer), state(again.scorer)
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)


def test_measuring_changes_neither_weights_nor_chance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(module.BUDGETS, "minute", Budget(1e-9, 3, 2, 512))  # one step
    timed = fitted(tmp_path / "timed", budget="minute")
    plain = fitted(tmp_path / "plain", epochs=8 / 36, evals_per_epoch=22, rank_draws=2)
    ours, theirs = state(timed.scorer), state(plain.scorer)
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)


def test_rows_of_a_validation_are_spread() -> None:
    config = TrainingConfig(budget="minute")
    assert fewer_rows(list(range(100)), config) == list(range(100))
    picked = fewer_rows(list(range(1000)), config)
    assert len(picked) == module.BUDGETS["minute"].validation
    assert picked == sorted(picked)
    assert picked[-1] > 900


def test_an_unknown_budget_is_refused() -> None:
    with pytest.raises(ConfigError, match="budget"):
        TrainingConfig(budget="hour")  # type: ignore[arg-type]
