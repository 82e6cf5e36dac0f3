"""Every metric against an independent implementation, on random cases with ties and padding.

References are scikit-learn, Quantus, scipy, or the formula in float64 and plain Python. What the engine
makes of tied features is held against every order that the ties allow.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import trapezoid
from scipy.stats import entropy as scipy_entropy
from scipy.stats import spearmanr
from sklearn.metrics import auc, average_precision_score, f1_score, jaccard_score

from sidelight.inputs.base import Batch
from sidelight.lab.evaluation.engine import evaluate_batch
from sidelight.lab.evaluation.settings import EvalSettings
from sidelight.lab.metrics import METRICS
from sidelight.lab.metrics.base import Evidence
from toy_targets import pixel_toy

#: one sample: real features only, float64
Case = dict[str, np.ndarray]
NAN = float("nan")


def _area(p: np.ndarray, shares: np.ndarray) -> float:
    return float(trapezoid(p, shares))


def _region(c: Case) -> np.ndarray:
    return c["mask"] >= 0.5


def _drop(c: Case) -> float:
    return max(0.0, float(c["clean"] - c["masked"]))


def _sparsity(c: Case) -> float:
    return float(c["mask"].max() / c["mask"].mean()) if c["mask"].any() else 1.0


def _entropy(c: Case) -> float:
    n = len(c["mask"])
    return float(scipy_entropy(c["mask"]) / math.log(n)) if n > 1 and c["mask"].any() else 1.0


def _pointing(c: Case) -> float:
    top = [bool(t) for v, t in zip(c["order"], c["truth"], strict=True) if v == max(c["order"])]
    return sum(top) / len(top)


def _flip(c: Case) -> float:
    lost = [float(share) for share, stands in zip(c["shares"], c["verdict"], strict=True) if stands < 0.5]
    return min(lost, default=1.0)


def _single(c: Case, read: str = "worth") -> float:
    worth, drops = c[read], c["drops"]
    return float(spearmanr(worth, drops).statistic) if len({*worth}) > 1 and len({*drops}) > 1 else NAN


REFERENCES: dict[str, Callable[[Case], float]] = {
    "average_drop": _drop,
    "average_drop_relative": lambda c: _drop(c) / float(c["clean"]),
    "increase_in_confidence": lambda c: float(c["masked"] - c["clean"] > 1e-6),
    "deletion_auc": lambda c: float(auc(c["shares"], c["deletion"])),
    "insertion_auc": lambda c: float(auc(c["shares"], c["insertion"])),
    "srg": lambda c: _area(c["insertion"] - c["deletion"], c["shares"]),
    "flip_share": _flip,
    "sufficiency": lambda c: float(np.mean([c["clean"] - p for p in c["kept"]])),
    "comprehensiveness": lambda c: float(np.mean([c["clean"] - p for p in c["removed"]])),
    "fidelity_plus": lambda c: float(np.mean([c["judge"] - p for p in c["without_top"]])),
    "fidelity_minus": lambda c: float(np.mean([c["judge"] - p for p in c["without_rest"]])),
    "single_deletion": _single,
    "single_deletion_rank": lambda c: _single(c, "rank"),
    "complexity": lambda c: math.sqrt(math.fsum(v * v for v in c["mask"])),
    "sparsity": _sparsity,
    "mean_score": lambda c: float(np.mean(c["mask"])),
    "area": lambda c: float(np.mean(c["mask"] > 0.5)),
    "entropy": _entropy,
    "iou": lambda c: float(jaccard_score(c["truth"], _region(c))),
    "f1": lambda c: float(f1_score(c["truth"], _region(c), zero_division=0)),
    "auprc": lambda c: float(average_precision_score(c["truth"], c["order"])),
    "pointing_game": _pointing,
}


def evidence(seed: int, samples: int, features: int, steps: int, levels: int) -> Evidence:
    """Random evidence; scores and confidences take few values, so that ties abound."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.from_numpy((rng.integers(0, levels + 1, shape) / levels).astype(np.float32))

    real = torch.from_numpy(rng.random((samples, features)) > 0.25)
    real[:, 0] = True
    mask = draw(samples, features).masked_fill(~real, 0.0)
    inner = np.sort(rng.random((samples, steps - 1)), 1)
    shares = np.concatenate([np.zeros((samples, 1)), inner, np.ones((samples, 1))], 1)
    return Evidence(
        mask=mask,
        order=draw(samples, features) - 0.5,
        real=real,
        clean=draw(samples).clamp(min=0.1),
        truth=torch.from_numpy(rng.random((samples, features)) > 0.6),
        masked=draw(samples),
        shares=torch.from_numpy(shares),
        deletion=draw(samples, steps + 1),
        insertion=draw(samples, steps + 1),
        removed=draw(samples, 5),
        kept=draw(samples, 5),
        verdict=draw(samples, steps + 1),
        judge=draw(samples),
        without_top=draw(samples, 3),
        without_rest=draw(samples, 3),
        worth=draw(samples, 6),
        rank=draw(samples, 6),
        drops=draw(samples, 6),
        measured=torch.from_numpy(rng.random((samples, 6)) > 0.3) | (torch.arange(6) == 0),
    )


