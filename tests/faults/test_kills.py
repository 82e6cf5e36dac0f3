"""kill -9 at random moments of fit and evaluate, resumed; two processes in one folder. Minutes: run with ``-m soak``."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from forked import TESTS, Runner, environment
from helpers_training import largest_difference, saved_state
from tiny_runs import tiny_run

MOMENTS = 10


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_kind_a_training_killed_at_ten_moments_ends_with_the_same_weights(
    runner: Runner, tmp_path: Path
) -> None:
    pause = ("--pause", 0.05)
    code, seconds, _ = runner.run("fit", tmp_path / "whole", *pause)
    assert code == [0]
    draw, checkpoints = random.Random(14), []
    while len(checkpoints) < MOMENTS:
        folder = tmp_path / f"killed-{len(checkpoints)}-{seconds}"
        code, taken, _ = runner.run("fit", folder, *pause, kill=draw.uniform(0.05, 0.98) * seconds)
        if code != [-9]:  # the machine was faster than before: it had ended
            seconds = taken
            continue
        checkpoints.append(len(list(folder.glob("checkpoint-*"))))
        assert runner.run("fit", folder).code == 0
        whole, resumed = (saved_state(f / "scorer") for f in (tmp_path / "whole", folder))
        assert largest_difference(whole, resumed) == 0
        assert not [p for p in folder.rglob("*") if p.name.endswith((".tmp", ".lock", ".old"))]
    print(f"fit: {MOMENTS} times killed within {seconds:.1f} s, checkpoints then: {checkpoints}")


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_kind_an_evaluation_killed_at_ten_moments_ends_with_the_same_bytes(
    runner: Runner, tmp_path: Path
) -> None:
    names = ("results.json", "scores.parquet", "curves.parquet", "table.md")
    tiny_run(tmp_path / "whole")
    code, seconds, _ = runner.run("sidelight", "evaluate", tmp_path / "whole")
    assert code == [0]
    draw, parts = random.Random(41), []
    while len(parts) < MOMENTS:
        run = tiny_run(tmp_path / f"{len(parts)}-{seconds}" / "whole").folder
        code, taken, _ = runner.run("sidelight", "evaluate", run, kill=draw.uniform(0.05, 0.98) * seconds)
        if code != [-9]:  # the machine was faster than before: it had ended
            seconds = taken
            continue
        parts.append(len(list(run.glob("evaluation/*/part-*.parquet"))))
        assert runner.run("sidelight", "evaluate", run).code == 0
        for name in names:
            assert (run / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    print(f"evaluate: {MOMENTS} times killed within {seconds:.1f} s, files of batches then: {parts}")


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_kind_a_second_process_in_one_folder_is_refused_and_mixes_nothing(tmp_path: Path) -> None:
    def start(folder: Path, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(TESTS / "training_worker.py"), str(folder), *words]
        return subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True)

    whole = start(tmp_path / "whole")
    assert whole.wait(600) == 0
    first = start(tmp_path / "both", "--pause", "2")
    deadline = time.monotonic() + 300
    while not (tmp_path / "both" / ".sidelight.lock.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    second = start(tmp_path / "both", "--rate", "0.1")
    message = second.communicate(timeout=300)[1]
    assert second.returncode != 0
    assert f"in use: fit of process {first.pid} on" in message
    first.communicate(timeout=600)
    assert first.returncode == 0
    states = [saved_state(tmp_path / name / "scorer") for name in ("whole", "both")]
    assert largest_difference(*states) == 0
