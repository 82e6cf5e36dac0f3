"""The report page of a run: its stored numbers, and maps of a few samples."""

from __future__ import annotations

import datetime
import logging
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sidelight.core.files import read_json, write_json
from sidelight.core.ownership import require_free
from sidelight.errors import CheckpointError
from sidelight.explainer import Explainer
from sidelight.inputs.collate import Collator, split_row
from sidelight.lab.baselines import make_rival
from sidelight.lab.baselines.base import Rival
from sidelight.lab.evaluation.batches import known_evidence
from sidelight.lab.evaluation.methods import OURS, fills_of, rivals_of, set_reference, supports
from sidelight.lab.figures.grid import GridSample
from sidelight.lab.report import ReportData, ReportSection, write_report
from sidelight.lab.runs.folder import continue_run
from sidelight.lab.runs.run import Run
from sidelight.lab.speed.measure import measure_speed
from sidelight.targets import TargetModel

log = logging.getLogger(__name__)


def report_runs(runs: Sequence[Run], path: Path, title: str, subtitle: str = "") -> Path:
    """Write one self-contained page for one or several evaluated runs; returns its path."""
    from sidelight.core.version import __version__

    for run in runs:
        continue_run(run.folder)
    require_free([path])  # said before a model is opened
    data = ReportData(
        title=title,
        subtitle=subtitle,
        sections=[section_of(run) for run in runs],
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
    target = run.open_target()
    set_reference(run, target)
    explainer = run.explainer(target=target)
    samples, failures = galleries(run, explainer)
    scorers = results["scorers"]
    first = next(iter(scorers.values()))
    seconds = [run.facts["scorers"][seed]["train_runtime"] for seed in scorers]
    return ReportSection(
        title=run.config.name,
        modality="+".join(target.modalities),
        rows=results["rows"],
        curves=pd.read_parquet(curves),
        samples=samples,
        failures=failures,
        notes=results["notes"],
        timing=timing(run, explainer),
        target={**results["target"], "dataset": run.config.data.name},
        scorer={
            "parameters": first["parameters"],
            "seeds": len(scorers),
            "training_seconds": round(float(np.mean(seconds)), 1),
            "calibration": run.config.objective.calibration,
            "label": run.config.objective.label,
            "fills in training": ", ".join(run.config.objective.fills),
        },
        config=(run.folder / "config.yaml").read_text(encoding="utf-8"),
    )


def galleries(run: Run, explainer: Explainer) -> tuple[list[GridSample], list[GridSample]]:
    """Randomly chosen samples, and those whose confidence our map keeps worst under the first fill."""
    settings, section = run.config.report, run.config.evaluation
    rows = run.rows("test", section.count)
    rng = np.random.default_rng(section.seed)
    chosen = rng.permutation(len(rows))[: settings.samples].tolist()
    scores = pd.read_parquet(run.results_folder / "scores.parquet")
    fill = fills_of(section, explainer.target)[0]
    drops = scores[(scores.method == OURS) & (scores.metric == "average_drop") & (scores.fill == fill)]
    drops = drops[drops.modality == "+".join(explainer.target.modalities)]
    drops = drops[drops.granularity == drops.granularity.iloc[0]] if len(drops) else drops
    worst = drops.groupby("sample")["value"].mean().sort_values(ascending=False)
    failing = [int(i) for i in worst.index[: settings.failures] if worst[i] > 0]
    rivals = [r for r in (_rival(n, section) for n in settings.methods) if supports(r, explainer.target)]
    return (
        grid_samples(explainer, rows, chosen, rivals),
        grid_samples(explainer, rows, failing, rivals, {i: f"drop {worst[i]:.2f}" for i in failing}),
    )


def _rival(name: str, section: Any) -> Rival:
    """The rival as the evaluation has it, options included."""
    return next((r for r in rivals_of(section) if r.name == name), None) or make_rival(name)


def grid_samples(
    explainer: Explainer,
    rows: Any,
    picks: Sequence[int],
    rivals: Sequence[Rival],
    captions: Mapping[int, str] | None = None,
) -> list[GridSample]:
    """Rows of a qualitative figure: our map and the rivals' (positive part where signed)."""
    if not picks:
        return []
    target, collate = explainer.target, Collator(explainer.target)
    chosen = [rows[i] for i in picks]
    samples = collate.samples([split_row(row)[0] for row in chosen])
    inputs = collate(chosen)
    inputs.pop("labels", None)
    inputs = target.to_device(inputs)
    encoding, scores = explainer.attribute(inputs)
    maps = {OURS: target.display_scores(inputs, scores, samples)}
    for rival in rivals:
        raw = rival(target, inputs, encoding.prediction.clone(), ids=list(picks))
        kept = {m: v.clamp(min=0) if rival.signed else v for m, v in raw.items()}
        maps[rival.name] = target.display_scores(inputs, kept, samples)
    shown = target.display(inputs, samples)
    evidence = known_evidence(target, chosen, inputs)
    marked = None
    if evidence is not None:
        marked = target.display_scores(inputs, {m: t.float() for m, t in evidence.items()}, samples)
    return [
        _grid_sample(
            target,
            row,
            modality,
            shown[i][modality],
            {method: found[i][modality] for method, found in maps.items()},
            None if marked is None else np.asarray(marked[i][modality]) > 0.5,
            encoding.probabilities[i],
            (captions or {}).get(pick, ""),
        )
        for i, (pick, row) in enumerate(zip(picks, chosen, strict=True))
        for modality in target.modalities
    ]


def _grid_sample(
    target: TargetModel,
    row: Any,
    modality: str,
    display: Any,
    maps: Mapping[str, Any],
    evidence: np.ndarray | None,
    probabilities: Tensor,
    caption: str,
) -> GridSample:
    labels, truth = target.id2label, split_row(row)[1]
    predicted = int(probabilities.argmax())
    return GridSample(
        display=display,
        maps=maps,
        label=str(labels.get(predicted, predicted)),
        probability=float(probabilities[predicted]),
        truth_label=None if truth is None else str(labels.get(int(truth), int(truth))),
        truth=evidence if evidence is not None and evidence.any() else None,
        modality=modality,
        caption=caption,
    )


def timing(run: Run, explainer: Explainer) -> list[dict[str, Any]]:
    """Cost of every method on this target, measured once and kept in ``timing.json``."""
    path = run.folder / "timing.json"
    if path.is_file():
        return list(read_json(path))
    if not run.config.report.speed:
        return []
    rows = run.rows("test", 8)
    inputs = Collator(explainer.target)([rows[i] for i in range(len(rows))])
    inputs.pop("labels", None)
    rivals = [r for r in rivals_of(run.config.evaluation) if supports(r, explainer.target)]
    measured = measure_speed(explainer, inputs, rivals, batches=(1, 8), repeats=3)
    found = [r.to_dict() for r in measured]
    write_json(path, found)
    return found
