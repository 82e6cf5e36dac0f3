"""The score head against a slow float64 loop, in each of its eight forms."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sidelight.scorers.head import ScoreHead, is_constant

STEPS = list(itertools.product([True, False], repeat=3))


def by_hand(
    row: list[float], real: list[bool], steps: tuple[bool, bool, bool], gain: float, offset: float
) -> list[float]:
    """The head's formula for one sample, in Python floats (float64)."""
    relu, sigmoid, rescale = steps
    z = [max(v, 0.0) if relu else v for v in row]
    inside = [v for v, r in zip(z, real, strict=True) if r]
    if sigmoid:
        mean = sum(inside) / len(inside)
        variance = sum((v - mean) ** 2 for v in inside) / len(inside)
        z = [1 / (1 + math.exp(-(gain * (v - mean) / math.sqrt(variance + 1e-5) + offset))) for v in z]
    inside = [v for v, r in zip(z, real, strict=True) if r]
    if rescale:
        low, high = min(inside), max(inside)
        z = [(v - low) / (high - low) if high - low > 1e-6 else 0.0 for v in z]
    return [min(max(v, 0.0), 1.0) if r else 1.0 for v, r in zip(z, real, strict=True)]


def head(steps: tuple[bool, bool, bool], gain: float = 2.0, offset: float = 0.0) -> ScoreHead:
    made = ScoreHead(*steps)
    with torch.no_grad():
        made.gain.fill_(gain)
        made.offset.fill_(offset)
    return made


def batch(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    raw = 2 * torch.randn(4, 1, 5, 6, generator=generator)
    real = torch.rand(4, 1, 5, 6, generator=generator) > 0.3
    return raw, real


@pytest.mark.parametrize("steps", STEPS)
def test_each_form_equals_the_formula_by_hand(steps: tuple[bool, bool, bool]) -> None:
    raw, real = batch()
    scores = head(steps, 1.5, -0.3)(raw, real)
    assert scores.shape == raw.shape
    assert float(scores.min()) >= 0
    assert float(scores.max()) <= 1
    for got, row, mask in zip(scores.flatten(1), raw.flatten(1), real.flatten(1), strict=True):
        expected = by_hand(row.double().tolist(), mask.tolist(), steps, 1.5, -0.3)
        torch.testing.assert_close(got.double(), torch.tensor(expected).double(), rtol=1e-4, atol=2e-6)


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.floats(-1e4, 1e4, width=32), min_size=2, max_size=12),
    steps=st.sampled_from(STEPS),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_scores_stay_in_the_unit_interval_whatever_comes(
    values: list[float], steps: tuple[bool, bool, bool], dtype: torch.dtype
) -> None:
    raw = torch.tensor([values], dtype=dtype, requires_grad=True)
    scores = ScoreHead(*steps)(raw, torch.ones(1, len(values), dtype=torch.bool))
    assert bool(((scores >= 0) & (scores <= 1)).all())
    (scores * torch.arange(len(values))).sum().backward()
    assert raw.grad is not None
    assert bool(torch.isfinite(raw.grad).all())


@pytest.mark.parametrize("steps", [s for s in STEPS if s[2]])
def test_rescaling_spans_exactly_zero_to_one_over_the_real_features(steps: tuple[bool, bool, bool]) -> None:
    raw, real = batch(3)
    scores = head(steps)(raw, real)
    for row, mask in zip(scores, real, strict=True):
        assert float(row[mask].min()) == 0.0
        assert float(row[mask].max()) == 1.0


@pytest.mark.parametrize("value", [-3.0, 0.0, 5.0])
@pytest.mark.parametrize("steps", STEPS)
def test_a_constant_map_has_no_nan_in_value_or_gradient(steps: tuple[bool, bool, bool], value: float) -> None:
    made = ScoreHead(*steps)
    raw = torch.full((2, 1, 3, 3), value, requires_grad=True)
    real = torch.ones(2, 1, 3, 3, dtype=torch.bool)
    real[1, 0, 2] = False
    scores = made(raw, real)
    scores.sum().backward()
    assert raw.grad is not None
    assert bool(torch.isfinite(raw.grad).all())
    assert all(p.grad is None or bool(torch.isfinite(p.grad).all()) for p in made.parameters())
    assert is_constant(scores, real).tolist() == [True, True]
    if steps[2]:
        assert not scores[real].any()
    assert bool((scores[1, 0, 2] == 1).all())


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("junk", [0.0, 1e30, -1e30, float("inf"), float("nan")])
def test_padding_scores_one_and_moves_nothing(steps: tuple[bool, bool, bool], junk: float) -> None:
    raw, _ = batch(5)
    raw = raw.flatten(1)[:, :10].clone()
    real = torch.arange(10).expand(4, 10) < torch.tensor([10, 7, 4, 2]).unsqueeze(1)
    made = head(steps)
    alone = [
        made(row[mask].unsqueeze(0), mask[mask].unsqueeze(0))[0] for row, mask in zip(raw, real, strict=True)
    ]

    padded = raw.masked_fill(~real, junk).requires_grad_()
    together = made(padded, real)

    for row, mask, expected in zip(together, real, alone, strict=True):
        torch.testing.assert_close(row[mask], expected, rtol=1e-5, atol=1e-6)
        assert bool((row[~mask] == 1).all())
    together[real].square().sum().backward()
    assert padded.grad is not None
    assert bool(torch.isfinite(padded.grad).all())
    assert not padded.grad[~real].any()


