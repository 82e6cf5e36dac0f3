"""The cost of each method on a run's classifier, measured once and kept in the run's folder."""

from __future__ import annotations

from typing import Any

from sidelight.core.files import read_json, write_json
from sidelight.explainer import Explainer
from sidelight.lab.evaluation.methods import rivals_of, set_reference, supports
from sidelight.lab.runs.run import Run
from sidelight.lab.speed.measure import measure_speed

FILE = "timing.json"
#: A page needs the order of magnitude. After so many seconds a method is not repeated again.
PATIENCE = 0.5


def time_run(run: Run) -> list[dict[str, Any]]:
    """Open the classifier and the first scorer of ``run``, and do :func:`timing`."""
    if (run.folder / FILE).is_file() or not run.config.report.speed:
        return timing(run, None)
    target = run.open_target()
    set_reference(run, target)
    return timing(run, run.explainer(target=target))


def timing(run: Run, explainer: Explainer | None) -> list[dict[str, Any]]:
    """Cost of every method on this target, measured once and kept in ``timing.json``.

    Args:
        explainer: of the run. ``None`` takes only what is kept.
    """
    path = run.folder / FILE
    if path.is_file():
        return list(read_json(path))
    if explainer is None or not run.config.report.speed:
        return []
    rows = run.rows("test", 8)
    inputs = explainer.target.reader.read([rows[i] for i in range(len(rows))]).inputs
    rivals = [r for r in rivals_of(run.config.evaluation) if supports(r, explainer.target)]
    measured = measure_speed(explainer, inputs, rivals, batches=(1, 8), repeats=3, patience=PATIENCE)
    found = [r.to_dict() for r in measured]
    write_json(path, found)
    return found
