"""Memory that is freed is used again by commands, and counts as free."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import psutil
import pytest
import torch

from sidelight.cli import main
from sidelight.core import freed_memory
from sidelight.core.freed_memory import keep_freed_memory
from sidelight.core.memory import free_memory
from sidelight.core.surroundings import training_surroundings

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")

FAULTS = """
import resource, sys
from contextlib import nullcontext
import torch
from sidelight.core.freed_memory import freed_memory_kept, keep_freed_memory
if "keep" in sys.argv:
    keep_freed_memory()
torch.set_num_threads(1)
net = torch.nn.Sequential(
    torch.nn.Conv2d(3, 32, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(32, 32, 1), torch.nn.ReLU()
)
pictures = torch.ones(8, 3, 112, 112)
def measured():
    for _ in range(6):
        net(pictures)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(12):
        net(pictures)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with torch.inference_mode():
    with freed_memory_kept() if "context" in sys.argv else nullcontext():
        found = measured()
    print(measured() if "after" in sys.argv else found)
"""


HELD = """
import psutil
import torch
from sidelight.core.freed_memory import freed_memory_kept

def more():
    return (psutil.Process().memory_info().rss - at_first) / 2**20

torch.ones(1)
at_first = psutil.Process().memory_info().rss
with freed_memory_kept():
    held = [torch.ones(2**24) for _ in range(8)]  # 64 MB each
    del held
    within = more()
print(within, more())
"""


def printed(script: str, *how: str, **environment: str) -> str:
    """What the script prints in a process of its own, in which the user has chosen nothing but ``environment``."""
    own = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_") and k != "GLIBC_TUNABLES"}
    command = [sys.executable, "-c", script, *how]
    return subprocess.run(
        command, env={**own, **environment}, capture_output=True, text=True, check=True
    ).stdout


def faults(*how: str, **environment: str) -> int:
    """Pages that the system hands out for twelve passes, after six others."""
    return int(printed(FAULTS, *how, **environment))


@glibc
def test_kept_memory_is_used_again() -> None:
    usual = faults("usual")
    if usual < 2000:
        pytest.skip("this system hands out large pages")
    # how the C library cuts what it keeps differs between machines, so it may ask for a block or two in the later passes
    assert faults("keep") < usual / 4
    assert faults("context") < usual / 4
    assert faults("context", "keep", "after") < usual / 4


@glibc
def test_memory_that_a_call_kept_is_given_back() -> None:
    within, after = (float(value) for value in printed(HELD).split())
    assert within > 400
    assert after < 100


@glibc
def test_what_the_user_has_chosen_stays() -> None:
    usual = faults("keep", MALLOC_MMAP_THRESHOLD_="1048576")
    assert usual > 2000 or faults("usual") < 2000


@glibc
def test_kept_memory_counts_as_free() -> None:
    keep_freed_memory()
    held = torch.ones(2**26)  # 256 MB
    del held
    assert free_memory(torch.device("cpu")) > psutil.virtual_memory().available - 128 * 2**20


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(freed_memory.ctypes, "CDLL", missing)
    keep_freed_memory()
    freed_memory.return_freed_memory()


def test_trainings_and_jobs_keep_their_memory_for_as_long_as_they_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(
        freed_memory, "_libc", lambda name, *values: told.append(values) if values[1:] else None
    )
    monkeypatch.setattr(freed_memory, "_holders", 0)
    for name in freed_memory._SET_BY_USER:
        monkeypatch.delenv(name, raising=False)
    with training_surroundings():
        with training_surroundings():
            pass
        assert told == list(freed_memory._KEEPING.items())
    assert told[2:] == list(freed_memory._USUAL.items())


def test_commands_keep_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[bool] = []
    monkeypatch.setattr(freed_memory, "keep_freed_memory", lambda: called.append(True))
    monkeypatch.setattr(sys, "argv", ["sidelight", "--version"])
    with pytest.raises(SystemExit):
        main()
    assert called == [True]
