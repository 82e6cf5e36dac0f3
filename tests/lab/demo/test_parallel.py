"""Processes of the demo's parts end with the process that started them. A failed part is named with its log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from sidelight.errors import CheckpointError, InputError
from sidelight.lab.demo.parallel import PartFailed, Tell, run_parts

STARTER = """
import os, signal, sys, time
from pathlib import Path
from sidelight.lab.demo.parallel import run_parts

def work(part, tell):
    tell(str(os.getpid()), None)
    time.sleep(120)

if __name__ == "__main__":
    # a shell ignores Ctrl-C for what it starts in the background, and so would everything that this suite starts
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run_parts(work, ["a", "b"], Path(sys.argv[1]), 2, lambda text, picture: print(text, flush=True))
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name)
def test_no_process_outlives_the_one_that_started_it(sent: signal.Signals, tmp_path: Path) -> None:
    """The signal goes to that process alone, as from a service manager or an editor's stop button."""
    (tmp_path / "starter.py").write_text(STARTER)
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "starter.py"), str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as starter:
        assert starter.stdout is not None
        children = [psutil.Process(int(starter.stdout.readline())) for _ in range(2)]
        start = time.perf_counter()
        starter.send_signal(sent)
        _, alive = psutil.wait_procs(children, timeout=60)
        assert alive == []
        assert starter.wait(60) != 0
        assert time.perf_counter() - start < 110  # nobody slept to the end


def work(part: str, tell: Tell) -> None:
    """Parts that end well, fail as expected, fail as not expected, or are killed."""
    print(f"{part} begins")
    if part == "refused":
        raise InputError("no rows.")
    if part == "broken":
        raise KeyError("gone")
    if part == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    tell(f"{part} is well", Path("map.png"))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (
            "refused",
            r"'refused' of the demo failed: no rows\. See .*refused\.log\. To continue, run the demo again",
        ),
        ("broken", r"'broken' of the demo failed: KeyError: 'gone'"),
        ("killed", r"'killed' of the demo failed: its process was ended from outside.*out of memory"),
    ],
)
def test_a_part_that_failed_is_named_with_its_log_and_the_others_go_on(
    bad: str, message: str, tmp_path: Path
) -> None:
    told: list[tuple[str, Path | None]] = []
    with pytest.raises(PartFailed, match=f"(?i){message}") as found:
        run_parts(work, [bad, "good"], tmp_path, 1, lambda *words: told.append(words))
    assert "good" not in str(found.value)
    assert told == [("good is well", Path("map.png"))]
    assert (tmp_path / "good.log").read_text() == "good begins\n"
    assert bad == "killed" or f"the part {bad} failed" in (tmp_path / f"{bad}.log").read_text()


def long_last(part: str, tell: Tell) -> None:
    """``last`` ends two seconds after all others have."""
    time.sleep({"first": 0.0, "failed": 0.5, "second": 1.0, "last": 3.0}[part])
    if part == "failed":
        raise InputError("no rows.")


def test_an_idle_core_is_told_of_what_is_finished(tmp_path: Path) -> None:
    """Not while another part waits, and not when nothing runs any more."""
    told: list[list[str]] = []
    with pytest.raises(PartFailed):
        run_parts(
            long_last,
            ["first", "last", "failed", "second"],
            tmp_path / "out",
            2,
            lambda text, picture: None,
            idle=lambda finished: told.append(list(finished)),
        )
    assert told == [["first", "second"]]


def test_early_sections_leave_out_what_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sidelight.lab.demo import run as module

    def section(folder: Path) -> str:
        if folder.name == "bad":
            raise InputError("no rows.")
        made.append(folder.name)
        return f"section of {folder.name}"

    made: list[str] = []
    monkeypatch.setattr(module, "_section", section)
    early = module.EarlySections(tmp_path)
    early.begin(["a", "bad"])
    early.begin(["a", "bad", "b"])
    assert early.made() == {tmp_path / "a": "section of a", tmp_path / "b": "section of b"}
    assert made == ["a", "b"]


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(CheckpointError, match="could not write"):
        run_parts(work, ["good"], tmp_path / "out", 2, lambda *words: None)