def cases(e: Evidence) -> list[Case]:
    """The same as float64, sample by sample, without what is not real."""
    per_feature = ("mask", "order", "truth")
    found = []
    for row, real in enumerate(e.real.numpy()):
        case = {n: getattr(e, n)[row].numpy()[real] for n in per_feature}
        others = ("clean", "masked", "shares", "deletion", "insertion", "removed", "kept", "verdict")
        judged = ("judge", "without_top", "without_rest")
        case |= {n: getattr(e, n)[row].numpy() for n in (*others, *judged)}
        case |= {n: getattr(e, n)[row][e.measured[row]].numpy() for n in ("worth", "rank", "drops")}
        found.append({n: v if v.dtype == bool else v.astype(np.float64) for n, v in case.items()})
    return found


def test_no_metric_is_without_a_reference() -> None:
    assert REFERENCES.keys() == set(METRICS)


@pytest.mark.parametrize("name", REFERENCES)
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**16), st.integers(1, 4), st.integers(1, 30), st.integers(1, 12), st.integers(1, 7))
def test_a_metric_equals_its_reference(
    name: str, seed: int, samples: int, features: int, steps: int, levels: int
) -> None:
    e = evidence(seed, samples, features, steps, levels)
    got = METRICS[name].compute(e).tolist()
    for value, case in zip(got, cases(e), strict=True):
        if METRICS[name].needs_truth and not case["truth"].any():
            assert math.isnan(value)
        else:
            assert value == pytest.approx(REFERENCES[name](case), rel=1e-6, abs=1e-6, nan_ok=True)


def test_compactness_and_pointing_are_quantus_where_it_has_them() -> None:
    """Quantus knows neither padding nor expectation over ties, so maps here have distinct scores."""
    quantus = pytest.importorskip("quantus")
    rng = np.random.default_rng(4)
    raw = (rng.permuted(np.arange(1, 36) / 35, axis=None)[None] * [[1.0], [0.5], [0.9]]).reshape(3, 1, 5, 7)
    truth = rng.random((3, 1, 5, 7)) > 0.5
    plain = {"abs": False, "normalise": False, "disable_warnings": True}
    asked = {"model": None, "x_batch": raw, "y_batch": np.zeros(3, dtype=int), "device": "cpu"}
    mask, flags = (torch.from_numpy(t).flatten(1) for t in (raw, truth))
    real = torch.ones_like(flags)
    e = Evidence(mask, mask, real, torch.ones(3), truth=flags)
    got = {n: METRICS[n].compute(e).numpy() for n in ("entropy", "area", "pointing_game")}
    entropy = quantus.Complexity(**plain)(a_batch=raw.copy(), **asked)
    np.testing.assert_allclose(got["entropy"] * math.log(35), entropy, atol=1e-6)
    lit = quantus.EffectiveComplexity(eps=0.5, **plain)(a_batch=raw.copy(), **asked)
    np.testing.assert_allclose(got["area"] * 35, lit, atol=1e-6)
    hit = quantus.PointingGame(**plain)(a_batch=raw.copy(), s_batch=truth, **asked)
    np.testing.assert_allclose(got["pointing_game"], np.array(hit, dtype=float), atol=1e-6)


