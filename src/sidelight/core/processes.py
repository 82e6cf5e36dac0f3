"""Several processes on one job: their number, this one's share of the work, and common failure.

``torchrun`` or ``accelerate launch`` start the processes, and accelerate makes their group. Without a launcher there is
one process, and nothing here costs anything.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from sidelight.errors import CheckpointError, ConfigError, PeerError, SidelightError

T = TypeVar("T")
#: Processes wait this long for the slowest: shares of an evaluation may differ by hours.
PATIENCE = timedelta(days=2)


def process_count() -> int:
    """How many processes a launcher started, 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Whether this process is the one that writes the results of all."""
    group = sys.modules.get("torch.distributed")
    if process_count() > 1 and group is not None and group.is_available() and group.is_initialized():
        # accelerate.debug_launcher tells the ranks to the group alone
        return bool(group.get_rank() == 0)
    return int(os.environ.get("RANK", "0")) == 0


@dataclass(frozen=True)
class Share:
    """The part of the work that this process does: items ``i`` with ``i % count == index``.

    Attributes:
        index: in ``[0, count)``.
        count: into how many shares the work is divided.
    """

    index: int = 0
    count: int = 1

    @property
    def name(self) -> str:
        """For files of this share."""
        return f"shard-{self.index + 1}-of-{self.count}"

    def __contains__(self, item: int) -> bool:
        return item % self.count == self.index

    @classmethod
    def launched(cls) -> Share:
        """The share of this process among those that a launcher started."""
        if process_count() == 1:
            return cls()
        state = _state()
        return cls(state.process_index, state.num_processes)

    @classmethod
    def parse(cls, text: str | None) -> Share | None:
        """The second of four shares for ``"2/4"``, ``None`` for ``None``.

        Raises:
            ConfigError: not of that form, out of range, or several processes share the work already.
        """
        if text is None:
            return None
        first, _, second = text.partition("/")
        if not (first.strip().isdecimal() and second.strip().isdecimal()):
            raise ConfigError(f"a shard reads I/N, e.g. 2/4 for the second of four; got {text!r}.")
        index, count = int(first), int(second)
        if not 1 <= index <= count:
            raise ConfigError(f"the I of a shard I/N lies between 1 and N; got {text!r}.")
        if process_count() > 1:
            raise ConfigError(
                f"--shard {text} is for machines without a launcher; {process_count()} processes were launched "
                "and divide the work among themselves. Leave --shard out."
            )
        return cls(index - 1, count)


def wait() -> None:
    """Return when every process is here.

    Raises:
        PeerError: another process failed on its way here.
    """
    _exchange(None)


@contextmanager
def agreed(training: bool = False) -> Iterator[None]:
    """Run a step on all processes. If it fails on one, it fails on all.

    Args:
        training: the step exchanges gradients. If only this process fails (a full disk, no memory), the others wait
            for its gradients forever. So this process exits, and the launcher ends the others. Errors in the
            arguments, which all processes share, are raised.

    Raises:
        PeerError: it failed in another process.
    """
    if process_count() == 1:
        yield
        return
    try:
        yield
    except PeerError:  # every process knows already
        raise
    except Exception as error:
        alike = isinstance(error, SidelightError) and not isinstance(error, CheckpointError)
        if training and not alike:
            raise SystemExit(
                f"error: {type(error).__name__} in a training of several processes: {error}"
            ) from error
        _tell(f"{type(error).__name__}: {error}")
        raise
    _exchange(None)


def in_main(step: Callable[[], object]) -> None:
    """Run ``step`` in the main process while the others wait. If it fails there, it fails in all.

    Raises:
        PeerError: in the other processes, if it failed.
    """
    failure: SidelightError | None = None
    if is_main():
        try:
            step()
        except SidelightError as error:
            failure = error
    if process_count() > 1:
        told = _tell(None if failure is None else str(failure))
        if failure is None and told[0] is not None:
            raise PeerError(f"process 0 of {process_count()} failed: {told[0]}")
    if failure is not None:
        raise failure


def from_main(make: Callable[[], str]) -> str:
    """The result that ``make`` has in the main process, for every process."""
    if process_count() == 1:
        return make()
    return str(_tell(make() if is_main() else None)[0])


def largest(value: float) -> float:
    """The largest ``value`` of all processes. Each of them must call this. Without a launcher it is ``value``."""
    return max(_tell(value))


def _exchange(failure: str | None) -> None:
    found = [(number, text) for number, text in enumerate(_tell(failure)) if text is not None]
    if found:
        number, text = found[0]
        raise PeerError(f"process {number} of {process_count()} failed: {text}")


def _tell(own: T) -> list[T]:
    """Send what this process has to say to all, and return what all of them say."""
    if process_count() == 1:
        return [own]
    from accelerate.utils import gather_object

    _state()
    return list(gather_object([own]))


def _state() -> Any:
    """The process group, which the first call opens."""
    import torch
    from accelerate import PartialState

    if not torch.cuda.is_available() and not torch.xpu.is_available():
        os.environ.setdefault("ACCELERATE_USE_CPU", "true")  # or each process would train alone
    cpu = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")
    return PartialState(cpu=cpu, timeout=PATIENCE)


def device() -> Any:
    """The ``torch.device`` that this process computes on: its accelerator, else the CPU."""
    if process_count() > 1:
        return _state().device
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def finish_work(place: Any) -> None:
    """Wait until an accelerator has done all that it was given, so that a clock tells the truth.

    Args:
        place: a ``torch.device``. A CPU has nothing left to do.
    """
    if place.type == "cuda":
        import torch

        torch.cuda.synchronize(place)


def timed(run: Callable[[], object], place: Any) -> float:
    """Seconds of one call, with all that an accelerator ``place`` (a ``torch.device``) has to do for it."""
    finish_work(place)
    start = time.perf_counter()
    run()
    finish_work(place)
    return time.perf_counter() - start
