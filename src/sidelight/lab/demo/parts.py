"""The demo's parts: one modality each, from training to explanations."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

log = logging.getLogger(__name__)

#: configurations beside this file, one a modality; the longest first, so that no core waits for it
PARTS = ("scenes", "digits", "planted_text")

#: how many test samples are explained as a user would do it
EXAMPLES = 4


def run_part(part: str, out: Path, overrides: Sequence[str] = ()) -> None:
    """One part: train its classifier and scorer, evaluate, explain some samples."""
    from sidelight.lab.config.files import parse_config
    from sidelight.lab.evaluation.run import evaluate_run
    from sidelight.lab.runs.run import Run

    values = yaml.safe_load(files(__package__).joinpath(f"{part}.yaml").read_text(encoding="utf-8"))
    run = Run.create(out / part, parse_config(values, overrides))
    log.info("%s: training the classifier, then its scorer", part)
    run.fit()
    log.info("%s: evaluating the scorer and its rivals", part)
    evaluate_run(run)
    log.info("%s: explaining some samples", part)
    save_examples(run, out / "explanations")
    log.info("%s: done", part)


def save_examples(run: Any, folder: Path) -> None:
    """Explain the first test samples exactly as a user would, and save picture and data."""
    explainer, rows = run.explainer(), run.rows("test", EXAMPLES)
    for index in range(min(EXAMPLES, len(rows))):
        explainer.explain(rows[index]).save(folder / f"{run.config.name}-{index}")
