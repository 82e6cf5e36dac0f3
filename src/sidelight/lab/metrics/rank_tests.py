"""Average ranks of methods over many cases: Friedman's test and Nemenyi's critical difference.

Source: J. Demšar, "Statistical comparisons of classifiers over multiple data sets",
JMLR 7 (2006). His cases are independent data sets. Our cases share samples if they come from one data set. The
critical difference is then smaller than it should be: it describes the cases at hand, and new data may differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import friedmanchisquare, rankdata, studentized_range

from sidelight.errors import InputError
from sidelight.lab.metrics.base import METRICS

#: the columns that identify one case
CASE = ("dataset", "modality", "granularity", "fill", "metric")
#: Faithfulness without repetition: the relative average drop repeats the average drop, and SRG is the insertion
#: minus the deletion area.
RANKED = (
    "average_drop",
    "increase_in_confidence",
    "deletion_auc",
    "insertion_auc",
    "sufficiency",
    "comprehensiveness",
)
#: means that agree to so many digits are equal: equal maps differ by rounding only
DIGITS = 6


@dataclass(frozen=True)
class AverageRanks:
    """Ranks of methods over cases, 1 for the best.

    Attributes:
        ranks: method to its average rank, best first.
        cases: how many cases.
        samples: fewest and most samples behind a case, or ``(0, 0)`` if unknown.
        statistic, p: of Friedman's test, corrected for ties.
        critical_difference: ranks further apart than this differ at level ``alpha`` (Nemenyi).
        alpha: level of that difference.
        left_out: methods that some case lacks.
    """

    ranks: dict[str, float]
    cases: int
    samples: tuple[int, int]
    statistic: float
    p: float
    critical_difference: float
    alpha: float
    left_out: tuple[str, ...] = ()

    @property
    def groups(self) -> list[tuple[str, ...]]:
        """Longest runs of two or more methods whose ranks are within the critical difference."""
        names, values = list(self.ranks), list(self.ranks.values())
        found: list[tuple[str, ...]] = []
        reached = 0
        for first, value in enumerate(values):
            last = sum(v <= value + self.critical_difference for v in values)
            if last - first > 1 and last > reached:  # a run inside an earlier one adds nothing
                found.append(tuple(names[first:last]))
            reached = max(reached, last)
        return found


def critical_difference(methods: int, cases: int, alpha: float = 0.05) -> float:
    """Nemenyi's critical difference of average ranks: ``q · sqrt(k (k + 1) / (6 N))``.

    ``q`` is the upper ``alpha`` quantile of the studentised range of ``k`` groups with
    infinite degrees of freedom, over the square root of 2.

    Args:
        methods: k, at least 2.
        cases: N, at least 1.
        alpha: level in (0, 1).

    Raises:
        InputError: an argument is out of range.
    """
    if methods < 2 or cases < 1 or not 0 < alpha < 1:
        raise InputError(
            f"a critical difference needs 2 or more methods, a case and a level in (0, 1); "
            f"got {methods}, {cases}, {alpha}."
        )
    q = float(studentized_range.isf(alpha, methods, np.inf)) / np.sqrt(2)
    return float(q * np.sqrt(methods * (methods + 1) / (6 * cases)))


def case_means(rows: pd.DataFrame, metrics: Sequence[str] = RANKED) -> pd.DataFrame:
    """Mean of every method in every case, over the samples that all its methods have in common.

    Each case takes the better reduction of a signed method. Seeds are averaged per sample first. Cases without a
    common sample are left out.

    Args:
        rows: per-sample rows with a ``dataset`` column.
        metrics: the metrics to keep. Those without rows are skipped.

    Returns:
        A line a case, indexed by dataset, modality, granularity, fill, metric and ``n`` (samples). A column a
        method, NaN if the case lacks it.

    Raises:
        InputError: a column is missing, or a metric is unknown.
    """
    missing = [c for c in (*CASE, "sample", "method", "reduction", "value") if c not in rows]
    if missing:
        raise InputError(
            f"the rows lack column(s) {', '.join(missing)}; they have {', '.join(map(str, rows))}."
        )
    directions = {name: METRICS[name].direction for name in metrics}
    lines, keys = [], []
    for case, group in rows[rows["metric"].isin(list(directions))].groupby(list(CASE), sort=False):
        table = group.pivot_table(index="sample", columns=["method", "reduction"], values="value").dropna()
        if table.empty:
            continue
        by_method = table.mean().groupby(level="method", sort=False)
        lines.append(by_method.max() if directions[case[-1]] == "higher" else by_method.min())
        keys.append((*case, len(table)))
    index = pd.MultiIndex.from_tuples(keys, names=[*CASE, "n"]) if keys else None
    return pd.DataFrame(lines).set_axis(index) if keys else pd.DataFrame()


def case_ranks(means: pd.DataFrame) -> pd.DataFrame:
    """Ranks within each case of :func:`case_means`, 1 for the best. Equal means share a rank."""
    higher = [METRICS[name].direction == "higher" for name in means.index.get_level_values("metric")]
    signed = means.to_numpy(float) * np.where(higher, -1.0, 1.0)[:, None]
    ranks = rankdata(signed.round(DIGITS), axis=1, nan_policy="omit")
    return pd.DataFrame(ranks, index=means.index, columns=means.columns)


def average_ranks(means: pd.DataFrame, alpha: float = 0.05) -> AverageRanks:
    """Average ranks of the methods that every case has.

    Args:
        means: from :func:`case_means`. Only its level ``metric`` is needed.
        alpha: level of the critical difference.

    Raises:
        InputError: fewer than two cases, or fewer than three methods in all of them.
    """
    complete = means.dropna(axis="columns")
    cases, methods = complete.shape
    if cases < 2 or methods < 3:
        raise InputError(
            f"average ranks need two cases and three methods measured in each; got {cases} case(s) and "
            f"{methods} such method(s)."
        )
    ranks = case_ranks(complete)
    statistic, p = 0.0, 1.0
    if (ranks.nunique(axis=1) > 1).any():  # if all tie in all cases, the test has no answer
        found = friedmanchisquare(*ranks.to_numpy().T)
        statistic, p = float(found.statistic), float(found.pvalue)
    average = ranks.mean().sort_values(kind="stable")
    counts = means.index.get_level_values("n") if "n" in means.index.names else [0]
    return AverageRanks(
        ranks={str(name): float(value) for name, value in average.items()},
        cases=cases,
        samples=(int(min(counts)), int(max(counts))),
        statistic=statistic,
        p=p,
        critical_difference=critical_difference(methods, cases, alpha),
        alpha=alpha,
        left_out=tuple(str(m) for m in means.columns if m not in complete.columns),
    )
