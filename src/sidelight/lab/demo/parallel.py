"""Parts of the demo side by side: small networks gain little from a second thread, and much from a core of their own."""

from __future__ import annotations

import logging
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path

from sidelight.core.files import write_text
from sidelight.core.ownership import is_named, overwriting, own_folder, require_free
from sidelight.errors import SidelightError

#: how often the parts' logs are looked at, in seconds
INTERVAL = 0.5
#: what a part says of itself, in order: see :func:`sidelight.lab.demo.parts.run_part`
STAGES = ("training the classifier", "evaluating", "explaining", "done")
#: colours and movements of the cursor
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\b]")


class PartFailed(SidelightError):
    """A part of the demo ended with an error; the message says where its log is."""


def default_jobs(parts: int) -> int:
    """Parts at a time: one a core, as far as there are parts."""
    return max(1, min(parts, os.cpu_count() or 1))


def run_parts(parts: Sequence[str], out: Path, overrides: Sequence[str], jobs: int) -> None:
    """Run ``parts`` in ``jobs`` processes that share the cores; each writes ``out/<part>.log``.

    Parts that can go on do so when another fails. No process outlives this one.

    Raises:
        PartFailed: a part failed; the others are finished, unless a process was killed.
        CheckpointError: nothing can be written in ``out``.
    """
    logs = {part: out / f"{part}.log" for part in parts}
    own_folder(out)
    for log in logs.values():
        if not is_named(log):  # lines were added to it since it was listed
            require_free([log])
        with overwriting():
            write_text(log, "")  # lines of an earlier run would count as this one's
    jobs = min(jobs, len(parts))
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with worker_pool(jobs) as pool:
        futures = {
            part: pool.submit(_run_logged, part, out, list(overrides), threads, log)
            for part, log in logs.items()
        }
        _watch(futures, logs)
    require_parts(futures, out)


@contextmanager
def worker_pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """``jobs`` processes that end when the block is left by an error or Ctrl-C, and when this process is killed."""
    context = multiprocessing.get_context("spawn")
    following, held = context.Pipe(duplex=False)
    with (
        following,
        held,
        ProcessPoolExecutor(jobs, mp_context=context, initializer=_follow, initargs=(following,)) as pool,
    ):
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            held.close()
            raise


def _follow(held: Connection) -> None:
    """In a process of the pool: end with the process that holds the other end of the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the one that started them decides

    def watch() -> None:
        with suppress(EOFError, OSError):
            held.recv()  # nothing is ever sent
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def require_parts(futures: Mapping[str, Future[None]], out: Path) -> None:
    """Raise :class:`PartFailed` where an ended part failed; the message says what to do."""
    errors = {part: error for part, future in futures.items() if (error := future.exception()) is not None}
    for part, error in errors.items():
        if isinstance(error, BrokenProcessPool):
            raise PartFailed(
                "a process of the demo was ended from outside (killed, or out of memory), and with it the parts "
                f"{', '.join(errors)}. Their logs are in {out}; run the demo again to continue, with --jobs 1 where "
                "memory is short."
            ) from error
        words = str(error) if isinstance(error, SidelightError) else f"{type(error).__name__}: {error}"
        log = out / f"{part}.log"
        raise PartFailed(
            f"the part {part!r} of the demo failed: {words} Its log is {log}; run the demo again to continue."
        ) from error


def _run_logged(part: str, out: Path, overrides: list[str], threads: int, log: Path) -> None:
    """In a process of its own: everything said goes to ``log``."""
    sys.stdout.flush()
    with log.open("a", encoding="utf-8") as handle:
        for stream in (1, 2):
            os.dup2(handle.fileno(), stream)
    from sidelight.core.quiet import quiet_libraries

    quiet_libraries()
    import torch

    from sidelight.lab.demo.parts import run_part

    torch.set_num_threads(threads)
    try:
        run_part(part, out, overrides)
    except Exception:
        logging.getLogger(__name__).exception("the part %s failed", part)
        raise


def _watch(futures: dict[str, Future[None]], logs: dict[str, Path]) -> None:
    """One bar a part, moving from stage to stage, with the newest line of its log."""
    from rich.progress import BarColumn, Progress, TimeElapsedColumn

    from sidelight.core.terminal import SafeConsole, Words

    columns = (
        Words("{task.description:14}"),
        BarColumn(20),
        TimeElapsedColumn(),
        Words("{task.fields[line]}"),
    )
    with Progress(*columns, console=SafeConsole()) as bars:
        tasks = {p: bars.add_task(p, total=len(STAGES), start=False, line="waiting") for p in futures}
        while True:
            ended = all(f.done() for f in futures.values())
            for part, task in tasks.items():
                if futures[part].running() or futures[part].done():
                    bars.start_task(task)
                lines = newest_lines(logs[part])
                stage = max((i + 1 for i, s in enumerate(STAGES) if any(s in x for x in lines)), default=0)
                failed = futures[part].done() and futures[part].exception() is not None
                line = "failed" if failed else (lines[-1] if lines else "waiting")
                bars.update(task, completed=stage, line=line[:90])
                if futures[part].done():
                    bars.stop_task(task)
            if ended:
                return
            time.sleep(INTERVAL)


def newest_lines(log: Path) -> list[str]:
    """Lines of a log without control characters; empty ones are left out."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    found = (CONTROL.sub("\n", line).strip().splitlines() for line in text.splitlines())
    return [line[-1].strip() for line in found if line and line[-1].strip()]