def curve_values(contributions: np.ndarray, order: tuple[int, ...], steps: int) -> dict[str, float]:
    """Every metric of an order, for a target with ``p = sigmoid(|Σ|)`` of the class of the sum; float64."""
    sign, n = (1.0 if contributions.sum() > 0 else -1.0), len(order)

    def p(kept: tuple[int, ...]) -> float:
        return 1 / (1 + math.exp(-sign * math.fsum(contributions[list(kept)])))

    counts = [math.floor(k * n / steps + 0.5) for k in range(steps + 1)]
    shares = np.array(counts) / n
    deletion, insertion = [p(order[c:]) for c in counts], [p(order[:c]) for c in counts]
    tops = [max(1, math.floor(a * n + 0.5)) for a in (0.01, 0.05, 0.1, 0.2, 0.5)]
    areas = {
        "deletion_auc": _area(np.array(deletion), shares),
        "insertion_auc": _area(np.array(insertion), shares),
    }
    return areas | {
        "srg": areas["insertion_auc"] - areas["deletion_auc"],
        "sufficiency": p(order) - float(np.mean([p(order[:c]) for c in tops])),
        "comprehensiveness": p(order) - float(np.mean([p(order[c:]) for c in tops])),
    }


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**16), st.integers(2, 5), st.integers(1, 8))
def test_an_order_with_ties_is_one_that_the_ties_allow(seed: int, levels: int, steps: int) -> None:
    """All metrics of a ranking belong to one and the same admissible order of six features."""
    target, inputs = pixel_toy((2, 3), seed=seed)
    scores = np.random.default_rng(seed).integers(0, levels, 6)
    options = EvalSettings(metrics=list(curve_values(np.ones(6), (0, 1, 2, 3, 4, 5), 1)), steps=steps)
    raw = torch.from_numpy(scores.astype(np.float32)).view(1, 1, 2, 3)
    result = evaluate_batch(
        target, Batch(inputs, [seed]), {"image": raw}, method="m", signed=False, settings=options
    )
    got = {r["metric"]: r["value"] for r in result.rows}
    weighed = (target.model.image * inputs["image"]).flatten().double().numpy()
    allowed = [o for o in itertools.permutations(range(6)) if all(np.diff(scores[list(o)]) <= 0)]
    assert any(
        all(got[m] == pytest.approx(v, abs=1e-6) for m, v in curve_values(weighed, order, steps).items())
        for order in allowed
    )


def test_the_mean_over_tie_draws_is_the_mean_over_admissible_orders() -> None:
    target, inputs = pixel_toy((2, 3), seed=3)
    scores = np.array([2, 1, 1, 1, 0, 0])
    raw = torch.from_numpy(scores.astype(np.float32)).view(1, 1, 2, 3)
    options = EvalSettings(metrics=["deletion_auc", "insertion_auc", "srg"], steps=6, tie_draws=600)
    result = evaluate_batch(
        target, Batch(inputs, [1]), {"image": raw}, method="m", signed=False, settings=options
    )
    weighed = (target.model.image * inputs["image"]).flatten().double().numpy()
    allowed = [o for o in itertools.permutations(range(6)) if all(np.diff(scores[list(o)]) <= 0)]
    assert len(allowed) == 12
    every = [curve_values(weighed, order, 6) for order in allowed]
    for row in result.rows:
        values = np.array([v[row["metric"]] for v in every])
        # five standard errors of a mean over 600 draws
        assert row["value"] == pytest.approx(values.mean(), abs=5 * values.std() / math.sqrt(600) + 1e-6)
