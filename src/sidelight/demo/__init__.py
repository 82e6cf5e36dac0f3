"""The demo: every modality from training to report on data that ships with the library."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

log = logging.getLogger(__name__)

#: configurations beside this file, one a modality
PARTS = ("digits", "planted_text")
#: how many test samples are explained as a user would do it
EXAMPLES = 4


def run_demo(out: Path, overrides: Sequence[str] = ()) -> tuple[list[dict[str, Any]], Path]:
    """Fit, evaluate and explain each part under ``out``; returns the results and the report's path."""
    from sidelight.benchmark.page import report_runs
    from sidelight.benchmark.run import evaluate_run
    from sidelight.config import parse_config
    from sidelight.experiment import Run

    runs, results = [], []
    for part in PARTS:
        values = yaml.safe_load(files(__package__).joinpath(f"{part}.yaml").read_text(encoding="utf-8"))
        run = Run.create(out / part, parse_config(values, overrides))
        log.info("%s: training the classifier, then its scorer", part)
        run.fit()
        log.info("%s: evaluating the scorer and its rivals", part)
        results.append(evaluate_run(run))
        save_examples(run, out / "explanations")
        runs.append(run)
    subtitle = "Trained, explained and measured on embedded data with known evidence."
    return results, report_runs(runs, out / "report.html", title="sidelight demo", subtitle=subtitle)


def save_examples(run: Any, folder: Path) -> None:
    """Explain the first test samples exactly as a user would, and save picture and data."""
    explainer, rows = run.explainer(), run.rows("test", EXAMPLES)
    for index in range(min(EXAMPLES, len(rows))):
        explainer.explain(rows[index]).save(folder / f"{run.config.name}-{index}")
