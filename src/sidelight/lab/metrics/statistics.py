"""Statistics of per-sample values: means with intervals, the better reduction, paired tests.

Rows are those of :func:`sidelight.lab.evaluation.loop.run_evaluation`. They may have a column ``seed``, the training
seed of a scorer. The spread over seeds is then reported beside the spread over samples and never mixed with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata, wilcoxon

from sidelight.errors import InputError
from sidelight.lab.metrics.base import METRICS

#: The columns that identify one number of a table.
KEYS = ("modality", "method", "reduction", "fill", "granularity", "metric")
_CASE = ("modality", "fill", "granularity", "metric")
#: The columns that identify one curve.
CURVE_KEYS = ("modality", "method", "reduction", "fill", "granularity", "kind")


@lru_cache(maxsize=8)
def _weights(n: int, draws: int, seed: int) -> NDArray[np.float64]:
    # A mean depends only on how often a resample takes each sample. So one product gives every resampled mean,
    # and the same weights serve all columns of one table.
    rng = np.random.default_rng(seed)
    return rng.multinomial(n, np.full(n, 1 / n), size=draws) / n


def bootstrap_ci(
    values: ArrayLike, draws: int = 1000, level: float = 0.95, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Percentile bootstrap interval of the mean over samples.

    Args:
        values: ``[n]`` or ``[n, columns]``, finite.
        draws: resamples.
        level: coverage in (0, 1).

    Returns:
        ``(lo, hi)``, scalars or ``[columns]``. NaN if there is one value, which says nothing of others.

    Raises:
        InputError: there are no values.
    """
    data = np.asarray(values, dtype=np.float64)
    if data.ndim not in (1, 2) or len(data) == 0:
        raise InputError(f"a bootstrap needs values of shape [n] or [n, columns], n >= 1; got {data.shape}.")
    if len(data) == 1:
        return np.full_like(data[0], np.nan), np.full_like(data[0], np.nan)
    means = _weights(len(data), draws, seed) @ data
    lo, hi = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return lo, hi


def summarise(rows: pd.DataFrame, dataset: str = "", draws: int = 1000, seed: int = 0) -> pd.DataFrame:
    """One line per modality, method, reduction, fill, granularity and metric.

    With a ``seed`` column each sample is first averaged over the seeds, so ``sd`` and ``ci95`` describe samples.
    ``seed_sd`` is the standard deviation of the seeds' means. Undefined (NaN) values are left out, and ``n`` counts
    the rest. A column ``protocol`` is kept.

    Raises:
        InputError: columns are missing, or a value is infinite.

    Returns:
        Columns dataset, modality, method, reduction, fill, granularity, metric, mean, sd,
        ci95 (``[lo, hi]``), n, seeds (how many), seed_sd. Of one sample, sd and ci95 are NaN. Of one seed, seed_sd is.
    """
    _require(rows, (*KEYS, "sample", "value"))
    if np.isinf(rows["value"].to_numpy(np.float64)).any():
        raise InputError("rows hold infinite values, which no metric gives; measure them again.")
    lines = []
    for key, group in rows.dropna(subset=["value"]).groupby(list(KEYS), sort=False):
        values = group.groupby("sample")["value"].mean().to_numpy()
        lo, hi = bootstrap_ci(values, draws, seed=seed)
        per_seed = group.groupby("seed", dropna=True)["value"].mean() if "seed" in group else pd.Series([0.0])
        lines.append(
            {
                "dataset": dataset,
                **({"protocol": str(group["protocol"].iloc[0])} if "protocol" in group else {}),
                **dict(zip(KEYS, key, strict=True)),
                "mean": float(values.mean()),
                "sd": float(values.std(ddof=1)) if len(values) > 1 else math.nan,
                "ci95": [float(lo), float(hi)],
                "n": len(values),
                "seeds": max(1, len(per_seed)),
                "seed_sd": float(per_seed.std(ddof=1)) if len(per_seed) > 1 else math.nan,
            }
        )
    return pd.DataFrame(lines)


def best_of(values: ArrayLike, direction: str) -> int:
    """Position of the best value: the largest if ``direction`` is ``"higher"``, else the smallest.

    Of equal values it is the first. Without a direction it is the first of all.
    """
    if not direction:
        return 0
    return int(np.nanargmax(values) if direction == "higher" else np.nanargmin(values))


def better_reduction(summary: pd.DataFrame) -> pd.DataFrame:
    """Per method, fill, granularity and metric the reduction with the better mean.

    Better follows the metric's own direction. At a tie the first wins. A signed method gets the better of ``abs`` and
    ``positive`` for every single number, which favours the baseline methods.

    Returns:
        The chosen lines of ``summary``, in its order.
    """
    _require(summary, (*KEYS, "mean"))
    keys = [k for k in ("dataset", *KEYS) if k in summary and k != "reduction"]
    chosen = [
        group.index[best_of(group["mean"].to_numpy(), METRICS[str(group["metric"].iloc[0])].direction)]
        for _, group in summary.groupby(keys, sort=False)
    ]
    return summary.loc[sorted(chosen)].reset_index(drop=True)


def select_reductions(rows: pd.DataFrame, chosen: pd.DataFrame) -> pd.DataFrame:
    """The per-sample rows of the reductions that :func:`better_reduction` chose."""
    return rows.merge(chosen[list(KEYS)], on=list(KEYS), how="inner")


def holm(p: Sequence[float]) -> NDArray[np.float64]:
    """Holm's step-down correction: adjusted p-values in the order given, at most 1."""
    raw = np.asarray(p, dtype=np.float64)
    order = np.argsort(raw, kind="stable")
    scaled = np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1))
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(scaled, 1.0)
    return adjusted


