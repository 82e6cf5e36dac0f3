"""Batches of requests: those that arrive within a few milliseconds go through the model together."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any


@dataclass(eq=False)
class Job:
    """One input that waits for its answer.

    Attributes:
        wish: what is asked.
        key: jobs of equal keys may share a pass.
        alone: whether it must not share one.
        future: gets the answer, or the error. If somebody cancels it in time, the job is never begun.
        arrived: seconds of the monotonic clock.
    """

    wish: Any
    key: Hashable
    alone: bool = False
    future: Future[Any] = field(default_factory=Future)
    arrived: float = field(default_factory=time.monotonic)


class Batcher:
    """One thread that answers jobs, several at a time.

    Args:
        name: of the thread.
        run: answers jobs of one key together: for each an answer, or an exception.
        size: most jobs of one batch.
        wait: seconds that the oldest job waits for others.

    Example:
        >>> batcher = Batcher("doubling", lambda jobs: [2 * job.wish for job in jobs], size=8, wait=0.0)
        >>> batcher.submit(Job(21, "")).result()
        42
        >>> batcher.stop()
    """

    def __init__(
        self, name: str, run: Callable[[Sequence[Job]], Sequence[Any]], size: int, wait: float
    ) -> None:
        self.name, self.size, self.wait = name, size, wait
        self._run_together = run
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def submit(self, job: Job) -> Future[Any]:
        """Put ``job`` at the end of the queue.

        Raises:
            RuntimeError: the batcher was stopped.
        """
        with self._changed:
            if self._stopping:
                raise RuntimeError(f"{self.name} was stopped.")
            if self._thread is None:
                # the thread begins with the first job, because a server may copy the app to other processes before
                self._thread = threading.Thread(target=self._work, name=self.name, daemon=True)
                self._thread.start()
            self._jobs.append(job)
            self._changed.notify_all()
        return job.future

    def drop(self, job: Job) -> None:
        """Forget ``job`` if it was not begun, so that its input leaves the memory."""
        job.future.cancel()
        with self._changed:
            if job in self._jobs:
                self._jobs.remove(job)

    def stop(self) -> None:
        """Answer all jobs in the queue, then end the thread. No job is taken after this call."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def open(self) -> None:
        """Take jobs again after :meth:`stop`."""
        with self._changed:
            if self._stopping:
                self._stopping, self._thread = False, None

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            begun = [job for job in batch if job.future.set_running_or_notify_cancel()]
            if begun:
                self._answer(begun)

    def _next(self) -> list[Job] | None:
        """The jobs of the next pass. ``None`` if the batcher stops and the queue is empty."""
        with self._changed:
            while True:
                if not self._jobs and self._stopping:
                    return None
                if not self._jobs:
                    self._changed.wait()
                    continue
                left = self._jobs[0].arrived + self.wait - time.monotonic()
                found = self._matching()
                full = len(found) == self.size or found[0].alone or self._stopping
                if full or left <= 0:
                    break
                self._changed.wait(left)
            for job in found:
                self._jobs.remove(job)
            return found

    def _matching(self) -> list[Job]:
        """The oldest job, and those that may share its pass."""
        first = self._jobs[0]
        if first.alone:
            return [first]
        return [job for job in self._jobs if job.key == first.key and not job.alone][: self.size]

    def _answer(self, jobs: list[Job]) -> None:
        try:
            found = self._run_together(jobs)
        except BaseException as error:  # noqa: BLE001 - whoever waits must be told, whatever it is
            found = [error] * len(jobs)
        for job, answer in zip(jobs, found, strict=True):
            if isinstance(answer, BaseException):
                job.future.set_exception(answer)
            else:
                job.future.set_result(answer)
