"""Peak memory is a method's own, whatever ran before it."""

from __future__ import annotations

import sys

import pytest
import torch

from sidelight.benchmark.speed import peak_memory


@pytest.mark.skipif(not sys.platform.startswith("linux") or torch.cuda.is_available(), reason="reads RSS")
def test_an_earlier_peak_does_not_hide_a_later_one() -> None:
    found = []
    for _ in range(3):
        with peak_memory() as peak:
            blocks = [torch.ones(2**18) for _ in range(200)]  # 200 MB in pieces malloc would keep
            del blocks
        found.append(peak.mb)
    assert min(found) > 150
