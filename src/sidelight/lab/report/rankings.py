"""Average ranks of methods over the cases of several runs, in words and as rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from sidelight.core.names import is_control, method_label
from sidelight.errors import InputError
from sidelight.lab.figures.critical_difference import plot_critical_difference
from sidelight.lab.metrics.protocols import PROTOCOLS
from sidelight.lab.metrics.rank_tests import AverageRanks, average_ranks, case_ranks
from sidelight.lab.report.figures import Picture
from sidelight.lab.report.stored import StoredRun

CAUTION = "Cases of one data set share its samples and are not independent, so the critical difference is optimistic."


@dataclass(frozen=True)
class Ranking:
    """Average ranks over the cases of one ``scope``, e.g. ``"all cases"`` or ``"image+text"``."""

    scope: str
    found: AverageRanks

    @property
    def n(self) -> str:
        """Samples behind a case, as one figure or a range."""
        few, many = self.found.samples
        return f"n = {few}" if few == many else f"n = {few}–{many}"

    @property
    def sentence(self) -> str:
        """Ranks and test in words."""
        ranks = ", ".join(f"{method_label(m)} {r:.2f}" for m, r in self.found.ranks.items())
        return (
            f"{self.scope} ({self.found.cases} cases, {self.n}): {ranks}. Friedman χ² = {self.found.statistic:.1f}, "
            f"p = {self.found.p:.2g}; critical difference {self.found.critical_difference:.2f} "
            f"at level {self.found.alpha:g}."
        )

    @property
    def picture(self) -> Picture:
        """The critical-difference diagram."""
        found = self.found
        caption = (
            f"Average ranks over {self.scope}: {found.cases} cases, each a data set, modality, granularity, "
            f"fill and metric, {self.n} samples each. A bar joins methods that Nemenyi's test does not tell apart "
            f"at level {found.alpha:g}. {CAUTION}"
        )
        return Picture(
            plot_critical_difference(found.ranks, found.critical_difference, found.groups), caption
        )


def ranked_rows(run: StoredRun) -> pd.DataFrame:
    """The rows whose methods are ranked.

    Trivial maps are left out: one that keeps everything would be first in average drop. So are methods that a
    protocol scores by units that do not compare.
    """
    comparable = run.rows["modality"].str.split("+").map(PROTOCOLS[run.protocol].comparable)
    return run.rows[~run.rows["method"].map(is_control).astype(bool) & comparable.astype(bool)]


def rankings_of(means: pd.DataFrame, alpha: float) -> tuple[list[Ranking], list[str]]:
    """Rankings over all cases and over each data set, modality and granularity, and notes on those left out."""
    if means.empty:
        return [], ["No average ranks: the runs hold none of the metrics that are ranked."]
    rankings, notes = [], []
    for scope, part in _scopes(means):
        try:
            found = average_ranks(part.dropna(axis="columns", how="all"), alpha)
        except InputError as error:
            notes.append(f"No average ranks over {scope}: {error}")
            continue
        rankings.append(Ranking(scope, found))
        if found.left_out:
            names = ", ".join(method_label(m) for m in found.left_out)
            notes.append(f"Not ranked over {scope}, because some case lacks them: {names}.")
    return rankings, notes


def _scopes(means: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    yield "all cases", means
    for level, words in (("dataset", "{}"), ("modality", "{}"), ("granularity", "by {}")):
        values = means.index.get_level_values(level)
        names = list(dict.fromkeys(values))
        for name in names if len(names) > 1 else []:
            yield words.format(name), means[values == name]


def rank_table(rankings: Sequence[Ranking]) -> pd.DataFrame:
    """A row for each scope and method."""
    columns = ["scope", "method", "average_rank", "methods", "cases", "n_min", "n_max"]
    columns += ["friedman_chi2", "friedman_p", "critical_difference", "alpha"]
    lines = []
    for ranking in rankings:
        f = ranking.found
        about = (len(f.ranks), f.cases, *f.samples, f.statistic, f.p, f.critical_difference, f.alpha)
        lines += [(ranking.scope, method, rank, *about) for method, rank in f.ranks.items()]
    return pd.DataFrame(lines, columns=columns)


def case_table(means: pd.DataFrame) -> pd.DataFrame:
    """Mean and rank of every method in every case, from which average ranks are made."""
    if means.empty:
        return pd.DataFrame(columns=["dataset", "method", "mean", "rank"])
    found = pd.DataFrame({"mean": means.stack(), "rank": case_ranks(means).stack()}).dropna()
    return found.rename_axis([*means.index.names, "method"]).reset_index()
