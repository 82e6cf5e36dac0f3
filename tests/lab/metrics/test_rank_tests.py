"""Effect sizes, average ranks and critical differences against published numbers and hand formulas."""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wilcoxon

from sidelight.errors import InputError, UnknownNameError
from sidelight.lab.metrics.rank_tests import (
    AverageRanks,
    average_ranks,
    case_means,
    case_ranks,
    critical_difference,
)
from sidelight.lab.metrics.statistics import paired_tests, rank_biserial

# Table 6 of Demšar (2006): ranks of C4.5, C4.5+m, C4.5+cf and C4.5+m+cf on 14 data sets
DEMSAR = [
    (4, 3, 2, 1),
    (1, 2, 3, 4),
    (4, 1, 2, 3),
    (4, 1, 3, 2),
    (4, 2, 3, 1),
    (1, 2.5, 4, 2.5),
    (3, 2, 4, 1),
    (2.5, 2.5, 4, 1),
    (4, 3, 2, 1),
    (2.5, 2.5, 2.5, 2.5),
    (4, 2.5, 1, 2.5),
    (3, 2, 4, 1),
    (4, 1, 2, 3),
    (3, 1, 4, 2),
]
# its Table 5: q of Nemenyi's test for 2 to 10 methods
Q05 = (1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164)
Q10 = (1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920)


def demsar() -> pd.DataFrame:
    index = pd.MultiIndex.from_tuples([("deletion_auc", i) for i in range(14)], names=["metric", "n"])
    return pd.DataFrame(DEMSAR, index=index, columns=["C4.5", "m", "cf", "m+cf"], dtype=float)


def rows(values, method, metric="deletion_auc", reduction="none", **more) -> pd.DataFrame:
    case = {"dataset": "d", "modality": "image", "granularity": "pixel", "fill": "zero", "metric": metric}
    own = {"sample": range(len(values)), "method": method, "reduction": reduction, "value": values}
    return pd.DataFrame({**case, **own, **more})


@pytest.mark.parametrize(("alpha", "table"), [(0.05, Q05), (0.10, Q10)])
def test_critical_difference_has_the_published_quantiles(alpha, table) -> None:
    for k, q in enumerate(table, start=2):
        # with 6 N = k (k + 1) the difference is q itself; N need not be whole for the formula
        cases = 1000
        found = critical_difference(k, cases, alpha) / np.sqrt(k * (k + 1) / (6 * cases))
        assert found == pytest.approx(q, abs=1.1e-3), k


def test_the_published_example() -> None:
    found = average_ranks(demsar())
    want = {"m+cf": 1.964, "m": 2.000, "cf": 2.893, "C4.5": 3.143}
    assert list(found.ranks) == list(want)
    assert found.ranks == pytest.approx(want, abs=5e-4)
    assert found.critical_difference == pytest.approx(1.25, abs=5e-3)
    assert (found.cases, found.samples, found.left_out) == (14, (0, 13), ())
    loose = average_ranks(demsar(), alpha=0.10)
    assert loose.critical_difference == pytest.approx(1.12, abs=5e-3)
    # there C4.5 differs from both with m, as the paper reads it
    assert loose.groups == [("m+cf", "m", "cf"), ("cf", "C4.5")]
    # and at 0.05 the test tells none apart
    assert found.groups == [("m+cf", "m", "cf", "C4.5")]


def test_friedman_by_hand() -> None:
    table = np.array(DEMSAR, dtype=np.float64)
    n, k = table.shape
    plain = 12 * n / (k * (k + 1)) * ((table.mean(0) - (k + 1) / 2) ** 2).sum()
    assert plain == pytest.approx(9.28, abs=5e-3)  # as published, ties not corrected for
    ties = sum(c**3 - c for row in table for c in np.unique(row, return_counts=True)[1])
    found = average_ranks(demsar())
    assert found.statistic == pytest.approx(plain / (1 - ties / (n * k * (k**2 - 1))))
    assert 0.01 < found.p < 0.05


def test_no_evidence_where_all_tie() -> None:
    found = average_ranks(demsar() * 0)
    assert (found.statistic, found.p) == (0.0, 1.0)
    assert set(found.ranks.values()) == {2.5}
    assert len(found.groups) == 1


def test_groups_are_the_longest_runs() -> None:
    def groups(difference: float) -> list[tuple[str, ...]]:
        ranks = {"a": 1.0, "b": 1.5, "c": 2.2, "d": 4.0}
        return AverageRanks(ranks, 9, (1, 1), 0, 1, difference, 0.05).groups

    assert groups(0.1) == []
    assert groups(0.8) == [("a", "b"), ("b", "c")]
    assert groups(1.3) == [("a", "b", "c")]
    assert groups(3.0) == [("a", "b", "c", "d")]


