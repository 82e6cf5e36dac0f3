"""Work that a thread does while the caller goes on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def overlapped(items: Iterable[T], do: Callable[[T], R]) -> Generator[tuple[T, Future[R]], None, None]:
    """Each item with what ``do`` makes of it in a thread, while the caller draws the next item. The order is kept.

    Items are drawn in the caller's thread. One item is in work and one is drawn ahead, so memory is bounded. If drawing
    fails, the items before are given first. Close the generator if it is left early: this ends its thread.

    Args:
        items: drawn one at a time.
        do: called with one item at a time.

    Yields:
        An item, and a future with what was made of it or the error.

    Example:
        >>> [made.result() for _, made in overlapped("ab", str.upper)]
        ['A', 'B']
    """
    waiting: tuple[T, Future[R]] | None = None
    failed: Exception | None = None
    source = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="sidelight") as pool:
        while True:
            try:
                item = next(source)
            except StopIteration:
                break
            except Exception as error:  # noqa: BLE001 - raised below, after the items before it
                failed = error
                break
            begun = pool.submit(copy_context().run, do, item)
            if waiting is not None:
                yield waiting
            waiting = item, begun
        if waiting is not None:
            yield waiting
    if failed is not None:
        raise failed
