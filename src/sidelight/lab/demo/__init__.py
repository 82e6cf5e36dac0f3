"""The demo: every modality from training to report on data that ships with the library."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from sidelight.core.registry import nearest
from sidelight.errors import UnknownNameError

log = logging.getLogger(__name__)

#: configurations beside this file, one a modality; the longest first, so that no core waits for it
PARTS = ("scenes", "digits", "planted_text")
#: how many test samples are explained as a user would do it
EXAMPLES = 4


def run_demo(
    out: Path, overrides: Sequence[str] = (), parts: Sequence[str] = (), jobs: int | None = None
) -> tuple[list[dict[str, Any]], Path]:
    """Fit, evaluate and explain each part under ``out``; what is there already is kept.

    Args:
        out: folder; a run folder for each part, ``explanations/`` and ``report.html``.
        overrides: as in :func:`sidelight.lab.config.sections.parse_config`, applied to every part.
        parts: some of :data:`PARTS`; none means all.
        jobs: parts at a time, in processes of their own; default: one a core.

    Returns:
        The results of each part, and the report's path.

    Raises:
        UnknownNameError: there is no such part.
        PartFailed: a part failed in a process of its own; the others are finished.
        CheckpointError: nothing can be written in ``out``.
    """
    from sidelight.core.ownership import own_folder, require_free
    from sidelight.lab.demo.parallel import default_jobs, run_parts
    from sidelight.lab.report.page import report_runs
    from sidelight.lab.runs.run import Run

    chosen = [p for p in PARTS if p in parts] if parts else list(PARTS)
    for part in parts:
        if part not in PARTS:
            raise UnknownNameError(
                f"the demo has no part {part!r}.{nearest(part, PARTS)} Parts: {', '.join(PARTS)}."
            )
    own_folder(out)
    require_free([out / "report.html"], "Choose another --out, or replace it with --overwrite.")
    jobs = default_jobs(len(chosen)) if jobs is None else jobs
    if jobs > 1 and len(chosen) > 1:
        run_parts(chosen, out, overrides, jobs)
    else:
        for part in chosen:
            run_part(part, out, overrides)
    runs = [Run.open(out / part) for part in chosen]
    subtitle = "Trained, explained and measured on embedded data with known evidence."
    page = report_runs(runs, out / "report.html", title="sidelight demo", subtitle=subtitle)
    return [run.results() for run in runs], page


def run_part(part: str, out: Path, overrides: Sequence[str] = ()) -> None:
    """One part: train its classifier and scorer, evaluate, explain some samples."""
    from sidelight.lab.config.sections import parse_config
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