def test_ranks_follow_the_direction_and_ignore_rounding() -> None:
    index = pd.MultiIndex.from_tuples([("deletion_auc",), ("insertion_auc",)], names=["metric"])
    means = pd.DataFrame([[0.1, 0.1 + 1e-9, 0.3], [0.1, 0.2, np.nan]], index=index, columns=list("abc"))
    assert case_ranks(means).iloc[0].tolist() == [1.5, 1.5, 3]
    assert case_ranks(means).iloc[1].tolist()[:2] == [2, 1]
    assert np.isnan(case_ranks(means).iloc[1]["c"])


def test_case_means_compare_the_same_samples_in_the_better_reduction() -> None:
    table = pd.concat(
        [
            rows([0.0, 0.2, 0.4, 0.9], "ours", seed=0),
            rows([0.2, 0.4, 0.6, 0.9], "ours", seed=1),
            rows([0.5, 0.7, np.nan, 0.9], "rival", reduction="abs"),
            rows([0.1, 0.1, 0.1], "rival", reduction="positive"),
            rows([0.5, 0.7], "rival", "insertion_auc", reduction="abs"),
            rows([0.1, 0.1], "rival", "insertion_auc", reduction="positive"),
            rows([0.3, 0.3], "ours", "insertion_auc"),
            rows([1.0], "ours", "complexity"),
        ]
    )
    means = case_means(table)
    assert means.index.get_level_values("metric").tolist() == ["deletion_auc", "insertion_auc"]
    assert means.index.get_level_values("n").tolist() == [2, 2]  # only samples 0 and 1 have everything
    assert means.iloc[0].to_dict() == pytest.approx({"ours": 0.2, "rival": 0.1})
    assert means.iloc[1].to_dict() == pytest.approx({"ours": 0.3, "rival": 0.6})
    assert len(case_means(table, ["complexity"])) == 1
    assert case_means(table, ["srg"]).empty


def test_methods_that_a_case_lacks_are_named() -> None:
    means = demsar()
    means.loc[("deletion_auc", 3), "cf"] = np.nan
    found = average_ranks(means)
    assert found.left_out == ("cf",)
    assert found.critical_difference == pytest.approx(critical_difference(3, 14))
    with pytest.raises(InputError, match="three methods"):
        average_ranks(means[["m", "cf", "m+cf"]])
    with pytest.raises(InputError, match="two cases"):
        average_ranks(means.iloc[:1])


def test_bad_input_is_refused() -> None:
    for bad in ((1, 5, 0.05), (3, 0, 0.05), (3, 5, 1.0)):
        with pytest.raises(InputError, match="critical difference"):
            critical_difference(*bad)
    with pytest.raises(InputError, match=r"lack column.*dataset"):
        case_means(rows([1.0], "a").drop(columns="dataset"))
    with pytest.raises(UnknownNameError):
        case_means(rows([1.0], "a"), ["deletion_auk"])


# -- effect size of the paired tests -------------------------------------------------------


def test_effect_size_agrees_with_scipy_and_with_walsh_averages() -> None:
    d = np.random.default_rng(0).normal(0.3, 1, size=25)
    total = len(d) * (len(d) + 1) / 2
    w = wilcoxon(d, alternative="greater").statistic
    assert rank_biserial(d) == pytest.approx(2 * w / total - 1)
    walsh = sum(np.sign(a + b) for a, b in combinations_with_replacement(d.tolist(), 2))
    assert rank_biserial(d) == pytest.approx(walsh / total)


def test_effect_size_by_hand() -> None:
    assert rank_biserial([1.0, 2.0, 3.0]) == 1
    assert rank_biserial([-1.0, -2.0]) == -1
    # ranks 1.5, 1.5, 3 after the zero is dropped: (1.5 + 3 - 1.5) / 6
    assert rank_biserial([1.0, -1.0, 0.0, 2.0]) == pytest.approx(0.5)
    assert rank_biserial([0.0, 0.0]) == 0
    assert np.isnan(rank_biserial([]))


def test_paired_tests_carry_effect_interval_and_seeds() -> None:
    rng = np.random.default_rng(1)
    own = rng.random(30)
    rival = own + 0.1 + 0.01 * rng.random(30)
    table = pd.concat(
        [rows(own - 0.05, "m", seed=0), rows(own + 0.3, "m", seed=1), rows(rival, "rival", seed=np.nan)]
    )
    line = paired_tests(table, "m").iloc[0]
    difference = (own + 0.125) - rival
    assert line["difference"] == pytest.approx(difference.mean())
    assert line["lo"] < line["difference"] < line["hi"]
    # a lower deletion area is better, so a positive difference counts against the reference
    assert line["effect"] == pytest.approx(-rank_biserial(difference))
    assert (line["seeds"], line["seeds_better"], line["n"]) == (2, 1, 30)


def test_small_p_values_survive_single_precision() -> None:
    values = np.random.default_rng(2).random(300).astype(np.float32)
    table = pd.concat([rows(values, "m"), rows(values + np.float32(0.5), "rival")])
    assert 0 < paired_tests(table, "m").iloc[0]["p"] < 1e-45