@pytest.mark.parametrize("steps", STEPS)
def test_a_map_does_not_depend_on_its_batch(steps: tuple[bool, bool, bool]) -> None:
    raw, real = batch(7)
    made = head(steps)
    together = made(raw, real)
    for i in range(len(raw)):
        torch.testing.assert_close(
            made(raw[i : i + 1], real[i : i + 1])[0], together[i], rtol=1e-6, atol=1e-7
        )


def test_a_sample_without_features_is_all_ones_and_finite() -> None:
    raw = torch.randn(2, 4, requires_grad=True)
    real = torch.tensor([[True] * 4, [False] * 4])
    scores = ScoreHead()(raw, real)
    scores.sum().backward()
    assert bool((scores[1] == 1).all())
    assert raw.grad is not None
    assert bool(torch.isfinite(raw.grad).all())


def test_relu_makes_a_floor_of_exact_background() -> None:
    raw = torch.tensor([[-5.0, -1.0, 0.0, 1.0, 4.0]])
    scores = ScoreHead()(raw, torch.ones(1, 5, dtype=torch.bool))[0]
    assert scores[:3].tolist() == [0.0, 0.0, 0.0]
    assert 0 < float(scores[3]) < float(scores[4]) == 1.0


def test_without_the_sigmoid_gain_and_offset_are_not_trained() -> None:
    assert [p.requires_grad for p in ScoreHead(sigmoid=False).parameters()] == [False, False]
    assert [p.requires_grad for p in ScoreHead().parameters()] == [True, True]


def test_without_standardising_the_sigmoid_sees_raw_scores_as_they_are() -> None:
    raw = torch.tensor([[-30.0, -1.0, 0.0, 7.0]])
    real = torch.ones(1, 4, dtype=torch.bool)
    plain = ScoreHead(relu=False, rescale=False, standardise=False)
    torch.testing.assert_close(plain(raw, real), torch.sigmoid(raw))
    assert not any(p.requires_grad for p in plain.parameters())
    # the mean of a mask can be small, which standardised scores make hard
    assert float(plain(raw - 30, real).mean()) < 1e-9


def test_is_constant_looks_at_real_features_only() -> None:
    scores = torch.tensor([[0.2, 0.2, 1.0], [0.2, 0.3, 1.0], [0.2, 0.2 + 1e-7, 1.0]])
    real = torch.tensor([[True, True, False]]).expand(3, 3)
    assert is_constant(scores, real).tolist() == [True, False, True]


@pytest.mark.parametrize("steps", [s for s in STEPS if s[0]])
def test_an_empty_map_passes_the_gradient_of_its_scores(steps: tuple[bool, bool, bool]) -> None:
    """Only where nothing is left, and only to what is real; the values are those of the formula."""
    head = ScoreHead(*steps)
    raw = torch.tensor([[-1.0, -2.0, -0.5, 9.0], [-1.0, 2.0, 0.5, 9.0]], requires_grad=True)
    real = torch.tensor([[True, True, True, False]] * 2)
    weight = torch.tensor([[3.0, -2.0, 0.5, 7.0]] * 2)
    scores = head(raw, real)
    wanted = [by_hand(r, m, steps, 2.0, 0.0) for r, m in zip(raw.tolist(), real.tolist(), strict=True)]
    assert scores.tolist() == [pytest.approx(w, abs=1e-6) for w in wanted]
    (gradient,) = torch.autograd.grad((weight * scores).sum(), raw)
    assert gradient[0].tolist() == [3.0, -2.0, 0.5, 0.0]
    assert gradient[1, 0] == 0  # a floor beside live scores stays a floor


@pytest.mark.parametrize("needed", [True, False])
def test_training_calls_an_empty_map_back_where_its_evidence_is_missed(needed: bool) -> None:
    head, raw = ScoreHead(), torch.nn.Parameter(torch.tensor([[-1.0, -1.2, -1.1, -1.3]]))
    optimiser = torch.optim.SGD([raw], lr=0.2)
    for _ in range(40):
        scores = head(raw, torch.ones(1, 4, dtype=torch.bool))
        missed = (1 - scores[0, 2]) ** 2 if needed else 0.0
        optimiser.zero_grad()
        (missed + scores.mean() ** 2).backward()
        optimiser.step()
    assert scores.detach().round().tolist() == [[0.0, 0.0, float(needed), 0.0]]
