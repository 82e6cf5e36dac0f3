"""Does a scorer need a trained target? The check trains one beside a random target and compares the maps.

Cascading randomisation keeps the scorer. This check trains it anew: a likeness that stays does not depend on the
target's knowledge. The control is trained with the same small budget beside the target as it is. It shows how
alike two honest trainings are. With ``audit.labels`` the check also trains a classifier on shuffled labels (the
data randomisation of Adebayo et al. 2018), and all methods explain it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from sidelight.core.files import write_json
from sidelight.core.folders import recover_folder
from sidelight.core.names import OURS
from sidelight.explainer import Explainer
from sidelight.inputs.base import Batch
from sidelight.inputs.row_parts import split_row
from sidelight.lab.audit.base import SIMILARITIES, AuditedRun, Findings, check, compare, each_map
from sidelight.lab.audit.blocks import randomised_copy
from sidelight.lab.audit.tables import Tally, by_metric, drawn, modalities, per_method, pivot
from sidelight.lab.evaluation.settings import Method
from sidelight.lab.runs.classifier import accuracy, record_of, train_classifier
from sidelight.lab.runs.folder import digest
from sidelight.lab.runs.stored_files import read_record
from sidelight.lab.runs.trained_with import folder_of_rows, require_same_answers
from sidelight.lab.tables.table import Table
from sidelight.targets import TargetModel
from sidelight.training.folder import drop_checkpoints

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COMPARISONS = {
    "control": "trained again, same target",
    "randomised": "random target",
    "labels": "target of shuffled labels",
}


class Relabelled(Sequence[Any]):
    """Rows of a data set with other labels.

    Args:
        rows: mappings or pairs ``(sample, label)``.
        labels: one class index a row, or a list of flags. Rows beyond the last label are left out.
    """

    def __init__(self, rows: Any, labels: Sequence[Any]) -> None:
        self.rows = rows
        self.labels = [label if isinstance(label, list) else int(label) for label in labels]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Any) -> Any:
        row, label = self.rows[index], self.labels[index]
        sample = split_row(row)[0]
        return {**sample, "label": label} if isinstance(row, Mapping) else (sample, label)


def shuffled_labels(rows: Any, seed: int) -> Relabelled:
    """``rows`` with permuted labels: the classes keep their frequencies, but do not fit the samples."""
    labels = np.array([split_row(rows[i])[1] for i in range(len(rows))])
    return Relabelled(rows, np.random.default_rng(seed).permutation(labels).tolist())


def compare_all(
    audited: AuditedRun,
    batches: Sequence[Batch],
    methods: Mapping[str, tuple[TargetModel, Mapping[str, Method]]],
) -> list[dict[str, Any]]:
    """Rows of every comparison's methods against the methods of the same names beside the run's own target."""
    section, tally = audited.section, Tally()
    wanted = {name for _, found in methods.values() for name in found}
    before = {n: m for n, m in audited.methods().items() if n in wanted}
    for batch in batches:
        classes: Tensor = audited.target.encode(batch.inputs).prediction.clone()
        maps = each_map(before, audited.target, batch, classes, seed=section.seed)
        first = {tuple(about.values()): own for about, own in maps}
        for comparison, (target, found) in methods.items():
            for about, own in each_map(found, target, batch, classes, seed=section.seed):
                values = compare(first[tuple(about.values())], own, section.top_share)
                tally.add_each(values, comparison=comparison, **about)
    return tally.rows()


def retrained(
    audited: AuditedRun, name: str, target: TargetModel, rows: Any
) -> tuple[Explainer, dict[str, float]]:
    """A scorer trained beside ``target`` with the audit's budget, and its training metrics.

    A scorer of an earlier audit is read back. The folder's name depends on all settings, so a change of settings
    or of rows trains anew.
    """
    run, section = audited.run, audited.section
    training = replace(
        run.config.training,
        epochs=section.epochs,
        seed=max(run.config.seeds) + 1 + section.seed,  # differs from all seeds of the run
        on_collapse="warn",
    )
    config = run.scorer_config(target)
    about = [config.to_dict(), asdict(run.config.objective), asdict(training), len(rows), section.train]
    about += [target.fingerprint(), run.config.data.model_dump(), name]
    about += [audited.code] if audited.code else []
    folder = audited.folder / f"scorer-{name}-{digest(about)}"
    validation = run.rows("validation")
    folder = folder_of_rows(folder, folder, rows, validation)
    recover_folder(folder / "scorer")
    require_same_answers(folder, target, rows)
    if (folder / "metrics.json").is_file():
        metrics = read_record(folder / "metrics.json", "audit")
        return Explainer.from_pretrained(folder / "scorer", target), dict(metrics)
    explainer = Explainer.fit(
        target,
        rows,
        eval=validation,
        scorer=config,
        objective=run.config.objective,
        training=training,
        output_dir=folder,
    )
    metrics = {k: round(v, 6) for k, v in explainer.training_metrics.items() if v == v}
    write_json(folder / "metrics.json", metrics)
    drop_checkpoints(folder)
    return explainer, metrics


def labels_target(audited: AuditedRun, rows: Relabelled) -> TargetModel:
    """A classifier like the run's, trained like it, on ``rows``."""
    run, section = audited.run, audited.run.config.target
    assert section.training is not None  # refusal() has made sure
    about = [section.model_dump(), asdict(section.training), rows.labels, run.config.data.model_dump()]
    folder = audited.folder / f"labels-{digest(about)}"
    validation = run.rows("validation")
    folder = folder_of_rows(folder, record_of(folder), rows, validation)
    kept = run.saved_target(folder)
    if kept is not None:
        return kept
    target = run.new_target()
    train_classifier(target, rows, validation, folder, section.training)
    return target


