"""A scorer's folder that another process replaces while it is read, and one that is read while it is replaced."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from sidelight.core import folders
from sidelight.core.folders import recover_folder
from sidelight.errors import CheckpointError
from sidelight.scorers import Scorer, ScorerConfig, checkpoint
from sidelight.scorers.checkpoint import WEIGHTS, load_scorer, save_scorer
from sidelight.scorers.settled import READS
from sidelight.targets import TargetModel, as_target
from sidelight.training.network import new_scorer
from text_models import TEXTS, make_pair


@pytest.fixture(scope="module")
def target() -> TargetModel:
    return as_target(*make_pair("bert"))


def scorer(target: TargetModel, seed: int) -> Scorer:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return new_scorer(target, [TEXTS[0]], ScorerConfig())


def write_between(monkeypatch: pytest.MonkeyPatch, write: Any, times: int) -> list[int]:
    """After each of the first ``times`` readings of a configuration, ``write`` is called with their number."""
    plain, calls = checkpoint._read_config, []

    def read(path: Path) -> dict[str, Any]:
        found = plain(path)
        calls.append(len(calls))
        if len(calls) <= times:
            write(len(calls))
        return found

    monkeypatch.setattr(checkpoint, "_read_config", read)
    return calls


def same(one: Scorer, other: Scorer) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in one.state_dict().items())


@pytest.mark.parametrize("beside", [False, True])
def test_a_folder_that_is_replaced_while_it_is_read_is_read_again(
    beside: bool, target: TargetModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was said to be damaged, and that both files must be copied again."""
    place, new = tmp_path / "scorer", scorer(target, 1)
    save_scorer(place, scorer(target, 0), target)
    if beside:  # then files are replaced one by one
        (place / "notes.txt").write_text("mine")
    calls = write_between(monkeypatch, lambda _: save_scorer(place, new, target), 1)
    assert same(load_scorer(place).scorer, new)
    assert len(calls) == 2


def test_a_folder_that_changes_each_time_is_said_to_be_written(
    target: TargetModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "scorer"
    save_scorer(place, scorer(target, 0), target)
    calls = write_between(monkeypatch, lambda n: save_scorer(place, scorer(target, n), target), 99)
    with pytest.raises(CheckpointError, match="is written by another process while it is read"):
        load_scorer(place)
    assert len(calls) == READS


def test_a_damaged_folder_is_read_once(
    target: TargetModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "scorer"
    save_scorer(place, scorer(target, 0), target)
    (place / WEIGHTS).write_bytes((place / WEIGHTS).read_bytes()[:-8])
    calls = write_between(monkeypatch, lambda _: None, 0)
    with pytest.raises(CheckpointError, match="corrupt or truncated"):
        load_scorer(place)
    assert len(calls) == 1


@pytest.mark.parametrize("times", [1, 2])
def test_a_reader_between_the_two_renames_costs_nothing(
    times: int, target: TargetModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader took the old folder for one that a kill left, put it back, and the new scorer was lost."""
    place, new = tmp_path / "scorer", scorer(target, 1)
    save_scorer(place, scorer(target, 0), target)
    plain, left = os.replace, [times]

    def replace(source: Any, to: Any) -> None:
        plain(source, to)
        if str(to).endswith(".old") and left[0]:
            left[0] -= 1
            monkeypatch.setattr(folders.os, "replace", plain)
            recover_folder(place)
            monkeypatch.setattr(folders.os, "replace", replace)

    monkeypatch.setattr(folders.os, "replace", replace)
    save_scorer(place, new, target)
    monkeypatch.setattr(folders.os, "replace", plain)
    assert left == [0]
    assert same(load_scorer(place).scorer, new)
    assert [p.name for p in tmp_path.iterdir()] == ["scorer"]
