"""Trainings within a budget: as long as was asked for, said before, and resumed with the same number of steps."""

from __future__ import annotations

import itertools
import json
import logging
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from helpers_training import TRANSFORM, classifier, corner_rows, state
from sidelight import Explainer
from sidelight.errors import ConfigError
from sidelight.training import budget as module
from sidelight.training import loop, trainer
from sidelight.training.budget import Budget, Pace, fewer_rows
from sidelight.training.folder import read_csv
from sidelight.training.settings import VALIDATIONS, TrainingConfig, steps_between_validations

SMALL: dict[str, Any] = {"decoder": {"image": {"channels": [4, 4]}}}


def fitted(folder: Path, rows: int = 40, **options: Any) -> Explainer:
    given: dict[str, Any] = {"batch_size": 8, "on_collapse": "warn", "check": "off", **SMALL, **options}
    return Explainer.fit(classifier(), corner_rows(rows), processor=TRANSFORM, output_dir=folder, **given)


def training_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "training.json").read_text())["training"]
    return found


def clocks(monkeypatch: pytest.MonkeyPatch, spent: float) -> None:
    """Let so many seconds pass between the begin of the training and its plan."""
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: 100.0))
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: 100.0 + spent))


@pytest.mark.parametrize(("spent", "steps"), [(1.0, 8), (2.0, 6), (4.5, 5)])
def test_what_is_measured_before_the_training_is_part_of_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spent: float, steps: int
) -> None:
    clocks(monkeypatch, spent)
    monkeypatch.setattr(module, "_pace", lambda *_: Pace(0.5 / 8, 0))
    monkeypatch.setitem(module.BUDGETS, "minute", Budget(5.0, 3, 3, 16))
    fitted(tmp_path, budget="minute")
    # half of the budget is for steps at least
    assert training_of(tmp_path)["epochs"] == pytest.approx(steps * 8 / 36, rel=0.01)


def test_a_budget_sets_steps_from_the_time_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clocks(monkeypatch, 0)
    monkeypatch.setattr(module, "_pace", lambda *_: Pace(0.5 / 8, 0))
    monkeypatch.setitem(module.BUDGETS, "minute", Budget(5.0, 3, 3, 16))
    with caplog.at_level(logging.WARNING):
        fitted(tmp_path, budget="minute")
    # 10 steps of 8 of the 36 rows that are not held out
    found = training_of(tmp_path)
    assert found["epochs"] == pytest.approx(10 * 8 / 36, rel=0.01)
    assert json.loads((tmp_path / "training.json").read_text())["objective"]["rank_draws"] == 3
    assert "budget 'minute': about 10 steps of 8 rows and 0.50 s" in caplog.text


def test_settings_that_a_budget_replaces_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_pace", lambda *_: Pace(0.5 / 8, 0))
    monkeypatch.setitem(module.BUDGETS, "minute", Budget(5.0, 3, 3, 16))
    fitted(tmp_path / "plain", budget="minute")
    assert "no effect" not in caplog.text
    fitted(tmp_path / "own", budget="minute", epochs=1, rank_draws=5)
    assert "epochs=1, rank_draws=5: no effect, because the budget chooses" in caplog.text


def test_few_steps_are_made_more_by_smaller_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_pace", lambda *_: Pace(0.5 / 8, 0))
    monkeypatch.setitem(module.BUDGETS, "minute", Budget(4.0, 3, 1, 16))
    with caplog.at_level(logging.WARNING):
        first = fitted(tmp_path, budget="minute", batch_size=16)
    # 64 rows are affordable: 4 steps of 16, or twice as many of the smallest batch
    found = training_of(tmp_path)
    assert found["batch_size"] * found["gradient_accumulation"] == module.LEAST_ROWS == 8
    assert "steps of 8 rows and 0.50 s" in caplog.text
    monkeypatch.setattr(module, "_pace", lambda *_: Pace(0.0001, 0))  # a faster machine
    ours, theirs = state(first.scorer), state(fitted(tmp_path, budget="minute", batch_size=16).scorer)
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)
    with pytest.raises(ConfigError, match="batch_size"):
        fitted(tmp_path, budget="minute", batch_size=4)


