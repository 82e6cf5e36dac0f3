"""Means, intervals, the better reduction, paired tests, and seeds beside samples."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import bootstrap, wilcoxon

from sidelight.errors import InputError
from sidelight.lab.metrics.statistics import (
    better_reduction,
    bootstrap_ci,
    holm,
    mean_curves,
    paired_tests,
    select_reductions,
    summarise,
)


def rows(values, method="m", metric="deletion_auc", reduction="none", **more) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "sample": range(len(values)),
            "modality": "image",
            "method": method,
            "reduction": reduction,
            "fill": "zero",
            "granularity": "pixel",
            "metric": metric,
            "value": values,
            **more,
        }
    )


def test_interval_agrees_with_scipys_percentile_bootstrap() -> None:
    data = np.random.default_rng(0).exponential(size=80)
    lo, hi = bootstrap_ci(data, draws=20_000)
    want = bootstrap((data,), np.mean, n_resamples=20_000, method="percentile", rng=1).confidence_interval
    assert (lo, hi) == pytest.approx((want.low, want.high), abs=0.02)
    assert bootstrap_ci(data) == bootstrap_ci(data)


def test_interval_of_columns_is_that_of_each() -> None:
    data = np.random.default_rng(0).normal(size=(30, 3))
    lo, hi = bootstrap_ci(data)
    assert (lo[1], hi[1]) == pytest.approx(bootstrap_ci(data[:, 1]))
    with pytest.raises(InputError, match="n >= 1"):
        bootstrap_ci([])


def test_summary_leaves_undefined_values_out() -> None:
    line = summarise(rows([1.0, 2.0, 3.0, np.nan]), dataset="d").iloc[0]
    assert (line["dataset"], line["mean"], line["sd"], line["n"]) == ("d", 2.0, 1.0, 3)
    assert line["ci95"][0] < 2 < line["ci95"][1]
    assert (line["seeds"], np.isnan(line["seed_sd"])) == (1, True)


def test_one_sample_has_neither_a_deviation_nor_an_interval() -> None:
    line = summarise(rows([2.0]), dataset="d").iloc[0]
    assert (line["mean"], line["n"]) == (2.0, 1)
    assert np.isnan([line["sd"], *line["ci95"]]).all()
    lo, hi = bootstrap_ci([[1.0, 2.0]])
    assert lo.shape == hi.shape == (2,)
    assert np.isnan([lo, hi]).all()


def test_spread_over_seeds_is_kept_apart_from_spread_over_samples() -> None:
    table = pd.concat(
        [rows([0.0, 2.0], seed=0), rows([1.0, 3.0], seed=1), rows([5.0, 6.0], "rival", seed=None)]
    )
    summary = summarise(table).set_index("method")
    own = summary.loc["m"]
    assert (own["mean"], own["n"], own["seeds"]) == (1.5, 2, 2)
    assert own["sd"] == pytest.approx(np.std([0.5, 2.5], ddof=1))
    assert own["seed_sd"] == pytest.approx(np.std([1.0, 2.0], ddof=1))
    assert summary.loc["rival", "seeds"] == 1


def test_better_reduction_follows_the_direction_of_each_metric() -> None:
    table = pd.concat(
        [
            rows([0.2, 0.2], metric="deletion_auc", reduction="abs"),
            rows([0.1, 0.1], metric="deletion_auc", reduction="positive"),
            rows([0.2, 0.2], metric="insertion_auc", reduction="abs"),
            rows([0.1, 0.1], metric="insertion_auc", reduction="positive"),
            rows([0.3, 0.3], method="plain"),
        ]
    )
    chosen = better_reduction(summarise(table))
    found = {(r["method"], r["metric"]): r["reduction"] for _, r in chosen.iterrows()}
    assert found == {
        ("m", "deletion_auc"): "positive",
        ("m", "insertion_auc"): "abs",
        ("plain", "deletion_auc"): "none",
    }
    kept = select_reductions(table, chosen)
    assert len(kept) == 6
    assert set(kept.query("metric == 'insertion_auc'")["value"]) == {0.2}


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert len(holm([])) == 0


def test_paired_tests_pair_by_sample_and_know_the_direction() -> None:
    rng = np.random.default_rng(0)
    own, near = rng.random(40), rng.random(40)
    far = own + 0.2 + 0.01 * rng.random(40)
    table = pd.concat(
        [rows(own), rows(far, "far").sample(frac=1, random_state=0), rows(near, "near"), rows(own, "same")]
    )
    tests = paired_tests(table, "m").set_index("method")
    assert tests.loc["far", "p"] == pytest.approx(wilcoxon(own, far).pvalue)
    assert tests.loc["far", "p_holm"] == pytest.approx(3 * wilcoxon(own, far).pvalue)
    assert bool(tests.loc["far", "better"])  # a lower deletion area favours the reference
    assert tests.loc["far", "difference"] == pytest.approx((own - far).mean())
    assert tests.loc["same", "p"] == 1
    with pytest.raises(InputError, match="no rows of reference"):
        paired_tests(table, "other")


def test_a_reference_with_two_reductions_must_choose() -> None:
    table = pd.concat([rows([1.0], reduction="abs"), rows([1.0], reduction="positive"), rows([1.0], "r")])
    with pytest.raises(InputError, match="2 reductions"):
        paired_tests(table, "m")


def test_mean_curves() -> None:
    keys = {"modality": "image", "method": "m", "reduction": "none", "fill": "zero", "granularity": "pixel"}
    table = pd.DataFrame([{"sample": i, **keys, "kind": "deletion", "p": [1.0, i / 9]} for i in range(10)])
    curve = mean_curves(table)
    assert curve["share"].tolist() == [0, 1]
    assert curve["mean"].tolist() == pytest.approx([1, 0.5])
    assert curve["lo"][0] == pytest.approx(1) == curve["hi"][0]
    assert curve["lo"][1] < 0.5 < curve["hi"][1]
    assert mean_curves(table.iloc[:0]).empty


def test_tables_without_the_needed_columns_are_refused() -> None:
    with pytest.raises(InputError, match="lacks column"):
        summarise(pd.DataFrame({"value": [1.0]}))
