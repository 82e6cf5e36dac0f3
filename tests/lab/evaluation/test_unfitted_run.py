"""What measures a run that is not fitted says so at once, and trains no classifier first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sidelight.errors import CheckpointError
from sidelight.lab.audit import AuditedRun, run_audit
from sidelight.lab.config.files import parse_config
from sidelight.lab.evaluation.export import export_maps
from sidelight.lab.evaluation.run import evaluate_run
from sidelight.lab.report.timing import time_run
from sidelight.lab.runs.run import Run
from tiny_runs import IMAGE

WORK: dict[str, Callable[[Run], Any]] = {
    "evaluate": evaluate_run,
    "audit": run_audit,
    "audited": AuditedRun,
    "export maps": lambda run: export_maps(run, run.folder.parent / "maps.npz", "saliency"),
    "time": time_run,
}


@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
def test_a_run_that_is_not_fitted_is_refused_before_its_classifier_is_trained(
    work: Callable[[Run], Any], tmp_path: Path
) -> None:
    run = Run.create(tmp_path / "run", parse_config(IMAGE))
    with pytest.raises(CheckpointError, match="sidelight fit"):
        work(run)
    assert not (run.folder / "target").exists()
