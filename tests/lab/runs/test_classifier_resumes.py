"""A classifier's training that is killed goes on from its last epoch, with the weights of an uninterrupted one."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sidelight.errors import CheckpointError, ForeignFileError
from sidelight.lab.config.sections import ClassifierTraining
from sidelight.lab.runs.classifier import train_classifier
from sidelight.training import trainer as module
from tiny_runs import IMAGE, TEXT, tiny_run

TRAINING = ClassifierTraining(epochs=4, batch_size=8, learning_rate=0.01, seed=3)


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def trained(folder: Path, values: dict[str, Any], training: ClassifierTraining = TRAINING) -> Any:
    """The classifier of a new process, trained in ``folder``."""
    run = tiny_run(folder / "run", values) if not (folder / "run").exists() else None
    from sidelight.lab.runs.folder import load_run_config
    from sidelight.lab.runs.run import Run

    run = run or Run(folder / "run", load_run_config(folder / "run" / "config.yaml"))
    target = run.new_target()
    metrics = train_classifier(
        target, run.rows("train"), run.rows("validation"), folder / "trained", training
    )
    return target, metrics


def kill_after(monkeypatch: pytest.MonkeyPatch, checkpoints: int) -> list[int]:
    """Let the process die after it has written so many checkpoints. The steps of all are in the list."""
    steps: list[int] = []
    save = module.BaseTrainer._save_checkpoint

    def saved(self: Any, *args: Any) -> None:
        save(self, *args)
        steps.append(self.state.global_step)
        if len(steps) == checkpoints:
            raise Killed

    monkeypatch.setattr(module.BaseTrainer, "_save_checkpoint", saved)
    return steps


@pytest.mark.parametrize("values", [IMAGE, TEXT], ids=["images", "texts"])
def test_a_killed_training_ends_with_the_weights_of_a_whole_one(
    values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = trained(tmp_path / "whole", values)
    steps = kill_after(monkeypatch, 2)
    with pytest.raises(Killed):
        trained(tmp_path / "killed", values)
    checkpoints = list((tmp_path / "killed" / "trained-training").glob("checkpoint-*"))
    assert [c.name for c in checkpoints] == [f"checkpoint-{steps[1]}"]

    again, metrics = trained(tmp_path / "killed", values)
    assert steps == [n * steps[0] for n in (1, 2, 3, 4)]
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(again.model.state_dict()[name], value, rtol=0, atol=1e-6)
    assert metrics["train_runtime"] > 0
    assert not list((tmp_path / "killed" / "trained-training").glob("checkpoint-*"))


def test_another_training_starts_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(TRAINING, learning_rate=0.02)
    whole, _ = trained(tmp_path / "whole", IMAGE, other)
    steps = kill_after(monkeypatch, 3)
    with pytest.raises(Killed):
        trained(tmp_path / "killed", IMAGE)
    again, _ = trained(tmp_path / "killed", IMAGE, other)
    assert len(steps) == 3 + 4
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(again.model.state_dict()[name], value, rtol=0, atol=1e-6)


def test_a_kill_before_the_result_is_saved_trains_nothing_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = kill_after(monkeypatch, 4)
    with pytest.raises(Killed):
        trained(tmp_path / "killed", IMAGE)
    again, _ = trained(tmp_path / "killed", IMAGE)
    assert len(steps) == 4
    whole, _ = trained(tmp_path / "whole", IMAGE)
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(again.model.state_dict()[name], value, rtol=0, atol=1e-6)


@pytest.mark.parametrize("part", ["model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth"])
def test_a_damaged_checkpoint_is_named(part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kill_after(monkeypatch, 1)
    with pytest.raises(Killed):
        trained(tmp_path / "killed", IMAGE)
    (checkpoint,) = (tmp_path / "killed" / "trained-training").glob("checkpoint-*")
    (checkpoint / part).write_bytes((checkpoint / part).read_bytes()[:20])
    with pytest.raises(CheckpointError, match=rf"{checkpoint.name}, which is damaged .* Remove this folder"):
        trained(tmp_path / "killed", IMAGE)
    shutil.rmtree(checkpoint)
    trained(tmp_path / "killed", IMAGE)


def test_files_of_others_stay_and_the_remedy_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kill_after(monkeypatch, 1)
    with pytest.raises(Killed):
        trained(tmp_path / "killed", IMAGE)
    folder = tmp_path / "killed" / "trained-training"
    (folder / "checkpoint-7").mkdir()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ForeignFileError, match=r"checkpoint-7 .* Move it away and call again"):
        trained(tmp_path / "killed", IMAGE)
    (folder / "checkpoint-7").rename(tmp_path / "mine")
    trained(tmp_path / "killed", IMAGE)
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_damaged_record_of_a_training_has_a_remedy_that_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_after(monkeypatch, 1)
    with pytest.raises(Killed):
        trained(tmp_path / "killed", IMAGE)
    folder = tmp_path / "killed" / "trained-training"
    (folder / "training.json").write_text('{"format": "sidelight.trai')
    with pytest.raises(CheckpointError, match="Move this folder away and call again"):
        trained(tmp_path / "killed", IMAGE)
    folder.rename(tmp_path / "away")
    trained(tmp_path / "killed", IMAGE)
