"""Commands that are stopped by Ctrl-C or by the system: one line, no traceback, nothing left behind, the usual exit codes."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from cli_tools import sidelight, write_config
from forked import environment
from sidelight.core.locks import hold
from sidelight.core.terminal import track
from sidelight.lab.runs.run import Run

CONTINUE = "stopped. To continue, run the same command again.\n"
FULL = Path("/dev/full")


def stopping(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_kind_ctrl_c_of_a_command_that_resumes_says_how_to_continue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "fit", stopping)
    found = sidelight("fit", write_config(tmp_path), "--out", tmp_path / "run")
    assert found == (130, "", CONTINUE)


def test_kind_ctrl_c_of_another_command_promises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "open", stopping)
    assert sidelight("fit", "missing.yaml").code == 2
    assert sidelight("report", "run") == (130, "", "stopped.\n")


@pytest.mark.parametrize("module", ["typer", "sidelight.cli.app", "rich.console"])
def test_kind_ctrl_c_during_the_imports_prints_no_traceback(module: str) -> None:
    lines = (
        "import sys",
        "class Stop:",
        "    def find_spec(self, name, *_):",
        f"        if name == {module!r}: raise KeyboardInterrupt",
        "sys.meta_path.insert(0, Stop())",
        "from sidelight.cli import main",
        "main()",
    )
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines), "report", "run"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "stopped.\n")


def test_kind_ctrl_c_during_the_imports_of_the_demos_parts_prints_no_traceback() -> None:
    lines = (
        "import os, signal, sys",
        "class Stop:",
        "    def find_spec(self, name, *_):",
        "        if name == 'sidelight.lab.runs.run': os.kill(os.getpid(), signal.SIGINT)",
        "sys.meta_path.insert(0, Stop())",
        "import sidelight.lab.demo.preload",
    )
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_kind_a_command_that_the_system_ends_tidies_up(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []

    def working(run: Run) -> None:
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder, hold(run.folder, "fit"):
            made.append(Path(folder))
            os.kill(os.getpid(), getattr(signal, name))
            raise AssertionError("it went on")

    before = signal.signal(
        getattr(signal, name), signal.SIG_DFL
    )  # nohup, under which tests may run, ignores one
    monkeypatch.setattr(Run, "fit", working)
    try:
        found = sidelight("fit", write_config(tmp_path), "--out", tmp_path / "run")
        assert signal.getsignal(getattr(signal, name)) == signal.SIG_DFL
    finally:
        signal.signal(getattr(signal, name), before)
    assert found == (128 + getattr(signal, name), "", CONTINUE)
    assert made
    assert not made[0].exists()
    assert not list((tmp_path / "run").glob(".sidelight*.lock*"))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGHUP")
def test_kind_a_signal_that_is_ignored_stays_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``nohup`` does it."""

    def working(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "fit", working)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        found = sidelight("fit", write_config(tmp_path), "--out", tmp_path / "run")
    finally:
        signal.signal(signal.SIGHUP, before)
    assert found.code == 130


class Full(io.StringIO):
    """A stream on a full disk, or one that nobody reads any more."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def write(self, text: str) -> int:
        raise OSError(self.number, os.strerror(self.number))

    def flush(self) -> None:
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EPIPE, errno.EIO])
def test_kind_a_bar_that_cannot_be_drawn_does_not_stop_the_work(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", Full(number))
    assert list(track(range(3), "working")) == [0, 1, 2]


@pytest.mark.skipif(not FULL.exists(), reason="needs a device that is always full")
def test_kind_an_error_that_cannot_be_printed_keeps_its_exit_code() -> None:
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "sidelight", "report", "no-run"],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=full,
            check=False,
        )
    assert (done.returncode, done.stdout) == (2, b"")


def test_kind_a_command_ends_when_it_says_that_it_stopped() -> None:
    """At its end Python looked for cycles among all objects of the libraries, eight seconds long after "stopped."."""
    code = """
import atexit, gc, sys
gc.unfreeze()
atexit.register(lambda: print("frozen", gc.get_freeze_count() > 0))
sys.argv = ["sidelight", "--version"]
from sidelight.cli import main
main()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith("frozen True\n")
