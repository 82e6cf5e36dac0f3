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
from sidelight.benchmark.statistics import (
    better_reduction,
    bootstrap_ci,
    holm,
    mean_curves,
    paired_tests,
    select_reductions,
    summarise,
)

__all__ = [
    "BatchResult",
    "EvalBatch",
    "EvalResult",
    "EvalSettings",
    "Method",
    "better_reduction",
    "bootstrap_ci",
    "evaluate_batch",
    "holm",
    "make_probe",
    "mean_curves",
    "paired_tests",
    "run_evaluation",
    "select_reductions",
    "summarise",
]
