"""Processes of the demo's parts end with the process that started them; what failed is said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import psutil
import pytest

from sidelight.errors import CheckpointError, InputError
from sidelight.lab.demo.parallel import PartFailed, require_parts, run_parts

STARTER = """
import multiprocessing, signal, time
from sidelight.lab.demo.parallel import worker_pool

if __name__ == "__main__":
    # a shell ignores Ctrl-C for what it starts in the background, and so would everything that this suite starts
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with worker_pool(2) as pool:
        asleep = [pool.submit(time.sleep, 120) for _ in range(4)]
        while not all(job.running() for job in asleep[:2]):
            time.sleep(0.02)
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)
        time.sleep(120)
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name)
def test_no_process_outlives_the_one_that_started_it(sent: signal.Signals, tmp_path: Path) -> None:
    """The signal goes to that process alone, as from a service manager or an editor's stop button."""
    (tmp_path / "starter.py").write_text(STARTER)
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "starter.py")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as starter:
        assert starter.stdout is not None
        children = [psutil.Process(int(pid)) for pid in starter.stdout.readline().split()]
        assert len(children) == 2
        start = time.perf_counter()
        starter.send_signal(sent)
        _, alive = psutil.wait_procs(children, timeout=60)
        assert alive == []
        assert starter.wait(60) != 0
        assert time.perf_counter() - start < 110  # nobody slept to the end


def ended(error: BaseException | None = None) -> Future[None]:
    future: Future[None] = Future()
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
    return future


def test_a_part_that_failed_is_named_with_its_log(tmp_path: Path) -> None:
    require_parts({"digits": ended()}, tmp_path)
    futures = {"digits": ended(), "scenes": ended(InputError("no rows."))}
    with pytest.raises(PartFailed, match=r"'scenes' of the demo failed: no rows\. .*scenes\.log"):
        require_parts(futures, tmp_path)


def test_a_process_that_was_ended_from_outside_is_not_blamed_on_one_part(tmp_path: Path) -> None:
    """Python cannot tell which of the processes it was; all unfinished parts end with it."""
    broken = BrokenProcessPool("terminated abruptly")
    futures = {"scenes": ended(broken), "digits": ended(), "planted_text": ended(broken)}
    with pytest.raises(PartFailed, match=r"out of memory.*scenes, planted_text.*run the demo again"):
        require_parts(futures, tmp_path)


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(CheckpointError, match="could not write"):
        run_parts(["digits", "planted_text"], tmp_path / "out", [], 2)
