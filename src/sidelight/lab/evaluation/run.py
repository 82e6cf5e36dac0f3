"""Evaluation of a run: its scorers and the rivals on the test split, stored as files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sidelight.checks.answers import answers_to_first
from sidelight.core.files import replace_file, write_json, write_text
from sidelight.core.locks import hold
from sidelight.core.names import OURS
from sidelight.core.ownership import require_free
from sidelight.core.processes import Share, agreed, in_main, is_main
from sidelight.errors import InputError
from sidelight.fills.base import require_unlike
from sidelight.lab.baselines.base import Rival
from sidelight.lab.config.sections import EvaluationSection
from sidelight.lab.evaluation.batches import TestRows, split_batches
from sidelight.lab.evaluation.coordinates import require_unjudged
from sidelight.lab.evaluation.evidence import (
    ALL_EVIDENCE_EMPTY,
    NOTHING_MEASURED,
    require_measurable,
    unseen_evidence_notes,
)
from sidelight.lab.evaluation.foreign_maps import imported_of
from sidelight.lab.evaluation.judge import judge_facts, judge_note, judge_of, judge_settings
from sidelight.lab.evaluation.loop import Measurement, finish_parts, run_evaluation
from sidelight.lab.evaluation.methods import (
    ScorerMethod,
    fills_of,
    fitted_target,
    groups_of,
    make_rivals,
    reference_inputs,
    reference_rows,
    rivals_of,
    scorer_fingerprint,
    supports,
)
from sidelight.lab.evaluation.modality import share_note, share_rows, share_summary
from sidelight.lab.evaluation.notes import cancelling_notes, degeneracy_notes, removal_notes
from sidelight.lab.evaluation.settings import EvalSettings, Method
from sidelight.lab.evaluation.store import (
    FIRST,
    REFERENCE,
    filled,
    mean_curves_of,
    merge_seeds,
    split_seed,
    summarise_parts,
    write_scores,
)
from sidelight.lab.metrics import METRICS, default_metrics
from sidelight.lab.metrics.protocols import DEFAULT, PROTOCOLS
from sidelight.lab.runs.folder import continue_run
from sidelight.lab.runs.given import require_run
from sidelight.lab.runs.measured import measured_by
from sidelight.lab.runs.run import Run
from sidelight.lab.tables.summary import markdown_table
from sidelight.rows.content import content_of
from sidelight.targets import TargetModel
from sidelight.training.facts import NOT_REPEATABLE

#: files that an evaluation writes into the folder of its results
RESULTS = ("scores.parquet", "curves.parquet", "modality_share.parquet", "table.md", "results.json")
#: so many rows tell the order of all: two orders that both are in use begin with the same ones by chance only
FIRST_ROWS = 8


@dataclass(frozen=True)
class Evaluation:
    """Everything that is measured of a run."""

    run: Run
    target: TargetModel
    rows: TestRows
    rivals: Sequence[Rival]
    measurements: Sequence[Measurement]

    @cached_property
    def answers(self) -> dict[str, Any]:
        """What the target answers to the first rows, as an entry of records. It is empty if that is not known."""
        return answers_to_tests(self.run, self.target)


def evaluate_run(run: Run) -> dict[str, Any]:
    """Measure every method of a run. Writes ``scores.parquet``, ``curves.parquet``, ``results.json``, ``table.md``.

    Started by a launcher in several processes, each measures some of the batches and the main one writes.

    Returns:
        The content of ``results.json``.
    """
    # processes of one launcher finish together, so that none is missing
    return evaluate_share(run) or run.results()


def evaluate_share(
    run: Run, share: Share | None = None, on_batch: Callable[[str, float | None], str] | None = None
) -> dict[str, Any] | None:
    """:func:`evaluate_run`, or one share of it.

    Args:
        share: the part to measure if machines without a launcher divide the batches. The last of them writes.
            Default: the part that a launcher gave this process, or everything without a launcher.
        on_batch: called after every batch with the name of its part of the evaluation (``full``: every metric;
            ``single`` and ``few``: those of one pass) and the seconds it took, ``None`` where it was measured before. Its
            words stand beside the bar.

    Returns:
        The content of ``results.json``. ``None`` where other shares are not finished yet.

    Raises:
        BusyFolderError: another process works in the run's folder, or on this share of it.
    """
    require_run(run)
    own = share or Share.launched()
    with hold(run.folder, "evaluate", "" if share is None else share.name):
        in_main(lambda: continue_run(run.folder))
        return _evaluate_share(run, share, own, on_batch)


def _evaluate_share(
    run: Run, share: Share | None, own: Share, on_batch: Callable[[str, float | None], str] | None
) -> dict[str, Any] | None:
    with agreed():
        evaluation = plan_evaluation(run)
        content = content_of_tests(run)
        known = {**content, REFERENCE: content_of_reference(run), **evaluation.answers}
        stores = [m.open_store(known) for m in evaluation.measurements]  # refused now, not after hours
        require_free(
            (run.results_folder / name for name in RESULTS), "Move it away, or delete it if it is damaged."
        )
        for m, store in zip(evaluation.measurements, stores, strict=True):
            note = None if on_batch is None else partial(on_batch, m.folder.name)
            finish_parts(m, store, share=own, on_batch=note)
    counts = [len(m.batches) for m in evaluation.measurements]
    if share is not None and any(s.missing(n) for s, n in zip(stores, counts, strict=True)):
        return None
    with agreed():
        if is_main():
            write_results(
                evaluation,
                [[s.paths(i) for i in range(n)] for s, n in zip(stores, counts, strict=True)],
                content,
            )
    return run.results()


def content_of_tests(run: Run) -> dict[str, Any]:
    """What tells the rows that are measured: the content of all, because more may be measured later, and their order."""
    measured = run.tested_rows(run.config.evaluation.count)
    first = [content_of([measured[i]]).digest for i in range(min(len(measured), FIRST_ROWS))]
    return {**content_of(run.tested_rows()).to_dict(), FIRST: first}


def answers_to_tests(run: Run, target: TargetModel) -> dict[str, Any]:
    """What ``target`` answers to the first rows that are measured, as an entry of records. Empty if that is not known."""
    return answers_to_first(target, run.tested_rows(run.config.evaluation.count))


def content_of_reference(run: Run) -> dict[str, Any]:
    """What tells the training rows from which fills and baseline methods draw."""
    return content_of(reference_rows(run)).to_dict()


def plan_evaluation(run: Run) -> Evaluation:
    """Open the target and say what is measured on which samples. Nothing is measured yet."""
    section = run.config.evaluation
    target = fitted_target(run)
    rows = TestRows(target, run.tested_rows(section.count))
    rivals = [r for r in rivals_of(section) if supports(r, target)]
    methods: dict[str, Method] = {}
    for kind in run.kinds:
        for seed in run.config.seeds:
            explainer = run.explainer(seed, target, kind)
            name = f"{OURS} ({kind})" if kind else OURS
            effects = run.objective(kind).teaches_effects(target.modalities)
            version = scorer_fingerprint(explainer)
            methods[f"{name}#{seed}"] = ScorerMethod(explainer, version, effects=effects)
    methods.update({r.name: r for r in rivals})
    imported = imported_of(section, [OURS, *(r.name for r in rivals)])
    for maps in imported:  # refused now, not after hours
        maps.require(range(len(rows)), target.modalities)
        maps.warn_of_others(len(rows))
    measured = measurements(run, target, rows, methods)
    for maps in imported:
        # apart from the rest: a file may be added, or change, when everything else is measured already
        folder = run.results_folder / "evaluation" / "imported" / maps.slug
        measured += measurements(run, target, rows, {maps.name: maps}, folder)
    return Evaluation(run, target, rows, rivals, measured)


def write_results(
    evaluation: Evaluation, parts: Sequence[Sequence[tuple[Path, Path]]], content: Mapping[str, Any]
) -> None:
    """Write a run's files from the finished parts (rows, curves) of each measurement.

    Args:
        content: of the rows that were measured.

    Raises:
        InputError: every metric asked for needs evidence that is not known, or is empty in every sample.
        CheckpointError: a part cannot be read, or a file not written.
    """
    run, target, rows = evaluation.run, evaluation.target, evaluation.rows
    files = filled([rows_path for found in parts for rows_path, _ in found])
    if not files:
        raise InputError(NOTHING_MEASURED)
    summary = summarise_parts(files, run.tested_name)
    if summary.empty:
        raise InputError(ALL_EVIDENCE_EMPTY)
    protocol, folder = PROTOCOLS[run.config.evaluation.protocol], run.results_folder
    notes = notes_of(evaluation)
    shares = measured_shares(run, target, rows)
    if shares:
        notes.append(share_note(shares))
    judged = any(m.judge is not None for m in evaluation.measurements)
    judge = judge_facts(run, target) if judged else {}
    if judge:
        notes.append(judge_note(judge))
    seed = run.config.evaluation.seed
    curves = [merge_seeds(mean_curves_of([path for _, path in found], seed)) for found in parts]
    results = {
        "name": run.config.name,
        "dataset": run.tested_name,
        **({} if protocol.name == DEFAULT else {"protocol": protocol.name}),
        "evaluation": measured_by(run.config.evaluation),
        "measured": {"rows": content, **makers(evaluation)},
        **{k: repeatable_facts(v) for k, v in run.facts.items() if k in ("target", "scorers")},
        "notes": notes,
        **({"modality_share": shares} if shares else {}),
        **({"judge": judge} if judge else {}),
        "rows": plain_rows(summary),
    }
    write_scores(files, folder / "scores.parquet")
    _write_curves(curves, folder / "curves.parquet")
    write_text(folder / "table.md", markdown_table(results["rows"]))
    write_json(folder / "results.json", results)


def notes_of(evaluation: Evaluation) -> list[str]:
    """What a reader must know of the run, its rows and its methods."""
    run, target, rows = evaluation.run, evaluation.target, evaluation.rows
    section = run.config.evaluation
    notes = elsewhere_notes(run)
    notes += [note] if (note := PROTOCOLS[section.protocol].note(target.modalities)) else []
    notes += degeneracy_notes(target, rows, evaluation.rivals)
    notes += cancelling_notes(target, rows, evaluation.rivals, section.protocol)
    notes += removal_notes(target, rows, fills_of(section, target))
    return notes + unseen_evidence_notes(rows, section.metrics or default_metrics(), section.batch_size)


def _write_curves(curves: Sequence[pd.DataFrame], path: Path) -> None:
    with replace_file(path) as tmp:
        pd.concat([c for c in curves if len(c)] or curves[:1], ignore_index=True).to_parquet(tmp, index=False)


def makers(evaluation: Evaluation) -> dict[str, Any]:
    """What made the maps: fingerprints of the target and of each scorer, and answers of the target."""
    methods = {name: m for found in evaluation.measurements for name, m in found.methods.items()}
    scorers = {name: m.fingerprint for name, m in methods.items() if isinstance(m, ScorerMethod)}
    return {"target": evaluation.target.fingerprint(), **evaluation.answers, "scorers": scorers}


def elsewhere_notes(run: Run) -> list[str]:
    """A sentence if a run is measured on another data set than its own."""
    other = run.config.evaluation.data
    if other is None:
        return []
    return [
        f"Measured on the {other.split} split of {other.name}, on which neither the target nor a scorer was trained. The "
        f"target knows the classes of {run.config.data.name} alone, so every map explains whatever it says."
    ]


def repeatable_facts(facts: Any) -> Any:
    """Facts of a training that are the same whenever and wherever it is repeated."""
    if not isinstance(facts, Mapping):
        return facts
    return {k: repeatable_facts(v) for k, v in facts.items() if not str(k).endswith(NOT_REPEATABLE)}


def measure(
    run: Run,
    target: TargetModel,
    rows: Any,
    methods: Mapping[str, Method],
    folder: Path | None = None,
    content: Mapping[str, Any] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every method on ``rows`` as ``run.config.evaluation`` says, resuming in ``folder``.

    Args:
        methods: by name. What follows a ``#`` is the seed of a scorer.
        folder: of finished batches. Default ``evaluation/`` of the run.
        content: of the rows, if it is known.

    Returns:
        Per-sample rows with a ``seed`` column, and mean curves.
    """
    found = [run_evaluation(m, content=content) for m in measurements(run, target, rows, methods, folder)]
    return split_seed(pd.concat([f.rows for f in found], ignore_index=True)), merge_seeds(found[0].curves)


