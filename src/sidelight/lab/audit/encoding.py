"""Do maps give the answer away by their shape? Other classifiers judge the masks made for one model.

A scorer trained with its target can learn masks that make this target say the class, whatever they show. The
class is then *encoded* in the mask. Such a mask does not work on classifiers that never saw a map. It encodes the
class if two things hold. The target keeps its prediction under the mask. An independent classifier, trained on
masked inputs, does no better under it than under random masks of the same area.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sidelight.core.safe_output import short
from sidelight.core.seeds import sample_seed
from sidelight.core.tensors import decisions, predictable, probabilities
from sidelight.core.terminal import track
from sidelight.core.types import Inputs, Scores
from sidelight.errors import InputError
from sidelight.inputs.base import Batch
from sidelight.lab.audit.base import AuditedRun, Findings, Maps, check, each_map
from sidelight.lab.audit.tables import Tally, drawn, number, per_method, pivot
from sidelight.lab.baselines import make_rival
from sidelight.lab.config.sections import TargetSection
from sidelight.lab.evaluation.batches import TestBatches
from sidelight.lab.evaluation.methods import set_reference
from sidelight.lab.evaluation.settings import Method
from sidelight.lab.metrics.ranking import area_counts, ranks
from sidelight.lab.runs.classifier import accuracy, record_of, train_classifier
from sidelight.lab.runs.folder import digest
from sidelight.lab.runs.labelled import numbered_for, same_classes
from sidelight.lab.runs.masked_training import masked_training, shuffled
from sidelight.lab.runs.trained_with import folder_of_rows
from sidelight.lab.tables.table import Table, text_table
from sidelight.targets import TargetModel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TARGET, INDEPENDENT, OTHER = "target", "independent", "other"
CLASSIFIERS = {
    TARGET: "the target itself",
    INDEPENDENT: "independent classifier",
    OTHER: "another run's target",
}
SOFT, SHUFFLED = "map", "map, shuffled"


@dataclass(frozen=True)
class Judged:
    """One classifier's view of one batch: inputs, probabilities ``[B, K]`` of the whole inputs, fill values.

    ``order`` holds the classifier's number of each class of the target, so that classes go by name.
    """

    classifier: TargetModel
    order: list[int] | slice
    inputs: Inputs
    clean: Tensor
    values: Mapping[str, Mapping[str, Tensor]]

    @property
    def independent(self) -> bool:
        """Whether the classifier decides each label by itself."""
        return self.classifier.independent

    @torch.no_grad()
    def probabilities(self, scores: Scores) -> dict[str, Tensor]:
        """``[B, K]`` of the inputs under ``scores``, by fill, in the target's order of classes."""
        laid = {m: s.to(self.classifier.device) for m, s in scores.items()}
        return {
            fill: probabilities(self.classifier.classify(self.inputs, laid, values), self.independent).cpu()[
                :, self.order
            ]
            for fill, values in self.values.items()
        }


def _judge_batch(
    audited: AuditedRun,
    batches: TestBatches,
    batch: Batch,
    classifiers: Mapping[str, TargetModel],
    methods: Mapping[str, Method],
    tally: Tally,
) -> None:
    section, target = audited.section, audited.target
    judged = {n: _judged(n, c, audited, batches, batch) for n, c in classifiers.items()}
    sure, independent = judged[TARGET].clean, target.independent
    classes = predictable(sure, independent).argmax(-1)
    said = decisions(sure, classes, independent)
    group = tuple(target.modalities)
    for about, own in each_map(methods, target, batch, classes.to(target.device), [group], section.seed):
        for mask, scores in masks_of(own, section.areas, batch.ids, section.seed).items():
            for name, found in judged.items():
                for fill, p in found.probabilities(own.layout.unflatten(scores)).items():
                    values = verdicts(p, found.clean, classes, batch.labels, said if independent else None)
                    tally.add_each(values, judge=name, **about, mask=mask, fill=fill)


def masks_of(maps: Maps, areas: Sequence[float], ids: Sequence[int], seed: int = 0) -> dict[str, Tensor]:
    """Masks ``[B, N]`` in [0, 1] from a map: itself, its values at random places, its top at each area."""
    seeds = [sample_seed(seed, i, 29) for i in ids]
    found = {SOFT: maps.soft, SHUFFLED: shuffled(maps.soft, maps.real, seeds)}
    place = ranks(maps.order, maps.real, ids, seed)
    counts = area_counts(maps.real.sum(1), areas)
    for column, area in enumerate(areas):
        found[f"{100 * area:g}%"] = ((place < counts[:, column : column + 1]) & maps.real).float()
    return found


