"""What a page says of one sample: the predicted class, and the true one where it differs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sidelight.lab.figures.grid import GridSample
from sidelight.lab.report.page import _decision

NAMES = {0: "cat", 1: "dog\u202e", 2: "cow"}


def sample_of(label: Any) -> GridSample:
    target: Any = SimpleNamespace(id2label=NAMES)
    row = {"text": "a film"} if label is None else {"text": "a film", "label": label}
    return GridSample(None, {}, **_decision(target, row, torch.tensor([0.2, 0.7, 0.6])))


@pytest.mark.parametrize(
    ("label", "wrong"),
    [(1, False), (0, True), (None, False), ([1.0, 1.0, 0.0], False), ([1.0, 0.0, 1.0], True)],
)
def test_a_label_that_is_there_is_right(label: Any, wrong: bool) -> None:
    """Of independent labels several are there, and the predicted one is one of them."""
    assert sample_of(label).wrong is wrong


def test_names_hide_nothing() -> None:
    assert sample_of([1.0, 0.0, 1.0]).truth_label == "cat, cow"
    assert sample_of(0).label == "dog[U+202E]"
    assert sample_of([0.0, 0.0, 0.0]).truth_label == "none"
