"""Blocks of rows explained by workers of a Ray cluster, on this machine or on others.

A worker is an actor with a copy of the explainer. It calls the function that the local engine calls, so blocks become the
same tables. This process takes exactly one table of each block and writes it. If a worker or its machine is lost, its
block goes to another worker, and a new worker takes its place when the cluster has room.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from sidelight.core.optional import optional
from sidelight.errors import PeerError, SidelightError, first_line
from sidelight.explanations.block_tables import BlockOptions, block_table
from sidelight.explanations.sorted_blocks import Block

log = logging.getLogger(__name__)

#: how often a block is given to a worker that is then lost, before the job stops
MOST_LOSSES = 4
#: workers that are lost one after another without an answer, before the job stops
MOST_DEATHS = 6
#: seconds without a worker
PATIENCE = 600.0
#: blocks that wait for each worker, beside the one that it explains
AHEAD = 1


class Worker:
    """An explainer in a process of its own. Ray makes an actor of it.

    Args:
        explainer: it comes as a copy.
        options: class of the maps.
        threads: of PyTorch. The same number as elsewhere gives the same bytes.
        cuda: whether the explainer goes to the GPU that Ray gave this process.
    """

    def __init__(self, explainer: Any, options: dict[str, Any], threads: int, cuda: bool) -> None:
        torch.set_num_threads(threads)
        if cuda:
            explainer.target.model.to("cuda")
        self.pack = explainer.packing(**options)

    def ready(self) -> bool:
        """Answers as soon as the worker is there."""
        return True

    def table(self, block: Block, how: BlockOptions) -> Any:
        """The table of a block, or the error about its row."""
        try:
            return block_table(block, self.pack, how)
        except SidelightError as error:
            return error


@dataclass
class _Task:
    """A block on its way."""

    number: int
    block: Block
    losses: int = 0


@dataclass
class _Place:
    """A worker, and what it was given."""

    actor: Any
    ready: bool = False
    tasks: dict[Any, _Task] = field(default_factory=dict)


class OnRay:
    """Workers of a Ray cluster explain the blocks.

    Args:
        explainer: each worker gets a copy.
        options: class of the maps.
        workers: how many. Default: one for each GPU, or as many as the CPUs give with this process's threads each.

    Raises:
        MissingPackageError: Ray is not installed.
    """

    def __init__(self, explainer: Any, options: dict[str, Any], workers: int | None = None) -> None:
        self.ray = optional("ray", "explaining rows on a Ray cluster", "ray")
        self.explainer, self.options, self.workers = explainer, dict(options), workers
        self.threads, self.cuda = torch.get_num_threads(), explainer.target.device.type == "cuda"

    def tables(self, blocks: Iterable[Block], how: BlockOptions) -> Generator[Any, None, None]:
        """The table of each block, in order. A few blocks for each worker are in memory.

        Raises:
            PeerError: no worker could be started, or each that got a certain block was lost.
            InputError, InputTypeError: a row cannot be explained, and errors are raised.
        """
        ours = not self.ray.is_initialized()
        if ours:
            self.ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        try:
            yield from _Run(self, how).tables(blocks)
        finally:
            if ours:
                self.ray.shutdown()

    def count(self) -> int:
        """Number of workers."""
        if self.workers is not None:
            return self.workers
        there = self.ray.cluster_resources()
        return max(1, int(there.get("GPU", 0) if self.cuda else there.get("CPU", 1) // self.threads))


class _Run:
    """One job on the workers."""

    def __init__(self, engine: OnRay, how: BlockOptions) -> None:
        self.engine, self.ray, self.how = engine, engine.ray, how
        self.explainer = self.ray.put(engine.explainer)
        self.places: dict[Any, _Place] = {}  # by the reference that says whether the worker is there
        self.again: deque[_Task] = deque()
        self.done: dict[int, Any] = {}
        self.deaths = 0

    def tables(self, blocks: Iterable[Block]) -> Iterator[Any]:
        for _ in range(count := self.engine.count()):
            self._start()
        window = count * (1 + AHEAD)
        tasks, following, given = (_Task(n, b) for n, b in enumerate(blocks)), 0, 0
        try:
            while True:
                while given - following < window and (task := next(tasks, None)) is not None:
                    self.again.append(task)
                    given += 1
                if given == following:
                    return
                self._give()
                self._take()
                while following in self.done:
                    yield _found(self.done.pop(following))
                    following += 1
        finally:
            for place in self.places.values():
                self.ray.kill(place.actor)

    def _start(self) -> None:
        gpus = 1 if self.engine.cuda else 0
        kind = self.ray.remote(
            num_cpus=self.engine.threads, num_gpus=gpus, max_restarts=0, scheduling_strategy="SPREAD"
        )(Worker)
        actor = kind.remote(self.explainer, self.engine.options, self.engine.threads, self.engine.cuda)
        self.places[actor.ready.remote()] = _Place(actor)

    def _give(self) -> None:
        """Give waiting blocks to workers with few of them. The first blocks go first."""
        self.again = deque(sorted(self.again, key=lambda task: task.number))
        there = [place for place in self.places.values() if place.ready]
        while self.again and there:
            place = min(there, key=lambda one: len(one.tasks))
            if len(place.tasks) > AHEAD:
                return
            task = self.again.popleft()
            place.tasks[place.actor.table.remote(task.block, self.how)] = task

    def _take(self) -> None:
        """Wait until a worker is there, has answered, or is lost."""
        waited = [ref for ref, place in self.places.items() if not place.ready]
        waited += [ref for place in self.places.values() for ref in place.tasks]
        busy = any(place.ready for place in self.places.values())
        ready, _ = self.ray.wait(waited, num_returns=1, timeout=None if busy else PATIENCE)
        if not ready:
            raise PeerError(
                f"no worker of the Ray cluster was there within {PATIENCE:.0f} seconds. Each needs {self.engine.threads} "
                f"CPU(s){' and one GPU' if self.engine.cuda else ''}; the cluster has {self.ray.cluster_resources()}."
            )
        (ref,) = ready
        key, place = next((k, p) for k, p in self.places.items() if ref == k or ref in p.tasks)
        try:
            found = self.ray.get(ref)
        except self.ray.exceptions.RayTaskError as error:
            raise PeerError(f"a worker of the Ray cluster failed: {first_line(error.cause)}") from error
        except self.ray.exceptions.RayError as error:
            self._lose(key, place, error)
            return
        if ref == key:
            place.ready = True
        else:
            self.done[place.tasks.pop(ref).number] = found
            self.deaths = 0

    def _lose(self, key: Any, place: _Place, error: Exception) -> None:
        """Put the blocks of a lost worker back, and start another one."""
        self.deaths += 1
        log.warning("a worker of the Ray cluster was lost: %s", first_line(error))
        del self.places[key]
        self.ray.kill(place.actor)
        for task in place.tasks.values():
            self.again.append(task)
        first = min(place.tasks.values(), key=lambda task: task.number, default=None)
        if first is not None:  # the one that it worked on
            first.losses += 1
        if self.deaths >= MOST_DEATHS or (first is not None and first.losses >= MOST_LOSSES):
            about = f" at the rows from {first.block[0][0]} on" if first is not None else ""
            raise PeerError(
                f"workers of the Ray cluster were lost again and again{about}: {first_line(error)} Call again to go on "
                "after the last finished file."
            ) from error
        self._start()


def _found(answer: Any) -> Any:
    if isinstance(answer, SidelightError):
        raise answer
    return answer
