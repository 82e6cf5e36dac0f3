"""How a command ends if somebody stops it: with Ctrl-C, or by a signal of the system. Imports nothing heavy."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from sidelight.core.processes import process_count

#: Signals that ask a process to end: of ``kill``, Docker and Slurm, and of a terminal that closes.
ENDING = ("SIGTERM", "SIGHUP")
#: what a shell adds to the number of the signal that ended a command
BY_SIGNAL = 128
STOPPED = tuple(BY_SIGNAL + getattr(signal, name) for name in ("SIGINT", *ENDING) if hasattr(signal, name))

_resumes = False


def resumes() -> None:
    """Note that the current command, if it is stopped from here on, continues when it is called again."""
    global _resumes
    _resumes = True


def tell_stopped() -> None:
    """Print one line that says what to do now."""
    with suppress(OSError, AttributeError):  # the error stream is full, or closed
        print(
            "stopped." + _resumes * " To continue, run the same command again.", file=sys.stderr, flush=True
        )


@contextmanager
def tidy_end() -> Iterator[None]:
    """Within the block :data:`ENDING` raise ``SystemExit``, so that temporary folders and locks go.

    Several processes of a launcher stay as they are. They wait for each other in C code, where Python handles no signal.
    """
    global _resumes
    _resumes, owner = False, os.getpid()

    def end(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once
        if os.getpid() != owner:  # a copy of the process must not remove what belongs to the first one
            signal.raise_signal(number)
        sys.exit(BY_SIGNAL + number)

    before = {}
    if threading.current_thread() is threading.main_thread() and process_count() == 1:
        numbers = [getattr(signal, name) for name in ENDING if hasattr(signal, name)]
        # nohup ignores one of them
        before = {n: signal.signal(n, end) for n in numbers if signal.getsignal(n) == signal.SIG_DFL}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
