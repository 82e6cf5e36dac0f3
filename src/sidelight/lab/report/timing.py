"""The cost of each method on a run's classifier, measured once and kept in the run's folder."""

from __future__ import annotations

from typing import Any

from sidelight.core.files import write_json
from sidelight.core.names import OURS
from sidelight.explainer import Explainer
from sidelight.lab.evaluation.methods import fitted_target, rivals_of, scorer_fingerprint, supports
from sidelight.lab.runs.run import Run
from sidelight.lab.runs.stored_files import read_record
from sidelight.lab.speed.measure import measure_speed

FILE = "timing.json"
#: A page needs the order of magnitude. After so many seconds a method is not repeated again.
PATIENCE = 0.5
BATCHES = (1, 8)


def time_run(run: Run) -> list[dict[str, Any]]:
    """Open the classifier and the first scorer of ``run``, and do :func:`timing`."""
    target = fitted_target(run)
    return timing(run, run.explainer(target=target))


def timing(run: Run, explainer: Explainer) -> list[dict[str, Any]]:
    """Cost of every method on this target, measured once and kept in ``timing.json``.

    What is kept of other methods, options or scorers is left out. If anything is missing, all are measured again, so that
    all times are of one moment. With ``report.speed: false`` nothing is measured.
    """
    path, target = run.folder / FILE, explainer.target
    rivals = [r for r in rivals_of(run.config.evaluation) if supports(r, target)]
    options = {OURS: scorer_fingerprint(explainer), **{r.name: repr(r) for r in rivals}}
    stored = list(read_record(path, "report")) if path.is_file() else []
    known = [row for row in stored if row["method"] in options]
    # an earlier version did not write down the options
    kept = [row for row in known if row.get("options", options[row["method"]]) == options[row["method"]]]
    if options.keys() == {row["method"] for row in kept} or not run.config.report.speed:
        return kept
    rows = run.rows("test", max(BATCHES))
    # where the split is smaller, its rows come again: a batch is timed with as many samples as it is called after
    inputs = target.reader.read([rows[i % len(rows)] for i in range(max(BATCHES))]).inputs
    measured = measure_speed(explainer, inputs, rivals, batches=BATCHES, repeats=3, patience=PATIENCE)
    found = [{**r.to_dict(), "options": options[r.method]} for r in measured]
    write_json(path, found)
    return found
