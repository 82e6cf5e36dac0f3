"""A classifier that says nearly the same of every input is told, at any level of its probabilities."""

from __future__ import annotations

import pytest
import torch

from sidelight.checks.removal import UNMOVED, unmoved
from sidelight.targets import as_target
from sidelight.targets.base import TargetModel
from sidelight.training.diagnostics import warn_of_removal
from tiny_models import pixels, plain

BATCH = pixels(12, seed=3)


def target_of(slope: float, bias: float) -> TargetModel:
    """A net whose head is ``slope`` times as steep, and leans to its second class."""
    net = plain()
    with torch.no_grad():
        net.head[1].weight.mul_(slope)
        net.head[1].bias.copy_(torch.tensor([0.0, bias, 0.0, 0.0, 0.0]))
    return as_target(net, layers=["stem", "deep"])


@pytest.mark.parametrize("bias", [0.0, 1.0, 3.3, 7.0])
@pytest.mark.parametrize("slope", [0.0, 1e-3])
def test_a_classifier_that_never_changes_its_mind_is_told_at_any_level(
    slope: float, bias: float, caplog: pytest.LogCaptureFixture
) -> None:
    target = target_of(slope, bias)
    found = unmoved(target, {"pixel_values": BATCH}, ["zero", "noise"])
    assert found is not None
    with torch.no_grad():
        clean = target.model.eval()(BATCH).softmax(-1)
    assert float((clean.amax(0) - clean.amin(0)).max()) - 1e-6 <= found <= UNMOVED
    with caplog.at_level("WARNING"):
        warn_of_removal(target, [{"pixel_values": row} for row in BATCH], ["zero", "noise"])
    assert f"of 12 rows, also with everything removed, no probability differs by more than {found:.4f}" in (
        caplog.text
    )


def test_a_classifier_that_reacts_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    target = target_of(slope=3.0, bias=0.0)
    one = BATCH[:1].repeat(12, 1, 1, 1)  # rows that are alike, so that only their removal can move it
    for inputs in (BATCH, one):
        assert unmoved(target, {"pixel_values": inputs}, ["zero"]) is None
    with caplog.at_level("WARNING"):
        warn_of_removal(target, [{"pixel_values": row} for row in BATCH], ["zero"])
    assert "nearly the same" not in caplog.text
