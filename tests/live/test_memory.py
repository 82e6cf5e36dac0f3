"""Hundreds of explanations through the page's function: memory, hooks and threads stay as they are."""

from __future__ import annotations

import gc
import os
import threading

import psutil
import pytest
from torch import nn

from face_toys import image_explainer, text_explainer
from live_toys import png
from sidelight.live.desk import MOST_SESSIONS, Desk

#: explanations before the first look at memory: sessions fill up, and libraries load what they load once
WARM = 2 * MOST_SESSIONS
#: growth that is allowed, as a share of the process
GROWTH = 0.02


def hooks(model: nn.Module) -> int:
    """Number of hooks on all modules."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(m, kind)) for m in model.modules() for kind in kinds)


def used() -> int:
    gc.collect()
    return int(psutil.Process(os.getpid()).memory_info().rss)


def turn(desk: Desk, number: int) -> None:
    """What one person does: opens, moves the slider, asks about another class."""
    run = desk.runs[number % 2]
    found = desk.open(run, png(seed=number % 7), f"the story number {number} is charming")
    assert found.message == ""
    desk.keep(found.token, 0.3)
    desk.ask(found.token, "1", None)


def check(count: int) -> None:
    explainers = {"texts": text_explainer(), "images": image_explainer()}
    desk = Desk(explainers)
    for number in range(WARM):
        turn(desk, number)
    before = [hooks(e.target.model) for e in explainers.values()], threading.active_count()
    memory = used()
    for number in range(count):
        turn(desk, number)
    assert ([hooks(e.target.model) for e in explainers.values()], threading.active_count()) == before
    assert used() <= memory * (1 + GROWTH)


@pytest.mark.slow
def test_300_explanations() -> None:
    check(300)


@pytest.mark.soak
def test_2000_explanations() -> None:
    check(2000)
