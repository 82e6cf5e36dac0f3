"""Metrics on numbers: by hand, by slow loops, and against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import entropy as scipy_entropy
from sklearn.metrics import average_precision_score, f1_score, jaccard_score

from sidelight.errors import InputError, UnknownNameError
from sidelight.lab import metrics as m
from sidelight.lab.metrics import METRICS

NAMES = [
    "average_drop",
    "average_drop_relative",
    "increase_in_confidence",
    "deletion_auc",
    "insertion_auc",
    "sufficiency",
    "comprehensiveness",
    "srg",
    "flip_share",
    "complexity",
    "sparsity",
    "mean_score",
    "area",
    "entropy",
    "iou",
    "f1",
    "auprc",
    "pointing_game",
]
#: asked of a judge (tests/lab/metrics/test_judged.py)
JUDGED = ["fidelity_plus", "fidelity_minus", "single_deletion", "single_deletion_rank"]
few = settings(max_examples=40, deadline=None)


def maps(values: st.SearchStrategy[float]) -> st.SearchStrategy[np.ndarray]:
    shapes = st.tuples(st.integers(1, 4), st.integers(2, 12))
    return shapes.flatmap(lambda s: hnp.arrays(np.float32, s, elements=values))


unit = st.floats(0, 1, width=32)
coarse = st.sampled_from([-1.0, 0.0, 0.5, 1.0])


def test_registry_names_directions_and_needs() -> None:
    assert set(METRICS) == {*NAMES, *JUDGED}
    assert {n for n, e in METRICS.items() if e.judged} == set(JUDGED)
    lower = {
        "average_drop",
        "average_drop_relative",
        "deletion_auc",
        "sufficiency",
        "complexity",
        "mean_score",
        "area",
        "entropy",
        "flip_share",
        "fidelity_minus",
    }
    assert {n for n, e in METRICS.items() if e.direction == "lower"} == lower
    rationale = {"iou", "f1", "auprc", "pointing_game"}
    free = {"complexity", "sparsity", "mean_score", "area", "entropy"} | rationale
    assert {n for n, e in METRICS.items() if not e.needs_fill} == free
    assert {n for n, e in METRICS.items() if e.needs_truth} == rationale
    one_pass = {"average_drop", "average_drop_relative", "increase_in_confidence"}
    assert {n for n, e in METRICS.items() if e.one_pass} == free | one_pass
    assert all(e.doc and "\n" not in e.doc for _, e in METRICS.items())
    with pytest.raises(UnknownNameError, match="deletion_auc"):
        METRICS["deletion"]


def test_confidence_metrics_by_hand() -> None:
    p, masked = torch.tensor([0.8, 0.5, 0.2]), torch.tensor([0.6, 0.9, 0.2])
    torch.testing.assert_close(m.average_drop(p, masked), torch.tensor([0.2, 0.0, 0.0]))
    torch.testing.assert_close(m.average_drop_relative(p, masked), torch.tensor([0.25, 0.0, 0.0]))
    assert m.increase_in_confidence(p, masked).tolist() == [0.0, 1.0, 0.0]
    areas = torch.tensor([[0.8, 0.4], [0.5, 0.1], [0.2, 0.2]])
    torch.testing.assert_close(m.sufficiency(p, areas), torch.tensor([0.2, 0.2, 0.0]))
    torch.testing.assert_close(m.comprehensiveness(p, areas), torch.tensor([0.2, 0.2, 0.0]))


def test_rounding_is_no_rise_in_confidence() -> None:
    p = torch.tensor([0.7])
    assert m.increase_in_confidence(p, p + 1e-7).item() == 0


def test_relative_drop_of_a_vanishing_confidence_is_finite() -> None:
    assert m.average_drop_relative(torch.zeros(1), torch.zeros(1)).item() == 0


def test_the_share_until_the_verdict_flips_by_hand() -> None:
    shares = torch.tensor([0.0, 0.1, 0.4, 1.0])
    stands = torch.tensor(
        [
            [1.0, 1.0, 0.0, 0.0],  # falls at the second step
            [1.0, 0.0, 1.0, 0.0],  # falls, comes back, and falls again: the first time counts
            [1.0, 1.0, 1.0, 1.0],  # never falls
            [1.0, 0.5, 0.4, 0.0],  # of tied orders most must fall
        ]
    )
    found = m.flip_share(stands, shares)
    torch.testing.assert_close(found, torch.tensor([0.4, 0.1, 1.0, 0.4]))
    # every sample may have steps of its own
    own = torch.tensor([[0.0, 0.5, 1.0], [0.0, 0.2, 1.0]])
    lost = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 1.0]])
    torch.testing.assert_close(m.flip_share(lost, own), torch.tensor([0.5, 0.2]))


def test_area_on_uneven_shares_by_hand() -> None:
    p = torch.tensor([[1.0, 0.5, 0.0]])
    shares = torch.tensor([[0.0, 0.2, 1.0]])
    assert m.deletion_auc(p, shares).item() == pytest.approx(0.2 * 0.75 + 0.8 * 0.25)


def test_area_refuses_shapes_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="shares must have the shape"):
        m.area_under_curve(torch.zeros(2, 3), torch.zeros(4))


@few
@given(unit, st.integers(1, 30))
def test_area_of_a_constant_confidence_is_that_confidence(p: float, steps: int) -> None:
    curve = torch.full((2, steps + 1), p)
    area = m.insertion_auc(curve, torch.linspace(0, 1, steps + 1))
    torch.testing.assert_close(area, curve[:, 0])


@few
@given(maps(unit))
def test_areas_lie_in_the_range_of_their_curve(p: np.ndarray) -> None:
    curve = torch.from_numpy(p)
    area = m.deletion_auc(curve, torch.linspace(0, 1, curve.shape[1]))
    assert bool((area >= curve.amin(1) - 1e-6).all())
    assert bool((area <= curve.amax(1) + 1e-6).all())
    assert bool((m.srg(area, area) == 0).all())


@few
@given(maps(st.floats(-(2.0**100), 2.0**100, width=32)))
def test_min_max_spans_the_unit_interval(values: np.ndarray) -> None:
    scaled = m.min_max(torch.from_numpy(values)).numpy()
    for row, raw in zip(scaled, values.astype(np.float64), strict=True):
        span = raw.max() - raw.min()
        expected = (raw - raw.min()) / span if span > 0 else (raw > 0).astype(float)
        np.testing.assert_allclose(row, expected, atol=1e-6)


def test_min_max_ignores_unreal_features_and_survives_constants() -> None:
    values = torch.tensor([[1.0, 3.0, 99.0], [2.0, 2.0, -7.0], [0.0, 0.0, 5.0], [-1.0, -1.0, 0.0]])
    real = torch.tensor([[True, True, False]]).expand(4, 3)
    assert m.min_max(values, real).tolist() == [[0, 1, 0], [1, 1, 0], [0, 0, 0], [0, 0, 0]]


@few
@given(maps(unit), st.integers(0, 2**16))
def test_compactness_against_loops_and_under_permutation(values: np.ndarray, seed: int) -> None:
    mask = torch.from_numpy(values)
    for row, size, peak, mean in zip(
        values.astype(np.float64), m.complexity(mask), m.sparsity(mask), m.mean_score(mask), strict=True
    ):
        assert float(size) == pytest.approx(math.sqrt(sum(v * v for v in row)), abs=1e-5)
        assert float(mean) == pytest.approx(sum(row) / len(row), abs=1e-6)
        if row.max() > 1e-30:
            assert float(peak) == pytest.approx(row.max() * len(row) / sum(row), rel=1e-4)
    order = np.random.default_rng(seed).permutation(values.shape[1])
    torch.testing.assert_close(m.complexity(mask[:, order]), m.complexity(mask))
    torch.testing.assert_close(m.sparsity(mask[:, order]), m.sparsity(mask))


def test_compactness_counts_real_features_only() -> None:
    mask = torch.tensor([[1.0, 0.0, 1.0]])
    real = torch.tensor([[True, True, False]])
    assert m.complexity(mask, real).item() == 1
    assert m.sparsity(mask, real).item() == 2
    assert m.mean_score(mask, real).item() == 0.5
    assert m.sparsity(torch.zeros(1, 3)).item() == 1  # singles nothing out


@few
@given(maps(unit), st.integers(0, 2**16))
def test_area_and_entropy_against_loops_and_scipy(values: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    real = rng.random(values.shape) > 0.3
    real[:, 0] = True
    mask, flags = torch.from_numpy(values), torch.from_numpy(real)
    for row, flag, area, spread in zip(
        values, real, m.area(mask, flags).tolist(), m.entropy(mask, flags).tolist(), strict=True
    ):
        own = row[flag].astype(np.float64)
        assert area == pytest.approx(sum(v > 0.5 for v in own) / len(own), abs=1e-6)
        known = len(own) > 1 and own.sum() > 0
        expected = scipy_entropy(own) / math.log(len(own)) if known else 1.0
        assert spread == pytest.approx(expected, abs=1e-5)
        assert 0 <= spread <= 1
    order = rng.permutation(values.shape[1])
    torch.testing.assert_close(m.entropy(mask[:, order], flags[:, order]), m.entropy(mask, flags))


def test_entropy_of_what_singles_nothing_out_is_one_and_of_a_single_feature_zero() -> None:
    mask = torch.tensor([[0.0, 0, 0, 0], [1, 1, 1, 1], [0.3, 0.3, 0.3, 0.3], [0, 0, 1, 0], [0.5, 0.5, 0, 0]])
    assert m.entropy(mask).tolist() == pytest.approx([1, 1, 1, 0, 0.5])
    one = torch.tensor([[True, False, False, False]])
    assert m.entropy(mask, one.expand(5, 4)).tolist() == [1] * 5
    assert m.entropy(mask[:1, :1]).item() == 1
    # padding counts neither as a score nor as a feature
    real = torch.tensor([[True, True, False, False]])
    assert m.entropy(torch.tensor([[1.0, 1.0, 9.0, 9.0]]), real).item() == 1


def test_area_is_strict_about_its_threshold() -> None:
    mask = torch.tensor([[0.5, 0.51, 1.0, 0.0]])
    assert m.area(mask).item() == 0.5
    assert m.area(mask, torch.tensor([[True, True, False, False]])).item() == 0.5
    assert m.area(mask, threshold=0.6).item() == 0.25
    assert m.area(torch.zeros(1, 3)).item() == 0


@few
@given(maps(unit), st.integers(0, 2**16))
def test_f1_is_scikit_learns(values: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, real = rng.random(values.shape) > 0.5, rng.random(values.shape) > 0.2
    got = m.f1(torch.from_numpy(values), torch.from_numpy(truth), torch.from_numpy(real), threshold=0.4)
    for row, scores, answer, flag in zip(got.tolist(), values, truth, real, strict=True):
        if (answer & flag).any():
            expected = f1_score(answer[flag], scores[flag] >= np.float32(0.4), zero_division=0)
            assert row == pytest.approx(expected, abs=1e-6)
        else:
            assert math.isnan(row)


@few
@given(maps(coarse), st.integers(0, 2**16))
def test_auprc_is_scikit_learns_average_precision(values: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, real = rng.random(values.shape) > 0.6, rng.random(values.shape) > 0.2
    got = m.auprc(torch.from_numpy(values), torch.from_numpy(truth), torch.from_numpy(real)).numpy()
    for row, scores, answer, flag in zip(got, values, truth, real, strict=True):
        if (answer & flag).any():
            assert row == pytest.approx(average_precision_score(answer[flag], scores[flag]), abs=1e-6)
        else:
            assert math.isnan(row)


@few
@given(maps(unit), st.integers(0, 2**16))
def test_iou_is_scikit_learns_jaccard_index(values: np.ndarray, seed: int) -> None:
    truth = np.random.default_rng(seed).random(values.shape) > 0.5
    got = m.iou(torch.from_numpy(values), torch.from_numpy(truth), threshold=0.4).numpy()
    for row, scores, answer in zip(got, values, truth, strict=True):
        if answer.any():
            assert row == pytest.approx(jaccard_score(answer, scores >= np.float32(0.4)), abs=1e-6)
        else:
            assert math.isnan(row)


def test_pointing_game_shares_ties_by_expectation() -> None:
    order = torch.tensor([[3.0, 1.0, 3.0, 9.0], [5.0, 1.0, 0.0, 9.0], [1.0, 1.0, 1.0, 9.0]])
    truth = torch.tensor(
        [[True, False, False, True], [True, True, False, False], [False, False, False, True]]
    )
    real = torch.tensor([[True, True, True, False]]).expand(3, 4)
    got = m.pointing_game(order, truth, real)
    assert got[:2].tolist() == [0.5, 1.0]
    assert bool(got[2].isnan())