def verdicts(
    p: Tensor, clean: Tensor, classes: Tensor, labels: Tensor | None, said: Tensor | None = None
) -> dict[str, Tensor]:
    """Scores of a classifier's predictions on masked inputs, ``[B]`` each.

    Args:
        p: ``[B, K]`` probabilities on masked inputs.
        clean: ``[B, K]`` probabilities of the same classifier on whole inputs.
        classes: ``[B]`` predictions of the explained target on whole inputs.
        labels: ``[B]`` labels of the data, if there are any, or ``[B, L]`` flags of independent ones.
        said: ``[B]`` whether the target says that its label is there, if labels are independent.

    Returns:
        ``agreement`` with ``classes``, ``kept`` (agreement with the classifier's own prediction), ``confidence`` in
        ``classes``, and ``accuracy`` if there are labels.
    """
    independent = said is not None
    now = decisions(p, classes, independent)
    found = {
        "agreement": now == (classes if said is None else said),
        "kept": now == decisions(clean, classes, independent),
        "confidence": p.gather(1, classes[:, None]).squeeze(1),
    }
    if labels is not None:
        right = labels.gather(1, classes[:, None]).squeeze(1).bool() if independent else labels
        found["accuracy"] = now == right
    return {name: value.double() for name, value in found.items()}


def _judged(
    name: str, classifier: TargetModel, audited: AuditedRun, batches: TestBatches, batch: Batch
) -> Judged:
    target, inputs = audited.target, batch.inputs
    if classifier is not target:
        inputs = classifier.reader.read([batches.rows[i] for i in batch.ids]).to(classifier.device).inputs
        own, wanted = classifier.feature_mask(inputs), target.feature_mask(batch.inputs)
        for modality, real in wanted.items():
            if own[modality].shape != real.shape or not torch.equal(own[modality].cpu(), real.cpu()):
                raise InputError(
                    f"{CLASSIFIERS[name]} has other features of {modality!r} than the target, "
                    f"{tuple(own[modality].shape)} and {tuple(real.shape)} (or other tokens are real): a map of one "
                    "fits no input of the other. Give both the same preprocessing."
                )
    seeds = [sample_seed(audited.section.seed, i, 23) for i in batch.ids]
    values = {fill: classifier.fill_values(inputs, fill, seeds) for fill in audited.fills}
    numbers = same_classes(target, classifier)
    order = list(numbers.values()) if numbers else slice(None)  # both may have no names at all
    clean = classifier.encode(inputs).probabilities.cpu()[:, order]
    return Judged(classifier, order, inputs, clean, values)


def check_classifiers(classifiers: Mapping[str, TargetModel]) -> None:
    """Raise :class:`InputError` if a classifier has other modalities or classes than the target."""
    target = classifiers[TARGET]
    for name, other in classifiers.items():
        if set(other.modalities) != set(target.modalities) or same_classes(target, other) is None:
            raise InputError(
                f"{CLASSIFIERS[name]} reads {_read_by(other)}, the target {_read_by(target)}. Both must read the same and "
                "have the same classes by name, in whatever order."
            )


def _read_by(target: TargetModel) -> str:
    names = [short(name, 40) for name in target.id2label.values()]
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    return f"{' and '.join(target.modalities)} and has {len(names)} classes ({shown})"


def classifier_section(audited: AuditedRun) -> TargetSection:
    """The section of the independent classifier: ``audit.classifier``, or the target's. It keeps the preprocessing."""
    target, own = audited.run.config.target, audited.section.classifier
    if own is None:
        return target
    kept = {k: getattr(own, k) or getattr(target, k) for k in ("transform", "tokenizer")}
    return own.model_copy(update={**kept, "options": own.options or target.options})


