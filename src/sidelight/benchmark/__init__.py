"""Evaluation over data sets, and what the numbers say."""

from sidelight.benchmark.evaluate import (
    BatchResult,
    EvalBatch,
    EvalResult,
    EvalSettings,
    Method,
    evaluate_batch,
    make_probe,
    run_evaluation,
)
from sidelight.benchmark.rank_tests import AverageRanks, average_ranks, case_means, critical_difference
from sidelight.benchmark.statistics import (
    better_reduction,
    bootstrap_ci,
    holm,
    mean_curves,
    paired_tests,
    rank_biserial,
    select_reductions,
    summarise,
)

__all__ = [
    "AverageRanks",
    "BatchResult",
    "EvalBatch",
    "EvalResult",
    "EvalSettings",
    "Method",
    "average_ranks",
    "better_reduction",
    "bootstrap_ci",
    "case_means",
    "critical_difference",
    "evaluate_batch",
    "holm",
    "make_probe",
    "mean_curves",
    "paired_tests",
    "rank_biserial",
    "run_evaluation",
    "select_reductions",
    "summarise",
]
