"""Shares of work, and steps that several processes end together."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sidelight.core.processes import Share, agreed, is_main, largest, process_count, wait
from sidelight.core.surroundings import training_surroundings
from sidelight.errors import ConfigError


def test_without_a_launcher_there_is_one_process() -> None:
    assert (process_count(), is_main(), Share.launched()) == (1, True, Share(0, 1))
    assert largest(0.25) == 0.25
    wait()
    with pytest.raises(KeyError), agreed():
        raise KeyError("as it was")


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shares_are_a_partition(count: int) -> None:
    shares = [Share.parse(f"{i}/{count}") for i in range(1, count + 1)]
    for item in range(20):
        assert sum(item in share for share in shares if share) == 1
    assert shares[0] is not None
    assert [i for i in range(20) if i in shares[0]] == list(range(0, 20, count))


def test_no_shard_is_no_share() -> None:
    assert Share.parse(None) is None


@pytest.mark.parametrize("text", ["", "2", "0/2", "3/2", "a/b", "-1/2", "1/0", "1.0/2", "²/2"])
def test_a_shard_that_is_none(text: str) -> None:
    with pytest.raises(ConfigError, match=r"shard"):
        Share.parse(text)


def test_a_shard_beside_a_launcher_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="2 processes were launched"):
        Share.parse("1/2")


@pytest.mark.parametrize(("rank", "heard"), [("0", [20, 30, 40]), ("1", [40])])
def test_of_several_processes_that_train_the_first_one_logs(
    rank: str, heard: list[int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each remark came once from each process."""
    caplog.set_level(logging.INFO, "sidelight")
    monkeypatch.setenv("RANK", rank)
    for _ in range(2):
        caplog.clear()
        with training_surroundings(), training_surroundings():
            for level in (logging.INFO, logging.WARNING, logging.ERROR):
                logging.getLogger("sidelight.training.loop").log(level, "a remark")
        assert [r.levelno for r in caplog.records] == heard
        assert logging.getLogger("sidelight").level == logging.INFO


WORKER = """
import sys
from pathlib import Path
from sidelight.errors import CheckpointError, ConfigError
from sidelight.core.processes import Share, agreed, is_main, wait

share, out, said = Share.launched(), Path(sys.argv[1]), []
wait()
for error, when in ((ConfigError("no such thing"), 1), (ZeroDivisionError("zero"), 0), (None, None)):
    try:
        with agreed():
            if share.index == when:
                raise error
            wait()  # inside a step: the failure of another ends it here
            said.append("went on")
    except Exception as found:
        said.append(f"{type(found).__name__}: {found}")
(out / f"said-{share.index}-{share.count}-{is_main()}").write_text("|".join(said))
wait()
if len(sys.argv) > 2:  # a full disk in one process, while the others exchange gradients
    with agreed(training=True):
        if share.index == 0:
            raise CheckpointError("disk full")
        wait()
"""


def launch(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "worker.py").write_text(WORKER)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [*command, str(tmp_path / "worker.py"), str(tmp_path), *words],
        capture_output=True,
        text=True,
        timeout=280,
        env=environment,
        check=False,
    )


@pytest.mark.slow
def test_a_failure_is_everyones(tmp_path: Path) -> None:
    found = launch(tmp_path, "disk")
    said = [(tmp_path / name).read_text().split("|") for name in ("said-0-2-True", "said-1-2-False")]
    assert said[0] == [
        "PeerError: process 1 of 2 failed: ConfigError: no such thing",
        "ZeroDivisionError: zero",
        "went on",
    ]
    assert said[1] == [
        "ConfigError: no such thing",
        "PeerError: process 0 of 2 failed: ZeroDivisionError: zero",
        "went on",
    ]
    # nobody waits for gradients that never come
    assert found.returncode != 0
    assert "CheckpointError in a training of several processes: disk full" in found.stderr


DEBUGGED = """
import sys
from pathlib import Path
from accelerate import debug_launcher
from sidelight.core.locks import hold
from sidelight.core.processes import Share, is_main

def work(place):
    with hold(place, "fit"):  # it is its own process that each found there
        (place / f"said-{Share.launched().index}-{is_main()}").touch()

debug_launcher(work, (Path(sys.argv[1]),), num_processes=2)
"""


def test_processes_of_a_launcher_that_sets_no_ranks_are_told_apart(tmp_path: Path) -> None:
    """Each took itself for the main one, and refused the folder that the other held."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", DEBUGGED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.glob("said-*")} == {"said-0-True", "said-1-False"}
