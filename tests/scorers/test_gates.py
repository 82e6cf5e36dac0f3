"""Gates: what the later layers of a transformer add multiplies the features of the decoder's last stage."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sidelight.core.types import StateSpec
from sidelight.errors import ConfigError
from sidelight.scorers.image import Gate, ImageDecoder

SPECS = [StateSpec(6, (3, 4))] * 4


def states(seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    steps = [torch.randn(2, 6, 3, 4, generator=generator) for _ in SPECS]
    return list(torch.stack(steps).cumsum(0))


def decoder(gates: int) -> ImageDecoder:
    torch.manual_seed(1)
    return ImageDecoder(SPECS, (12, 16), (8, 5), classes=3, direct=True, gates=gates)


def test_a_gate_is_a_norm_and_a_product_without_biases() -> None:
    torch.manual_seed(0)
    gate = Gate(6, 5, 4).double()
    change = torch.randn(2, 6, 3, 4, dtype=torch.float64) * 3 + 1
    found = gate(change)
    mean = change.mean((1, 2, 3), keepdim=True)
    normed = (change - mean) / (change.var((1, 2, 3), keepdim=True, unbiased=False) + 1e-5).sqrt()
    weight = gate.project.weight.flatten(1).view(5, 4, 4, 6)
    expected = torch.einsum("wyxc,bchv->bwhyvx", weight, normed).reshape(2, 5, 12, 16)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    assert {name for name, _ in gate.named_parameters()} == {"project.weight"}


@pytest.mark.parametrize("gates", [1, 2, 3])
def test_a_map_needs_what_the_later_layers_add(gates: int) -> None:
    gated, (first, *_) = decoder(gates), states()
    still = [first] * len(SPECS)  # no layer adds anything
    raw = gated(still, (12, 16), None, torch.tensor([[0], [1]]))
    assert float((raw - raw.mean((3, 4), keepdim=True)).abs().max()) < 1e-6
    plain = decoder(0)(still, (12, 16), None, torch.tensor([[0], [1]]))
    assert float(plain.std((3, 4)).min()) > 1e-3


@pytest.mark.parametrize("gates", [1, 2, 3])
def test_gates_read_the_last_changes_and_their_scale_does_not_count(gates: int) -> None:
    gated, read = decoder(gates), states()
    gate = gated._gate(read, torch.zeros(2, 5, 12, 16))
    moved = [s + 10 for s in read]
    torch.testing.assert_close(gated._gate(moved, torch.zeros(2, 5, 12, 16)), gate, rtol=0, atol=1e-4)
    changed = [s.clone() for s in read]
    changed[-gates - 1] = torch.randn(2, 6, 3, 4)
    assert float((gated._gate(changed, gate) - gate).abs().max()) > 0.1
    if gates < 3:
        changed = [torch.randn(2, 6, 3, 4), *read[1:]]
        torch.testing.assert_close(gated._gate(changed, gate), gate)


def test_every_weight_of_a_gated_decoder_learns() -> None:
    gated = decoder(2)
    gated(states(), (12, 16), None, torch.tensor([[0, 1], [1, 2]])).square().sum().backward()
    assert [n for n, p in gated.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(
    ("specs", "gates"),
    [(SPECS, 4), (SPECS, -1), ([*SPECS, StateSpec(9, (3, 4))], 1), ([*SPECS, StateSpec(6, (2, 2))], 1)],
)
def test_gates_need_states_of_one_shape(specs: list[StateSpec], gates: int) -> None:
    with pytest.raises(
        ConfigError, match=rf"gates={gates} needs {gates + 1} states of one grid and one width"
    ):
        ImageDecoder(specs, (12, 16), (8, 5), direct=True, gates=gates)
