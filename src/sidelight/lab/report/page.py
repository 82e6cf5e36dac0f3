"""The report page of a run: its stored numbers, and maps of a few samples."""

from __future__ import annotations

import datetime
import logging
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sidelight.core.folders import require_file_place
from sidelight.core.names import OURS
from sidelight.core.tensors import predictable
from sidelight.errors import CheckpointError
from sidelight.explainer import Explainer
from sidelight.inputs.base import Batch, Reader
from sidelight.inputs.row_parts import split_row
from sidelight.lab.baselines.base import Rival
from sidelight.lab.data.scenes import readable
from sidelight.lab.evaluation.methods import fills_of, fitted_target, rival_of, scorer_fingerprint, supports
from sidelight.lab.evaluation.run import answers_to_tests, content_of_tests
from sidelight.lab.evaluation.settings import call_method
from sidelight.lab.figures.grid import GridSample
from sidelight.lab.report import ReportData, ReportSection, write_report
from sidelight.lab.report.timing import timing
from sidelight.lab.runs.folder import continue_run
from sidelight.lab.runs.given import require_runs
from sidelight.lab.runs.measured import require_measured_of
from sidelight.lab.runs.run import Run
from sidelight.lab.runs.stored_files import read_frame
from sidelight.targets import TargetModel
from sidelight.viz.safe_text import visible

log = logging.getLogger(__name__)


def report_runs(
    runs: Sequence[Run],
    path: Path,
    title: str,
    subtitle: str = "",
    made: Mapping[Path, ReportSection] = MappingProxyType({}),
) -> Path:
    """Write one self-contained page for one or several evaluated runs, and return its path.

    Args:
        made: sections that are there already, by the folder of their run.
    """
    from sidelight.core.version import __version__

    require_runs(runs)
    for run in runs:
        continue_run(run.folder)
    require_file_place(path)  # said before a model is opened
    data = ReportData(
        title=title,
        subtitle=subtitle,
        sections=[made.get(run.folder) or section_of(run) for run in runs],
        footer=f"sidelight {__version__} · torch {torch.__version__} · Python {platform.python_version()} "
        f"· {datetime.date.today().isoformat()}",
    )
    return write_report(data, path)


def section_of(run: Run) -> ReportSection:
    """One run as a section of the page."""
    results = run.results()
    curves = run.results_folder / "curves.parquet"
    if not curves.is_file():
        raise CheckpointError(f"{run.folder} has no curves.parquet: run `sidelight evaluate` again.")
    target = fitted_target(run)
    explainer = run.explainer(target=target)
    found = {"rows": content_of_tests(run), "target": target.fingerprint(), **answers_to_tests(run, target)}
    first = {f"{OURS}#{run.config.seeds[0]}": scorer_fingerprint(explainer)}
    require_measured_of(results, {**found, "scorers": first}, run.results_folder)
    samples, failures = galleries(run, explainer)
    scorers = {name: facts for name, facts in results["scorers"].items() if name.isdecimal()}  # none beside
    facts = next(iter(scorers.values()))
    seconds = [run.facts["scorers"][seed]["train_runtime"] for seed in scorers]
    return ReportSection(
        title=run.config.name,
        modality="+".join(target.modalities),
        rows=results["rows"],
        curves=read_frame(curves, "evaluate"),
        samples=samples,
        failures=failures,
        notes=results["notes"],
        timing=timing(run, explainer),
        target={**results["target"], "dataset": run.tested_name},
        scorer={
            "parameters": facts["parameters"],
            "seeds": len(scorers),
            "training_seconds": round(float(np.mean(seconds)), 1),
            "calibration": run.config.objective.calibration,
            "label": run.config.objective.label,
            "fills in training": ", ".join(target.training_fills(run.config.objective.fills)),
        },
        config=(run.folder / "config.yaml").read_text(encoding="utf-8"),
    )


