"""Laying token sequences out on their grid, choosing states, reading named layers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sidelight.errors import UnsupportedTargetError
from sidelight.targets.states import ChosenStates, HookedStates, select_states, token_grid, tokens_to_grid
from tiny_models import plain


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(2, 16),
    columns=st.integers(2, 16),
    patch=st.integers(2, 16),
    extra=st.integers(0, 5),
    cut=st.integers(0, 1),
)
def test_a_known_patch_size_gives_the_grid(rows: int, columns: int, patch: int, extra: int, cut: int) -> None:
    size = (rows * patch + cut, columns * patch)  # a convolution leaves out a partial patch
    assert token_grid(rows * columns + extra, size, patch) == (rows, columns)
    assert token_grid(rows * columns + extra, size, (patch, patch)) == (rows, columns)


def test_without_a_patch_size_the_aspect_ratio_decides() -> None:
    assert token_grid(196 + 1, (224, 224)) == (14, 14)
    assert token_grid(196 + 2, (224, 224)) == (14, 14)
    assert token_grid(24 + 5, (32, 48)) == (4, 6)
    assert token_grid(24, (48, 32)) == (6, 4)
    # a hierarchical model's deeper states have fewer tokens than its patch size tells
    assert token_grid(49, (224, 224), 4) == (7, 7)


def test_tokens_that_fit_no_grid_are_refused() -> None:
    with pytest.raises(UnsupportedTargetError, match="23 tokens fit no patch grid of a 37×101 image"):
        token_grid(23, (37, 101))


def test_tokens_are_laid_out_row_by_row_after_the_extra_ones() -> None:
    tokens = torch.arange(8).float().view(1, 8, 1).expand(2, 8, 3)
    grid = tokens_to_grid(tokens, (16, 24), 8)
    assert grid.shape == (2, 3, 2, 3)
    assert grid[1, 2].tolist() == [[2, 3, 4], [5, 6, 7]]


def test_states_are_read_where_the_first_pass_found_them() -> None:
    grid, tokens, vector = torch.zeros(1, 4, 4, 6), torch.zeros(1, 7, 5), torch.zeros(1, 5)
    finer, coarser = torch.ones(1, 2, 8, 12), torch.ones(1, 2, 2, 3)

    def lay_out(state: Any, _number: int) -> torch.Tensor | None:
        if state is None or state.ndim == 2:
            return None
        return state if state.ndim == 4 else tokens_to_grid(state, (16, 24), 8)

    def shapes(states: ChosenStates, raw: list[Any], stem: torch.Tensor) -> list[tuple[int, ...]]:
        return [tuple(s.shape) for s in states.read(raw, [stem], lay_out)]

    states = ChosenStates(None, 4, "Net")
    every = [(1, 2, 8, 12), (1, 4, 4, 6), (1, 5, 2, 3)]
    assert shapes(states, [grid, vector, tokens, None], finer) == every
    assert (states.chosen, states.places) == ((0, 1, 2), (None, 0, 2))
    # others need not be there any more
    assert shapes(states, [grid, None, tokens, None], finer) == every
    # a convolution that is not finer than every state counts for nothing
    assert shapes(ChosenStates(None, 4, "Net"), [grid, vector, tokens], coarser) == every[1:]
    assert shapes(ChosenStates([1], 4, "Net"), [vector, grid, tokens], finer) == [every[1]]
    with pytest.raises(UnsupportedTargetError, match="no state has the shape"):
        ChosenStates(None, 4, "Net").read([vector, None], [finer], lay_out)
    with pytest.raises(UnsupportedTargetError, match=r"states \[3\] were asked for, but Net gave 3"):
        ChosenStates([3], 4, "Net").read([grid, tokens], [finer], lay_out)


def maps_of(*sizes: int) -> list[torch.Tensor]:
    return [torch.zeros(1, 2, s, s) for s in sizes]


@pytest.mark.parametrize(
    ("sizes", "limit", "expected"),
    [
        ([14] * 13, 4, (0, 4, 8, 12)),
        ([14] * 13, 1, (12,)),
        ([14] * 2, 4, (0, 1)),
        ([14], 4, (0,)),
        ([56, 56, 28, 28, 14, 7, 7], 4, (1, 3, 4, 6)),
        ([56, 28, 14, 7], 2, (0, 2, 3)),  # the finest is always read
        ([8, 4, 1, 1], 4, (0, 1)),  # 1×1 maps have no place
        ([1, 1, 1], 2, (0, 2)),  # unless there is nothing else
        ([8, 4, 8], 4, (1, 2)),
    ],
)
def test_select_states(sizes: list[int], limit: int, expected: tuple[int, ...]) -> None:
    assert select_states(maps_of(*sizes), limit) == expected


def test_hooks_are_removed_after_the_pass_and_after_an_error() -> None:
    model = plain()
    hooked = HookedStates(model, ["deep", "stem"])
    with hooked.capture() as outputs:
        model(torch.zeros(2, 3, 8, 8))
    assert [tuple(o.shape) for o in outputs] == [(2, 12, 2, 2), (2, 6, 4, 4)]
    with pytest.raises(RuntimeError), hooked.capture():
        model(torch.zeros(2, 9, 8, 8))
    assert not any(m._forward_hooks for m in model.modules())