def measurements(
    run: Run, target: TargetModel, rows: Any, methods: Mapping[str, Method], folder: Path | None = None
) -> list[Measurement]:
    """What ``run.config.evaluation`` asks of ``methods``. See :func:`measure`."""
    section = run.config.evaluation
    fills = fills_of(section, target)
    require_unlike(fills, target.modalities, "evaluation.fills")
    settings = _settings(section, fills, groups_of(section, target.modalities))
    folder = run.results_folder / "evaluation" if folder is None else folder
    split = split_batches(target, rows, section)
    require_measurable(settings.metrics, split.whole.rows)
    require_unjudged(settings.metrics, settings.protocol, target.modalities, methods)
    found = [Measurement(target, split.whole, methods, settings, folder / "full")]
    if settings.judged:
        found[0].require_folder()  # refused now, and not when a judge was trained
        found = [replace(found[0], judge=judge_of(run, target))]
    quick = [m for m in settings.metrics if METRICS[m].one_pass]
    slow = {r.name for r in make_rivals(section.few_samples)}
    for name, batches, wanted in (("single", split.single, False), ("few", split.few, True)):
        chosen = {n: m for n, m in methods.items() if (n in slow) == wanted}
        if len(batches) and quick and chosen:
            found.append(
                Measurement(target, batches, chosen, replace(settings, metrics=quick), folder / name)
            )
    return found