def galleries(run: Run, explainer: Explainer) -> tuple[list[GridSample], list[GridSample]]:
    """Randomly chosen samples, and those whose confidence our map keeps worst under the first fill."""
    settings, section = run.config.report, run.config.evaluation
    rows = run.tested_rows(section.count)
    rng = np.random.default_rng(section.seed)
    chosen = rng.permutation(len(rows))[: settings.samples].tolist()
    scores = read_frame(run.results_folder / "scores.parquet", "evaluate")
    fill = fills_of(section, explainer.target)[0]
    drops = scores[(scores.method == OURS) & (scores.metric == "average_drop") & (scores.fill == fill)]
    drops = drops[drops.modality == "+".join(explainer.target.modalities)]
    drops = drops[drops.granularity == drops.granularity.iloc[0]] if len(drops) else drops
    worst = drops.groupby("sample")["value"].mean().sort_values(ascending=False)
    failing = [int(i) for i in worst.index[: settings.failures] if worst[i] > 0]
    rivals = [r for r in (rival_of(section, n) for n in settings.methods) if supports(r, explainer.target)]
    return (
        grid_samples(explainer, rows, chosen, rivals),
        grid_samples(explainer, rows, failing, rivals, {i: f"drop {worst[i]:.2f}" for i in failing}),
    )


def grid_samples(
    explainer: Explainer,
    rows: Any,
    picks: Sequence[int],
    rivals: Sequence[Rival],
    captions: Mapping[int, str] | None = None,
) -> list[GridSample]:
    """Maps of some rows by our scorer and by baseline methods, of signed ones the positive part."""
    if not picks:
        return []
    target, chosen = explainer.target, [rows[i] for i in picks]
    batch = target.reader.read(chosen, evidence=True).to(target.device)
    inputs = batch.inputs
    encoding, scores = explainer.attribute(inputs)
    maps = {OURS: scores}
    for rival in rivals:
        raw = call_method(rival, target, inputs, encoding.prediction.clone(), list(picks), encoding)
        maps[rival.name] = {m: v.clamp(min=0) if rival.signed else v for m, v in raw.items()}
    reader, real = target.reader, encoding.feature_mask
    drawn = {name: reader.show_scores(batch, found, real) for name, found in maps.items()}
    shown, marked = reader.show(batch, real), _marked(reader, batch, real)
    said = predictable(encoding.probabilities, encoding.independent)
    return [
        GridSample(
            display=readable(shown[i][modality]),
            maps={name: found[i][modality] for name, found in drawn.items()},
            truth=marked[i].get(modality),
            modality=modality,
            caption=(captions or {}).get(pick, ""),
            **_decision(target, row, said[i]),
        )
        for i, (pick, row) in enumerate(zip(picks, chosen, strict=True))
        for modality in target.modalities
    ]


def _marked(reader: Reader, batch: Batch, real: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    """The evidence of each sample as it is shown, by modality. Modalities without any are left out."""
    if batch.truth is None:
        return [{} for _ in range(len(batch))]
    shown = reader.show_scores(batch, {m: t.float() for m, t in batch.truth.items()}, real)
    masks = [{m: np.asarray(values) > 0.5 for m, values in sample.items()} for sample in shown]
    return [{m: mask for m, mask in sample.items() if mask.any()} for sample in masks]


def _decision(target: TargetModel, row: Any, probabilities: Tensor) -> dict[str, Any]:
    """Predicted class, its probability, and the true class or labels if they are known."""
    labels, truth = target.id2label, split_row(row)[1]
    predicted = int(probabilities.argmax())
    known = None if truth is None else _there(truth)
    # of labels that are independent, one that is there is right, whatever else is there
    right = known is not None and predicted in known
    shown = [predicted] if right else known
    return {
        "label": _name(predicted, labels),
        "probability": float(probabilities[predicted]),
        "truth_label": None if shown is None else _names(shown, labels),
    }


def _there(truth: Any) -> list[int]:
    """The class, or all that a list of flags says are there."""
    return [i for i, flag in enumerate(truth) if flag] if np.ndim(truth) else [int(truth)]


def _names(classes: Sequence[int], labels: Mapping[int, str]) -> str:
    return ", ".join(_name(i, labels) for i in classes) or "none"


def _name(number: int, labels: Mapping[int, str]) -> str:
    return visible(str(labels.get(number, number)))
