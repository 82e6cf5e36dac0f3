"""Work in processes side by side: a small network gains little from a second thread, and much from its own core."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from sidelight.core.files import write_text
from sidelight.core.ownership import is_named, overwriting, own_folder, require_free
from sidelight.errors import SidelightError

#: takes a line for the user, and the picture of a map if one is ready
Tell = Callable[[str, Path | None], None]
Work = Callable[[str, Tell], None]

#: imported once for all parts, where processes can be forked
PRELOAD = "sidelight.lab.demo.preload"
#: A forked process cannot use such a device if a library looked for it before.
ACCELERATORS = ("/dev/nvidiactl", "/dev/kfd")


class PartFailed(SidelightError):
    """A part of the demo ended with an error. The message names its log."""


def run_parts(
    work: Work,
    parts: Sequence[str],
    out: Path,
    jobs: int,
    tell: Tell,
    idle: Callable[[Sequence[str]], None] = lambda finished: None,
) -> None:
    """Run ``work(part, tell)`` for each part in a process that writes its log to ``out/<part>.log``.

    If a part fails, the others go on. No process outlives this one.

    Args:
        work: must be importable by another process.
        parts: names, in the order in which they begin.
        jobs: processes at a time. They share the cores.
        tell: takes the lines and pictures of all parts.
        idle: is told which parts are finished whenever a process ends and no other takes its core, while others still run.

    Raises:
        PartFailed: a part failed. The others are finished.
        CheckpointError: nothing can be written in ``out``.
    """
    own_folder(out)
    waiting, failed, finished = list(parts), {}, list[str]()
    running: dict[Any, tuple[str, Any]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                part = waiting.pop(0)
                pipe, process = _start(work, part, out / f"{part}.log", jobs)
                running[pipe] = part, process
            ready: list[Any] = wait(list(running))
            for pipe in ready:
                part, process = running[pipe]
                try:
                    tell(*pipe.recv())
                except EOFError:  # the process has ended
                    del running[pipe]
                    process.join()
                    failed.update({part: process.exitcode} if process.exitcode else {})
                    finished += [] if process.exitcode else [part]
                    if running and not waiting:
                        idle(finished)
    finally:  # after an error here, or Ctrl-C
        for _, process in running.values():
            process.kill()
    for part, code in failed.items():
        log = out / f"{part}.log"
        error = log.read_text(encoding="utf-8", errors="replace").rstrip().rsplit("\n", 1)[-1]
        if code < 0:
            error = "its process was ended from outside (killed, or out of memory: --jobs 1 needs less)."
        raise PartFailed(
            f"the part {part!r} of the demo failed: {error} See {log}. To continue, run the demo again."
        )


def _start(work: Work, part: str, log: Path, jobs: int) -> tuple[Connection, Any]:
    if not is_named(log):  # lines were added to it since it was listed
        require_free([log])
    with overwriting():
        write_text(log, "")
    context = _context()
    ours, theirs = context.Pipe()
    process = context.Process(target=_run_logged, args=(work, part, log, jobs, theirs), daemon=True)
    process.start()
    theirs.close()
    return ours, process


def _context() -> Any:
    """How processes start. The imports take half a minute on two busy cores, so Linux makes them once, and forks."""
    if sys.platform != "linux" or any(os.path.exists(place) for place in ACCELERATORS):
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([PRELOAD])
    return context


def _run_logged(work: Work, part: str, log: Path, jobs: int, pipe: Connection) -> None:
    """In a process of its own: everything that is printed goes to ``log``."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first one decides
    threading.Thread(target=_follow, args=(pipe,), daemon=True).start()
    sys.stdout.flush()
    with log.open("a", encoding="utf-8") as handle:
        for stream in (1, 2):
            os.dup2(handle.fileno(), stream)
    from sidelight.core.quiet import quiet_libraries

    quiet_libraries()
    import torch

    torch.set_num_threads(max(1, (os.cpu_count() or 1) // jobs))
    try:
        work(part, lambda *told: pipe.send(told))
    except Exception as error:
        logging.getLogger(__name__).exception("the part %s failed", part)
        print(error if isinstance(error, SidelightError) else f"{type(error).__name__}: {error}", flush=True)
        sys.exit(1)


def _follow(pipe: Connection) -> None:
    """End this process when the one that started it has ended: then nobody holds the other end of the pipe."""
    with suppress(EOFError, OSError):
        pipe.recv()  # nothing is ever sent
    os._exit(1)