def check_evaluation(section: EvaluationSection) -> None:
    """Refuse what no target could be measured by, so that nobody trains for hours before it is said.

    Raises:
        ConfigError: a rival, metric, granularity or protocol is unknown, or a value out of range.
    """
    rivals_of(section)
    _settings(section, ["zero"] if section.fills is None else section.fills, [])


def _settings(
    section: EvaluationSection, fills: Sequence[str], groups: Sequence[tuple[str, ...]]
) -> EvalSettings:
    choices = {"metrics": section.metrics or default_metrics(), "granularities": section.granularities}
    return EvalSettings(
        **{"fills": fills, **choices, **PROTOCOLS[section.protocol].fixed()},
        protocol=section.protocol,
        steps=section.steps,
        groups=groups,
        forward_batch=section.forward_batch,
        seed=section.seed,
        judge=judge_settings(section),
    )


def measured_shares(run: Run, target: TargetModel, rows: TestRows) -> dict[str, Any]:
    """What each modality is worth to the run's target. Writes ``modality_share.parquet``. Empty for one modality."""
    names = tuple(target.modalities)
    if len(names) < 2:
        return {}
    others = reference_inputs(run, target)
    frame = share_rows(target, rows, others, batch_size=run.config.evaluation.batch_size)
    with replace_file(run.results_folder / "modality_share.parquet") as tmp:
        frame.to_parquet(tmp, index=False)
    return share_summary(frame, names)


def plain_rows(summary: pd.DataFrame) -> list[dict[str, Any]]:
    """Summary lines as JSON values. What is undefined becomes ``None``."""
    return [
        {str(k): (None if isinstance(v, float) and np.isnan(v) else v) for k, v in row.items()}
        for row in summary.to_dict("records")
    ]


def as_categories(frame: pd.DataFrame) -> pd.DataFrame:
    """Text columns as categories and float32 values: a tenth of the size on disk."""
    names = [c for c in frame.columns if frame[c].dtype == object or str(frame[c].dtype) in ("str", "string")]
    small = frame.assign(**{c: frame[c].astype("category") for c in names})
    return small.assign(value=small["value"].astype(np.float32))