def independent(audited: AuditedRun) -> TargetModel:
    """The classifier for randomly masked inputs: trained now, or read back if an earlier audit trained it."""
    run, section = audited.run, classifier_section(audited)
    assert section.training is not None  # refusal() has made sure
    seed = section.training.seed + 101 + audited.section.seed  # not the target's own start
    training = type(section.training)(**{**asdict(section.training), "seed": seed})
    section = section.model_copy(update={"training": training})
    about = [section.model_dump(), asdict(training), audited.fills, run.config.data.model_dump()]
    about += [audited.code] if audited.code else []
    folder = audited.folder / f"classifier-{digest(about)}"
    kept = run.saved_target(folder, section)
    target = run.new_target(section) if kept is None else kept
    rows = [numbered_for(run.rows(split), audited.target, target) for split in ("train", "validation")]
    own = folder_of_rows(folder, record_of(folder), *rows)
    if own != folder:
        folder, kept, target = own, run.saved_target(own, section), run.new_target(section)
    if kept is not None:
        return kept
    set_reference(run, target)
    train_classifier(masked_training(target, audited.fills), rows[0], rows[1], folder, training)
    return target


def refusal(audited: AuditedRun) -> str | None:
    """The run must know how to train an independent classifier."""
    if classifier_section(audited).training is None:
        return (
            "the run does not train its target, so there is no recipe for an independent classifier: give "
            "audit.classifier with architecture (or pretrained) and training."
        )
    return None


def tables(found: Findings) -> list[Table]:
    """Accuracies, then a table a classifier and fill: agreement with the target's prediction under each mask."""
    names = found["facts"]["accuracy"]
    whole = [number(value) for value in names.values()]
    out = [text_table("Accuracy on whole inputs", [CLASSIFIERS[name] for name in names], [whole])]
    for name in names:
        for fill in found["facts"]["fills"]:
            rows = [r for r in found["rows"] if (r["judge"], r["fill"]) == (name, fill)]
            title = f"{CLASSIFIERS[name]}, {fill} fill"
            agreement = [r for r in rows if r["metric"] == "agreement"]
            out.append(pivot(f"Agreement with the target's prediction: {title}", agreement, "mask"))
            if name == OTHER:
                kept = [r for r in rows if r["metric"] == "kept"]
                out.append(pivot(f"Its own prediction kept: {title}", kept, "mask"))
    return out


def figures(found: Findings) -> dict[str, Figure]:
    """One picture a fill: a panel a classifier, agreement against the area shown, a line a method."""
    from sidelight.lab.figures.audit import Panel, plot_lines

    out = {}
    for fill in found["facts"]["fills"]:
        panels = []
        for name in found["facts"]["accuracy"]:
            rows = [
                r for r in found["rows"] if (r["judge"], r["fill"], r["metric"]) == (name, fill, "agreement")
            ]
            areas = [r for r in rows if r["mask"].endswith("%")]
            chosen = per_method(areas, lower_is_better=False)
            lines = {m: [(float(r["mask"][:-1]), r["mean"]) for r in own] for m, own in chosen.items()}
            panels.append(Panel(CLASSIFIERS[name], lines, marks=drawn(chosen)))
        out[f"encoding-{fill}"] = plot_lines(
            panels, "share shown, %", "agreement with the target's prediction"
        )
    return out


@check(
    "Encoding",
    ("rivals", "count_wide", "areas", "fills", "classifier"),
    tables=tables,
    figures=figures,
    refusal=refusal,
    uses_other=True,
)
def encoding(audited: AuditedRun) -> Findings:
    """Do the masks show evidence, or do they make the target say the class by their shape? At equal area
    the independent classifier, trained on random masks, should agree with the target more often on what a
    method shows than on what random maps show, and its lead should follow the target's own. A method that
    leads with the target alone encodes the class.
    """
    classifiers: dict[str, TargetModel] = {TARGET: audited.target, INDEPENDENT: independent(audited)}
    facts: dict[str, Any] = {"fills": audited.fills}
    if audited.other is not None:
        classifiers[OTHER] = audited.other.open_target()
        facts["other"] = audited.other.config.name
    check_classifiers(classifiers)
    for classifier in classifiers.values():
        if classifier is not audited.target:
            set_reference(audited.run, classifier)
    methods = audited.methods()
    methods.setdefault("random", make_rival("random"))
    batches = audited.batches(audited.section.count_wide)
    facts["accuracy"] = {
        name: round(accuracy(c, numbered_for(batches.rows, audited.target, c), name="test"), 6)
        for name, c in classifiers.items()
    }
    tally = Tally()
    for batch in track(batches, "judging masks", total=len(batches)):
        _judge_batch(audited, batches, batch, classifiers, methods, tally)
    return {"rows": tally.rows(), "facts": facts}