def rank_biserial(difference: ArrayLike) -> float:
    """Matched-pairs rank-biserial correlation, the effect size that belongs to Wilcoxon's test.

    It is the share of the rank sum with a positive difference minus the share with a negative one. Zero differences
    are dropped and ties share a rank, as in the test (Kerby, "The simple difference formula", 2014).

    Args:
        difference: ``[n]`` paired differences.

    Returns:
        A value in [-1, 1]: 1 if every difference is positive, 0 if none differs, NaN without values.
    """
    values = np.asarray(difference, dtype=np.float64)
    if values.size == 0:
        return float("nan")
    values = values[values != 0]
    if values.size == 0:
        return 0.0
    ranks = rankdata(np.abs(values))
    return float((ranks * np.sign(values)).sum() / ranks.sum())


def paired_tests(rows: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Wilcoxon signed-rank test of one method against every other on the same samples.

    Rows should hold one reduction per method and metric (:func:`select_reductions`). Otherwise each reduction is a
    comparison of its own. Seeds are averaged per sample first. The correction covers the comparisons that share
    modality, fill, granularity and metric.

    Args:
        reference: the method that is compared with all others.

    Returns:
        Columns modality, fill, granularity, metric, reference, method, reduction,
        difference (mean of reference − method), lo and hi (its 95 % bootstrap interval),
        better (whether it favours the reference), effect (:func:`rank_biserial`, above zero if it
        favours the reference), p, p_holm, n (pairs), seeds (of the reference) and seeds_better (how
        many of them alone have a mean difference that favours it).

    Raises:
        InputError: ``reference`` has no rows, or several reductions in one comparison.
    """
    _require(rows, (*KEYS, "sample", "value"))
    if reference not in set(rows["method"]):
        known = ", ".join(sorted(set(rows["method"])))
        raise InputError(f"no rows of reference method {reference!r}; there are rows of {known}.")
    lines: list[dict[str, object]] = []
    for case, group in rows.groupby(list(_CASE), sort=False):
        table = group.pivot_table(index="sample", columns=["method", "reduction"], values="value")
        own = [column for column in table.columns if column[0] == reference]
        if len(own) > 1:
            raise InputError(
                f"{reference!r} has {len(own)} reductions in one comparison; choose one (select_reductions)."
            )
        others = [column for column in table.columns if column[0] != reference]
        if own:
            named = dict(zip(_CASE, map(str, case), strict=True))
            lines += _compare(table, _per_seed(group, own[0]), own[0], others, named)
    return pd.DataFrame(lines)


def _per_seed(group: pd.DataFrame, own: tuple[str, str]) -> pd.DataFrame:
    """``[sample, seed]`` values of the reference, in one column if ``group`` has no seeds."""
    rows = group[(group["method"] == own[0]) & (group["reduction"] == own[1])]
    seeds = rows["seed"].fillna(-1) if "seed" in rows else 0
    return rows.assign(seed=seeds).pivot_table(index="sample", columns="seed", values="value")


def _compare(
    table: pd.DataFrame,
    seeds: pd.DataFrame,
    own: tuple[str, str],
    others: list[tuple[str, str]],
    case: dict[str, str],
) -> list[dict[str, object]]:
    sign = 1 if METRICS[case["metric"]].direction == "higher" else -1
    # stored values are float32, in which a small p would be 0
    differences = [(table[own] - table[other]).dropna().to_numpy(np.float64) for other in others]
    # scipy has no answer if all differences are zero: there is no evidence of any
    raw = [float(wilcoxon(d).pvalue) if np.any(d != 0) else 1.0 for d in differences]
    lines: list[dict[str, object]] = []
    for other, difference, p, adjusted in zip(others, differences, raw, holm(raw), strict=True):
        mean = float(difference.mean()) if len(difference) else float("nan")
        lo, hi = bootstrap_ci(difference) if len(difference) else (mean, mean)
        alone = seeds.sub(table[other], axis="index").mean() * sign
        lines.append(
            {
                **case,
                "reference": own[0],
                "method": other[0],
                "reduction": other[1],
                "difference": mean,
                "lo": float(lo),
                "hi": float(hi),
                "better": mean * sign > 0,
                "effect": rank_biserial(difference * sign),
                "p": p,
                "p_holm": float(adjusted),
                "n": len(difference),
                "seeds": seeds.shape[1],
                "seeds_better": int((alone > 0).sum()),
            }
        )
    return lines


def mean_curves(curves: pd.DataFrame, draws: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Mean deletion and insertion curves with 95 % bootstrap intervals over samples.

    Args:
        curves: one line per sample and kind, with ``p`` a list of confidences.
        draws, seed: of the bootstrap.

    Returns:
        Columns modality, method, reduction, fill, granularity, kind, share, mean, lo, hi;
        ``share`` is the nominal ``k / K``.
    """
    frames = []
    for key, group in curves.groupby(list(CURVE_KEYS), sort=False):
        p = np.stack([np.asarray(row, dtype=np.float64) for row in group["p"]])
        lo, hi = bootstrap_ci(p, draws, seed=seed)
        curve = {"share": np.linspace(0, 1, p.shape[1]), "mean": p.mean(0), "lo": lo, "hi": hi}
        frames.append(pd.DataFrame({**dict(zip(CURVE_KEYS, key, strict=True)), **curve}))
    if not frames:
        return pd.DataFrame(columns=[*CURVE_KEYS, "share", "mean", "lo", "hi"])
    return pd.concat(frames, ignore_index=True)


def _require(frame: pd.DataFrame, columns: Sequence[str]) -> None:
    missing = [c for c in columns if c not in frame]
    if missing:
        raise InputError(
            f"the table lacks column(s) {', '.join(missing)}; it has {', '.join(map(str, frame))}."
        )
