"""Ctrl-C in a notebook: the model is given back as it was, whatever line was running, and the next call works."""

from __future__ import annotations

import linecache
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from process_state import model_state
from test_threads import Noisy
from torch import nn

from sidelight.targets import lending

#: the functions that change flags of the model, or take the changes back
STEPS = ("_freeze", "freeze", "_give_back", "give_back")


def interrupted(call: Callable[[], None], line: int) -> bool:
    """Run ``call`` with a Ctrl-C at the given line of all that lend the model; whether there were so many."""
    seen = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal seen
        if frame.f_code.co_filename != lending.__file__ or frame.f_code.co_name not in STEPS:
            return None
        words = linecache.getline(lending.__file__, frame.f_lineno).split()
        if event == "line" and words[0] not in ("with", "try:"):  # Python lets no signal come there
            seen += 1
            if seen == line:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def free(lock: Any) -> bool:
    """Whether another thread gets the lock."""
    got: list[bool] = []
    thread = threading.Thread(target=lambda: got.append(lock.acquire(timeout=1) and lock.release() is None))
    thread.start()
    thread.join()
    return got == [True]


def borrow(model: nn.Module) -> None:
    with lending.one_pass(model):
        assert not model.training


def test_kind_an_interrupt_at_any_line_gives_the_model_back() -> None:
    model = Noisy()
    before, line = model_state(model), 1
    while interrupted(lambda: borrow(model), line):
        found = model_state(model)
        assert {k for k in before if found[k] != before[k]} == set(), f"after a Ctrl-C at line {line}"
        line += 1
        assert free(lending._guard)
        assert free(lending._loans[model].lock)
    assert line > 50
    borrow(model)
    assert model_state(model) == before


@pytest.mark.parametrize("line", [1, 20, 60])
def test_kind_an_interrupt_within_another_loan_leaves_the_model_lent(line: int) -> None:
    model = Noisy()
    before = model_state(model)
    other = nn.Sequential(model)
    with lending.lent(model):
        interrupted(lambda: borrow(other), line)
        assert not model.training
        assert not any(p.requires_grad for p in model.parameters())
    assert model_state(model) == before
