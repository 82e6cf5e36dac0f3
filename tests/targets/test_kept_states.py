"""Passes of pairs keep the hidden states that are read, with the same results."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pair_models import BUILDERS, make_target, pairs
from sidelight.targets.recording import takes_numbers


def every_tensor(encoding: Any) -> list[Tensor]:
    states = [state for own in encoding.states.values() for state in own]
    return [encoding.logits, encoding.fusion, *states]


def held(encoder: nn.Module, given: list[list[bool]]) -> Any:
    return encoder.register_forward_hook(
        lambda _m, _a, out: given.append([state is not None for state in out.hidden_states or ()])
    )


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_later_passes_of_pairs_give_what_the_first_gave(name: str) -> None:
    target = make_target(name)
    inputs = target.reader.read(pairs()).inputs
    first, *later = [every_tensor(target.encode(inputs)) for _ in range(3)]
    for found in later:
        assert all(torch.equal(one, other) for one, other in zip(first, found, strict=True))


@pytest.mark.parametrize("name", [n for n in sorted(BUILDERS) if n.startswith("fusion")])
def test_encoders_of_a_fusion_keep_the_states_that_are_read(name: str) -> None:
    target = make_target(name)
    inputs = target.reader.read(pairs()).inputs
    for part, places in (
        (target.model.image_encoder, target.image.places),
        (target.model.text_encoder, None),
    ):
        given: list[list[bool]] = []
        handle = held(part, given)
        for _ in range(2):
            target.encode(inputs)
        handle.remove()
        if takes_numbers(part):
            read = places() if places else [len(given[-1]) - 1]  # of a text the last state is read
            assert [i for i, there in enumerate(given[-1]) if there] == sorted(read)


def test_encoders_that_count_other_layers_keep_all_states() -> None:
    target = make_target("fusion-vit")
    inputs = target.reader.read(pairs()).inputs
    first = every_tensor(target.encode(inputs))
    target.image.kept._numbers = [99]
    found = every_tensor(target.encode(inputs))
    assert all(torch.equal(one, other) for one, other in zip(first, found, strict=True))
    assert target.image.kept.asked() is True
