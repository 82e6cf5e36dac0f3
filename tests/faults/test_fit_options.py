"""Options of ``fit``: what they change, what a second call with others does, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fault_models import T, bert, tok

from helpers_training import largest_difference, saved_state
from sidelight import Explainer
from sidelight.errors import ConfigError
from sidelight.training.fit_options import split_options
from sidelight.training.folder import own_checkpoints

QUICK: dict[str, Any] = {
    "epochs": 1,
    "batch_size": 16,
    "evals_per_epoch": 2,
    "label": "prediction",
    "on_collapse": "warn",
}


def fit(folder: Path, **options: Any) -> Explainer:
    settings = {**QUICK, **options}
    return Explainer.fit(bert(), T, processor=tok(), output_dir=folder, **settings)


SHOWN: list[dict[str, Any]] = [
    {},
    {"disable_tqdm": True},
    {"logging_steps": 1, "log_level": "error", "report_to": []},
    {"dataloader_num_workers": 0, "dataloader_pin_memory": False, "save_total_limit": 1},
]


@pytest.mark.parametrize("now", SHOWN[1:])
def test_kind_a_training_goes_on_if_only_what_it_shows_is_another(
    tmp_path: Path, now: dict[str, Any]
) -> None:
    for before, after in ((SHOWN[0], now), (now, SHOWN[1])):
        folder = tmp_path / f"{len(before)}-{len(after)}"
        fit(folder, extra={"use_cpu": True, **before})
        whole = saved_state(folder / "scorer")
        for last in own_checkpoints(folder)[1:]:  # as if a kill had come before the end
            (last / "trainer_state.json").unlink()
        fit(folder, extra={"use_cpu": True, **after})
        assert largest_difference(whole, saved_state(folder / "scorer")) == 0


def test_kind_an_argument_of_the_trainer_that_changes_weights_is_still_another_training(
    tmp_path: Path,
) -> None:
    fit(tmp_path, extra={"disable_tqdm": True})
    with pytest.raises(ConfigError, match="extra"):
        fit(tmp_path, extra={"disable_tqdm": True, "adam_beta1": 0.5})


TWO_VALUES: list[tuple[dict[str, Any], str]] = [
    ({"training": {"epochs": 2}, "epochs": 3}, "two values of epochs: 2 in training"),
    ({"objective": {"fills": ["zero"]}, "fills": ["mean"]}, "two values of fills"),
    ({"scorer": {"by_class": False}, "by_class": True}, "two values of by_class"),
]


@pytest.mark.parametrize(("options", "told"), TWO_VALUES)
def test_kind_an_option_of_two_values_is_refused(tmp_path: Path, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=rf"{told}.*Leave one out"):
        fit(tmp_path / "run", **options)


def test_kind_an_option_that_is_given_twice_alike_counts_once() -> None:
    given = {"training": {"epochs": 2, "report_to": ["a"]}, "objective": "robust"}
    (_, objective, training), rest = split_options(
        {"epochs": 2.0, "report_to": ("a",), "rank_weight": 0.0, "other": 1}, given
    )
    assert (training.epochs, training.report_to, objective.rank_weight, rest) == (2, ("a",), 0, {"other": 1})


@pytest.mark.parametrize("name", ["save_strategy", "eval_strategy"])
def test_kind_a_training_without_checkpoints_or_validations_is_refused_in_own_words(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(
        ConfigError, match=rf"training\.extra: {name} must be 'steps' or 'epoch'.* because the best"
    ):
        fit(tmp_path / "run", extra={name: "no"})


def test_kind_a_strategy_that_has_validations_and_checkpoints_is_taken(tmp_path: Path) -> None:
    fit(tmp_path / "run", extra={"save_strategy": "epoch", "eval_strategy": "epoch"})


@pytest.mark.parametrize(
    ("given", "steps"), [({"eval_strategy": "epoch"}, [4, 8]), ({"eval_steps": 3}, [3, 6, 8])]
)
def test_kind_checkpoints_keep_step_with_validations(
    tmp_path: Path, given: dict[str, Any], steps: list[int]
) -> None:
    fit(tmp_path / "run", extra=given, epochs=2, checkpoints=9)
    found = sorted(int(p.name.split("-")[1]) for p in (tmp_path / "run").glob("checkpoint-*"))
    assert found == steps


def test_kind_checkpoints_and_validations_that_the_user_sets_apart_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"training\.extra.*save and eval strategy"):
        fit(tmp_path / "run", extra={"eval_strategy": "epoch", "save_strategy": "steps"})