def refusal(audited: AuditedRun) -> str | None:
    """Shuffled labels need a target that is trained here."""
    if audited.section.labels and audited.run.config.target.training is None:
        return (
            "audit.labels asks for a classifier of shuffled labels, but the run does not train its target "
            "(no target.training): set audit.labels=false."
        )
    return None


def tables(found: Findings) -> list[Table]:
    """One table a modality and metric, the comparisons across."""
    out = []
    for modality in modalities(found["rows"]):
        for title, rows in by_metric(found["rows"], modality, SIMILARITIES):
            shown = [{**r, "comparison": COMPARISONS[r["comparison"]]} for r in rows]
            out.append(pivot(f"{title} with the audited scorer's map ({modality})", shown, "comparison"))
    return out


def figures(found: Findings) -> dict[str, Figure]:
    """One picture a modality: a panel a metric, a line a method, the comparisons as marks."""
    from sidelight.lab.figures.audit import Panel, plot_points

    out = {}
    for modality in modalities(found["rows"]):
        panels = []
        for title, rows in by_metric(found["rows"], modality, SIMILARITIES):
            chosen = per_method(rows, lower_is_better=True)
            points = {m: {COMPARISONS[r["comparison"]]: r["mean"] for r in own} for m, own in chosen.items()}
            if points:
                panels.append(Panel(title, points=points, marks=drawn(chosen)))
        out[f"retraining-{modality}"] = plot_points(panels, "similarity to the audited map")
    return out


@check(
    "Retraining beside a random target",
    ("count", "top_share", "train", "epochs", "labels", "rivals"),
    tables=tables,
    figures=figures,
    refusal=refusal,
)
def retraining(audited: AuditedRun) -> Findings:
    """Is a scorer that learned beside a random target any different? Its maps should be far less like
    the audited scorer's than those of the control, a scorer trained with the same budget beside the target
    as it is. Where both are equally alike, the maps show what the data look like, not what the target uses.
    """
    run, section = audited.run, audited.section
    batches = list(audited.batches(section.count))
    rows = run.rows("train", section.train)
    random = randomised_copy(audited.target, batches[0].inputs, section.seed)
    beside: dict[str, tuple[TargetModel, Any]] = {
        "control": (audited.target, rows),
        "randomised": (random, rows),
    }
    facts: dict[str, Any] = {"scorers": {}}
    if section.labels:
        shuffled = shuffled_labels(run.rows("train"), section.seed)
        target = labels_target(audited, shuffled)
        facts["labels"] = {
            "accuracy_shuffled": round(accuracy(target, shuffled, name="train"), 6),
            "accuracy_test": round(accuracy(target, run.rows("test"), name="test"), 6),
        }
        beside["labels"] = (target, Relabelled(shuffled.rows, shuffled.labels[: len(rows)]))
    methods: dict[str, tuple[TargetModel, Mapping[str, Method]]] = {}
    for name, (target, train) in beside.items():
        explainer, facts["scorers"][name] = retrained(audited, name, target, train)
        found = audited.methods(target, explainer.scorer)
        # the other methods depend on the target alone, so only a target trained otherwise changes their maps
        methods[name] = (target, found if name == "labels" else {OURS: found[OURS]})
    return {"rows": compare_all(audited, batches, methods), "facts": facts}