@pytest.mark.parametrize(
    ("affordable", "asked", "found"),
    [
        (1e9, (64, 1), (64, 1)),  # enough time: as asked
        (64 * 60, (64, 1), (64, 1)),
        (32 * 60, (64, 1), (32, 1)),
        (32 * 60, (16, 4), (16, 2)),  # memory holds 16 rows at a time
        (25 * 60, (16, 4), (12, 2)),
        (10, (64, 1), (8, 1)),
        (10, (2, 1), (2, 1)),
    ],
)
def test_rows_of_a_step(affordable: float, asked: tuple[int, int], found: tuple[int, int]) -> None:
    config = TrainingConfig(batch_size=asked[0], gradient_accumulation=asked[1])
    assert module._batch(affordable, config) == found


def test_no_more_epochs_than_the_budget_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_pace", lambda *_: Pace(1e-7, 0))
    monkeypatch.setitem(module.BUDGETS, "minute", Budget(60, 2, 1, 16))
    fitted(tmp_path, budget="minute")
    assert training_of(tmp_path)["epochs"] == 2


def test_a_training_goes_on_with_its_own_number_of_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clocks(monkeypatch, 0)
    monkeypatch.setitem(module.BUDGETS, "minute", Budget(2.0, 3, 1, 16))
    monkeypatch.setattr(module, "_pace", lambda *_: Pace(0.5 / 8, 0))
    first = fitted(tmp_path, budget="minute")
    monkeypatch.setattr(module, "_pace", lambda *_: Pace(0.1 / 8, 0))  # a faster machine
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
    assert fewer_rows(list(range(100)), 128) == list(range(100))
    picked = fewer_rows(list(range(1000)), 128)
    assert len(picked) == 128
    assert picked == sorted(picked)
    assert picked[-1] > 900


@pytest.mark.parametrize(
    ("seconds", "rows"),
    [
        (0.0, 128),  # nothing is saved by fewer
        (0.025, 100),  # 6 validations of 100 rows take 15 s of 60
        (10.0, 16),  # fewer would say nothing
    ],
)
def test_validations_take_a_quarter_of_the_time_at_most(seconds: float, rows: int) -> None:
    assert module._validated(Budget(60, 3, 2, 128), Pace(1.0, seconds)) == rows


@pytest.mark.parametrize(
    ("rows", "epochs"), [(540, 0.119), (540, 2.96), (36, 1.78), (8, 3), (100_000, 0.01), (36, 10), (36, 30)]
)
def test_no_more_validations_than_planned(rows: int, epochs: float) -> None:
    found = module._with_epochs(TrainingConfig(budget="minute"), epochs, 8, 1, rows)
    steps = math.ceil(rows / 8)
    every = steps_between_validations(steps, found)  # as the Trainer is told
    assert math.ceil(steps * epochs) // every <= VALIDATIONS


def test_steps_of_fewer_rows_than_a_batch_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clocks(monkeypatch, 0)
    monkeypatch.setattr(module, "_pace", lambda *_: Pace(0.5, 0))
    with caplog.at_level(logging.WARNING):
        fitted(tmp_path, budget="minute", rows=3, epochs=1)
    assert "budget 'minute': about 3 steps of 2 rows and 1.00 s" in caplog.text
    assert max(int(row["step"]) for row in read_csv(tmp_path / "log.csv")) == 3


def test_an_unknown_budget_is_refused() -> None:
    with pytest.raises(ConfigError, match="budget"):
        TrainingConfig(budget="hour")  # type: ignore[arg-type]


@pytest.mark.parametrize(("epochs", "days"), [(1000, None), (864_000, "10")])
def test_a_training_of_days_says_so_at_its_beginning(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    epochs: int,
    days: str | None,
) -> None:
    """A training of years ran without a word. Here a step takes half a second, and an epoch has two."""
    ticks = itertools.count()
    monkeypatch.setattr(trainer, "time", SimpleNamespace(perf_counter=lambda: float(next(ticks)) * 5))
    told = trainer.LongTraining()
    for step in range(1, 40):
        state = SimpleNamespace(global_step=step, max_steps=2 * epochs, is_world_process_zero=True)
        told.on_step_end(None, state, None)
    found = [r.getMessage() for r in caplog.records]
    wanted = f"this training has {2 * epochs:,} steps and takes about {days} days"
    assert [message.startswith(wanted) for message in found] == [True] * (days is not None)


def test_numbers_of_epochs_that_no_trainer_can_count_are_refused() -> None:
    """1e308 was an error of Python's integers."""
    with pytest.raises(ConfigError, match=r"epochs must be at most 1000000; got 1e\+308"):
        TrainingConfig(epochs=1e308)
    assert TrainingConfig(epochs=1_000_000).epochs == 1_000_000
