"""Work of a thread beside the caller's."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from sidelight.core.overlap import overlapped

PATIENCE = 10.0


def test_an_item_is_worked_on_while_the_next_is_drawn() -> None:
    begun = threading.Event()

    def items() -> Iterator[int]:
        yield 0
        assert begun.wait(PATIENCE), "the work on the first item waits for the second one"
        yield 1

    def work(item: int) -> str:
        begun.set()
        return threading.current_thread().name

    found = [(item, future.result()) for item, future in overlapped(items(), work)]
    assert [item for item, _ in found] == [0, 1]
    assert threading.current_thread().name not in [name for _, name in found]


def test_one_item_at_most_is_drawn_ahead() -> None:
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for number in range(6):
            drawn.append(number)
            yield number

    for item, future in overlapped(items(), lambda number: -number):
        assert future.result() == -item
        assert len(drawn) <= item + 2


def test_an_error_comes_in_its_turn() -> None:
    def items() -> Iterator[int]:
        yield from (1, 0, 2)
        raise OSError("the source broke")

    source = overlapped(items(), lambda number: 2 / number)
    errors = [type(next(source)[1].exception()) for _ in range(3)]
    assert errors == [type(None), ZeroDivisionError, type(None)]
    with pytest.raises(OSError, match="broke"):
        next(source)


def test_a_caller_that_stops_leaves_no_thread() -> None:
    before = threading.active_count()
    source = overlapped(range(100), lambda number: number)
    next(source)
    source.close()
    assert threading.active_count() == before
