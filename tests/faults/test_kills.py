"""kill -9 at random moments of fit and evaluate, resumed; two processes in one folder. Minutes: run with ``-m soak``."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import sidelight
from helpers_training import largest_difference, saved_state
from tiny_runs import tiny_run

TESTS = Path(__file__).parents[1]
MOMENTS = 10

#: imports everything once, then runs each job in a copy of itself, and kills those that have a moment to die at
RUNNER = """
import json, os, signal, sys, time, traceback
import accelerate, pandas, torch, transformers
import sidelight.lab.evaluation.run, sidelight.cli, sidelight.lab.runs.run, sidelight.training.trainer
import training_worker
torch.set_num_threads(1)

def work(job):
    code = 1
    try:
        sys.argv = job["words"]
        training_worker.main() if job["words"][0] == "fit" else sidelight.cli.main()
        code = 0
    except SystemExit as leave:
        code = int(leave.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)

def run(job):
    start, child = time.monotonic(), os.fork()
    if child == 0:
        work(job)
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        spent = time.monotonic() - start
        if done:
            return [os.waitstatus_to_exitcode(status), spent]
        if job.get("kill") is not None and spent > job["kill"]:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return [-9, spent]
        time.sleep(0.005)

for line in sys.stdin:
    print("DONE" + json.dumps(run(json.loads(line))), flush=True)
"""


def environment() -> dict[str, str]:
    places = [str(TESTS), str(Path(sidelight.__file__).parents[1])]
    keep = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    more = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return {**keep, **more, "PYTHONPATH": os.pathsep.join(places)}


class Runner:
    """A process that runs jobs in copies of itself."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUNNER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )

    def run(self, *words: Any, kill: float | None = None) -> tuple[int, float]:
        """Exit status (-9 where it was killed) and seconds."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"words": [str(w) for w in words], "kill": kill}) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("DONE"):
                code, seconds = json.loads(line[4:])
                return code, seconds
        raise AssertionError("the runner ended")


@pytest.fixture(scope="module")
def runner() -> Any:
    found = Runner()
    yield found
    found.process.stdin.close()  # type: ignore[union-attr]
    found.process.wait(60)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_kind_a_training_killed_at_ten_moments_ends_with_the_same_weights(
    runner: Runner, tmp_path: Path
) -> None:
    pause = ("--pause", 0.05)
    code, seconds = runner.run("fit", tmp_path / "whole", *pause)
    assert code == 0
    draw, checkpoints = random.Random(14), []
    while len(checkpoints) < MOMENTS:
        folder = tmp_path / f"killed-{len(checkpoints)}-{seconds}"
        code, taken = runner.run("fit", folder, *pause, kill=draw.uniform(0.05, 0.98) * seconds)
        if code != -9:  # the machine was faster than before: it had ended
            seconds = taken
            continue
        checkpoints.append(len(list(folder.glob("checkpoint-*"))))
        assert runner.run("fit", folder)[0] == 0
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
    code, seconds = runner.run("sidelight", "evaluate", tmp_path / "whole")
    assert code == 0
    draw, parts = random.Random(41), []
    while len(parts) < MOMENTS:
        run = tiny_run(tmp_path / f"{len(parts)}-{seconds}" / "whole").folder
        code, taken = runner.run("sidelight", "evaluate", run, kill=draw.uniform(0.05, 0.98) * seconds)
        if code != -9:  # the machine was faster than before: it had ended
            seconds = taken
            continue
        parts.append(len(list(run.glob("evaluation/*/part-*.parquet"))))
        assert runner.run("sidelight", "evaluate", run)[0] == 0
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
