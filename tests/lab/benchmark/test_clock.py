"""Time left, against sums by hand."""

from __future__ import annotations

import pytest

from sidelight.lab.benchmark.clock import Clock, duration


def test_units_cost_what_their_kind_cost() -> None:
    clock = Clock()
    for job in ("a", "b"):
        clock.plan(job, "fit", 2)
        clock.plan(job, "full", 4)
    assert clock.left() == (0.0, False)
    assert clock.text() == ""
    clock.done("a", "fit", 30.0, count=2)
    assert clock.left() == (2 * 15.0, False)
    assert clock.text() == "more than 30 s left"
    clock.done("a", "full", 10.0)
    clock.done("a", "full", 20.0)
    # b is taken to cost what a did
    assert clock.left() == (2 * 15.0 + 2 * 15.0 + 4 * 15.0, True)
    clock.done("b", "full", 100.0)
    # and its own time counts as soon as it has one
    assert clock.left() == (2 * 15.0 + 2 * 15.0 + 3 * 100.0, True)
    assert clock.text() == "about 6 min left"


def test_what_was_there_before_takes_no_time() -> None:
    clock = Clock()
    clock.plan("a", "full", 3)
    clock.done("a", "full", None)
    assert clock.left() == (0.0, False)
    clock.done("a", "full", 8.0)
    assert clock.left() == (8.0, True)


def test_what_is_dropped_is_not_left() -> None:
    clock = Clock()
    clock.plan("a", "fit", 1)
    clock.plan("a", "full", 9)
    clock.done("a", "full", 5.0)
    clock.drop("a")
    assert clock.left() == (0.0, True)
    assert clock.text() == ""


def test_more_units_than_planned() -> None:
    clock = Clock()
    clock.plan("a", "full", 1)
    for _ in range(3):
        clock.done("a", "full", 2.0)
    assert clock.left() == (0.0, True)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (42, "42 s"),
        (99.4, "99 s"),
        (100, "2 min"),
        (5900, "98 min"),
        (7500, "2 h 05 min"),
        (360000, "100 h 00 min"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words
