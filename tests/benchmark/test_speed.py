"""Peak memory is a method's own, whatever ran before it."""

from __future__ import annotations

import sys

import pytest
import torch

from sidelight.benchmark.speed import peak_memory


@pytest.mark.skipif(not sys.platform.startswith("linux") or torch.cuda.is_available(), reason="reads RSS")
def test_an_earlier_peak_does_not_hide_a_later_one() -> None:
    found, pins = [], []
    for _ in range(3):
        with peak_memory() as peak:
            blocks = [torch.ones(2**14) for _ in range(3000)]  # 190 MB in pieces that malloc keeps
            pins.append(torch.ones(2**10))  # ... also because something above them stays in use
            del blocks
        found.append(peak.mb)
    assert min(found) > 150
