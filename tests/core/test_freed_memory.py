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

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")

FAULTS = """
import resource, sys
import torch
from sidelight.core.freed_memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
torch.set_num_threads(1)
net = torch.nn.Sequential(
    torch.nn.Conv2d(3, 32, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(32, 32, 1), torch.nn.ReLU()
)
pictures = torch.ones(8, 3, 112, 112)
with torch.inference_mode():
    for _ in range(6):
        net(pictures)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(12):
        net(pictures)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str, **environment: str) -> int:
    """Pages that the system hands out for twelve passes, after six others."""
    own = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_") and k != "GLIBC_TUNABLES"}
    command = [sys.executable, "-c", FAULTS, how]
    done = subprocess.run(command, env={**own, **environment}, capture_output=True, text=True, check=True)
    return int(done.stdout)


@glibc
def test_kept_memory_is_used_again() -> None:
    usual = faults("usual")
    if usual < 2000:
        pytest.skip("this system hands out large pages")
    # how the C library cuts what it keeps differs between machines, so it may ask for a block or two in the later passes
    assert faults("keep") < usual / 4


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


def test_commands_keep_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[bool] = []
    monkeypatch.setattr("sidelight.cli.keep_freed_memory", lambda: called.append(True))
    monkeypatch.setattr(sys, "argv", ["sidelight", "--version"])
    with pytest.raises(SystemExit):
        main()
    assert called == [True]
