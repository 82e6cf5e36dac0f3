"""``training.json`` is removed or damaged, during a training or after it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_training_identity import texts

from sidelight import Explainer
from sidelight.errors import ConfigError
from sidelight.training.folder import IDENTITY
from sidelight.training.trainer import CsvLog

OPTIONS: dict[str, Any] = {"epochs": 1, "evals_per_epoch": 2, "batch_size": 8}


class Killed(BaseException):
    """Stops a training."""


def at_step(monkeypatch: pytest.MonkeyPatch, number: int, do: Callable[[Path], None]) -> None:
    own = CsvLog.on_step_end

    def on_step_end(self: Any, args: Any, state: Any, control: Any, **others: Any) -> None:
        own(self, args, state, control, **others)
        if state.global_step == number:
            do(Path(args.output_dir))

    monkeypatch.setattr(CsvLog, "on_step_end", on_step_end)


def kill(_: Path) -> None:
    raise Killed


@pytest.mark.parametrize("text", [None, "", '{"format": "sidelight.training", "ver'])
def test_kind_a_record_that_is_lost_during_a_training_costs_no_scorer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    """Its digest stands in the scorer's file. So a training of hours ended with an error, and saved nothing."""

    def spoil(folder: Path) -> None:
        (folder / IDENTITY).unlink()
        if text is not None:
            (folder / IDENTITY).write_text(text)

    at_step(monkeypatch, 3, spoil)
    trained = texts(tmp_path, **OPTIONS)
    loaded = Explainer.from_pretrained(tmp_path / "scorer", trained.target)
    assert loaded.scorer.num_parameters == trained.scorer.num_parameters


def test_kind_a_folder_without_its_record_is_not_called_that_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message blamed the log, which sidelight had written, and ``resume=False`` did not help."""
    texts(tmp_path / "finished", **OPTIONS)
    with monkeypatch.context() as patched:
        at_step(patched, 5, kill)
        with pytest.raises(Killed):
            texts(tmp_path / "unfinished", **OPTIONS)
    assert list((tmp_path / "unfinished").glob("checkpoint-*"))
    shutil.copytree(tmp_path / "finished", tmp_path / "tidied")
    for checkpoint in (tmp_path / "tidied").glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    for name in ("finished", "unfinished", "tidied"):
        folder = tmp_path / name
        (folder / IDENTITY).unlink()
        with pytest.raises(ConfigError, match=r"training.json is missing, so .* is unknown.*resume=False"):
            texts(folder, **OPTIONS)
        assert (folder / "log.csv").is_file()
        texts(folder, **OPTIONS, resume=False)
        assert texts(folder, **OPTIONS).training_metrics
