"""Do maps hand the answer over in their shape? Masks made for one model are judged by others.

A scorer trained with its target can learn masks that make this target say the class, whatever they show: the
class is then *encoded* in the mask. Classifiers that never saw a map cannot be talked into it. If the target
keeps its prediction on what a mask shows and an independent classifier, at home in masked inputs, does no
better than on random masks of the same area, the mask encodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sidelight.core.tensors import probabilities
from sidelight.core.types import Inputs, Scores
from sidelight.errors import InputError
from sidelight.inputs.collate import Collator
from sidelight.lab.audit.base import CHECKS, Check, Findings, Reading, Subject, digest, read_maps
from sidelight.lab.audit.judges import masked_training, shuffled
from sidelight.lab.audit.tables import Table, Tally, choose, number, pivot
from sidelight.lab.baselines import make_rival
from sidelight.lab.config.sections import TargetSection
from sidelight.lab.evaluation.batches import TestBatches
from sidelight.lab.evaluation.methods import set_reference
from sidelight.lab.evaluation.settings import EvalBatch, Method
from sidelight.lab.metrics.ranking import area_counts, ranks, sample_seed
from sidelight.lab.runs.classifier import accuracy, train_classifier
from sidelight.targets import TargetModel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TARGET, INDEPENDENT, OTHER = "target", "independent", "other"
JUDGES = {TARGET: "the target itself", INDEPENDENT: "independent classifier", OTHER: "another run's target"}
SOFT, SHUFFLED = "map", "map, shuffled"


@dataclass(frozen=True)
class Sitting:
    """One judge's view of one batch: its inputs, what it says of them unmasked, and its fills' values."""

    judge: TargetModel
    inputs: Inputs
    clean: Tensor
    values: Mapping[str, Mapping[str, Tensor]]


def measure(subject: Subject) -> Findings:
    """Train the independent classifier where it is not yet, and let every judge see every mask."""
    section = subject.section
    judges: dict[str, TargetModel] = {TARGET: subject.target, INDEPENDENT: independent(subject)}
    facts: dict[str, Any] = {"fills": _fills(subject)}
    if subject.other is not None:
        judges[OTHER] = subject.other.open_target()
        facts["other"] = subject.other.config.name
    check_judges(judges)
    for judge in judges.values():
        if judge is not subject.target:
            set_reference(subject.run, judge)
    methods = subject.methods()
    methods.setdefault("random", make_rival("random"))
    batches = subject.batches(section.count_wide)
    facts["accuracy"] = {name: round(accuracy(j, batches.rows), 6) for name, j in judges.items()}
    tally = Tally()
    for batch in subject.track(batches, "judging masks", len(batches)):
        _judge_batch(subject, batches, batch, judges, methods, tally)
    return {"rows": tally.rows(), "facts": facts}


def _judge_batch(
    subject: Subject,
    batches: TestBatches,
    batch: EvalBatch,
    judges: Mapping[str, TargetModel],
    methods: Mapping[str, Method],
    tally: Tally,
) -> None:
    section, target = subject.section, subject.target
    labels = Collator(target)([batches.rows[i] for i in batch.ids]).get("labels")
    sittings = {
        name: _sitting(name, judge, target, batches, batch, _fills(subject), section.seed)
        for name, judge in judges.items()
    }
    classes = sittings[TARGET].clean.argmax(-1)
    group = tuple(target.modalities)
    for name, method in methods.items():
        found = read_maps(method, target, batch, classes.to(target.device), [group], section.seed)
        for (modality, reading), own in found.items():
            about = {"modality": modality, "method": name, "reading": reading}
            for mask, scores in masks_of(own, section.areas, batch.ids, section.seed).items():
                for judge_name, sitting in sittings.items():
                    for fill, p in _probabilities(sitting, own.layout.unflatten(scores)).items():
                        values = verdicts(p, sitting.clean, classes, labels)
                        tally.add_each(values, judge=judge_name, **about, mask=mask, fill=fill)


def _probabilities(sitting: Sitting, scores: Scores) -> dict[str, Tensor]:
    """``[B, K]`` of the masked inputs, by fill."""
    laid = {m: s.to(sitting.judge.device) for m, s in scores.items()}
    with torch.no_grad():
        return {
            fill: probabilities(sitting.judge.classify(sitting.inputs, laid, values)).cpu()
            for fill, values in sitting.values.items()
        }


def masks_of(
    reading: Reading, areas: Sequence[float], ids: Sequence[int], seed: int = 0
) -> dict[str, Tensor]:
    """Masks ``[B, N]`` in [0, 1] that a map gives: itself, its values at random places, its top at each area."""
    seeds = [sample_seed(seed, i, 29) for i in ids]
    found = {SOFT: reading.soft, SHUFFLED: shuffled(reading.soft, reading.real, seeds)}
    place = ranks(reading.order, reading.real, ids, seed)
    counts = area_counts(reading.real.sum(1), areas)
    for column, area in enumerate(areas):
        found[f"{100 * area:g}%"] = ((place < counts[:, column : column + 1]) & reading.real).float()
    return found


def verdicts(p: Tensor, clean: Tensor, classes: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
    """What a judge's probabilities say of masked inputs, ``[B]`` each.

    Args:
        p: ``[B, K]`` on what the masks show.
        clean: ``[B, K]`` the same judge's on whole inputs.
        classes: ``[B]`` what the explained target predicts on whole inputs.
        labels: ``[B]`` the data's, where there are such.

    Returns:
        ``agreement`` with ``classes``; ``kept``, agreement with the judge's own prediction; ``confidence`` in
        ``classes``; ``accuracy``.
    """
    said = p.argmax(-1)
    found = {
        "agreement": said == classes,
        "kept": said == clean.argmax(-1),
        "confidence": p.gather(1, classes[:, None]).squeeze(1),
    }
    if labels is not None:
        found["accuracy"] = said == labels
    return {name: value.double() for name, value in found.items()}


def _sitting(
    name: str,
    judge: TargetModel,
    target: TargetModel,
    batches: TestBatches,
    batch: EvalBatch,
    fills: Sequence[str],
    seed: int,
) -> Sitting:
    inputs: Inputs = batch.inputs
    if judge is not target:
        inputs = Collator(judge)([batches.rows[i] for i in batch.ids])
        inputs = judge.to_device({k: v for k, v in inputs.items() if k != "labels"})
        own, wanted = judge.feature_mask(inputs), target.feature_mask(batch.inputs)
        for modality, real in wanted.items():
            if own[modality].shape != real.shape or not torch.equal(own[modality].cpu(), real.cpu()):
                raise InputError(
                    f"{JUDGES[name]} has other features of {modality!r} than the target, "
                    f"{tuple(own[modality].shape)} and {tuple(real.shape)} (or other tokens are real): a map of one "
                    "fits no input of the other. Give both the same preprocessing."
                )
    seeds = [sample_seed(seed, i, 23) for i in batch.ids]
    values = {fill: judge.fill_values(inputs, fill, seeds) for fill in fills}
    return Sitting(judge, inputs, judge.encode(inputs).probabilities.cpu(), values)


def check_judges(judges: Mapping[str, TargetModel]) -> None:
    """Raise :class:`InputError` where a judge has other modalities or classes than the target."""
    target = judges[TARGET]
    for name, judge in judges.items():
        if set(judge.modalities) != set(target.modalities) or judge.id2label != target.id2label:
            raise InputError(
                f"{JUDGES[name]} reads {', '.join(judge.modalities)} and tells {len(judge.id2label)} classes apart, "
                f"the target {', '.join(target.modalities)} and {len(target.id2label)}: they must be the same ones."
            )


def _fills(subject: Subject) -> list[str]:
    return list(subject.section.fills or subject.run.config.objective.fills)


def classifier_section(subject: Subject) -> TargetSection:
    """How the independent classifier is built: ``audit.classifier``, or like the target; preprocessing as there."""
    target, own = subject.run.config.target, subject.section.classifier
    if own is None:
        return target
    kept = {k: getattr(own, k) or getattr(target, k) for k in ("transform", "tokenizer")}
    return own.model_copy(update={**kept, "options": own.options or target.options})


def independent(subject: Subject) -> TargetModel:
    """The classifier trained on randomly masked inputs, or the one that was."""
    run, section = subject.run, classifier_section(subject)
    assert section.training is not None  # refusal() has made sure
    seed = section.training.seed + 101 + subject.section.seed  # not the target's own start
    training = type(section.training)(**{**asdict(section.training), "seed": seed})
    section = section.model_copy(update={"training": training})
    about = [section.model_dump(), asdict(training), _fills(subject), run.config.data.model_dump()]
    folder = subject.folder / f"classifier-{digest(about)}"
    kept = run.saved_target(folder, section)
    if kept is not None:
        return kept
    target = run.new_target(section)
    set_reference(run, target)
    rows = run.rows("train"), run.rows("validation")
    train_classifier(masked_training(target, _fills(subject)), *rows, folder, training)
    return target


def refusal(subject: Subject) -> str | None:
    """There must be a way to train an independent classifier."""
    if classifier_section(subject).training is None:
        return (
            "the run does not train its target, so there is no recipe for an independent classifier: give "
            "audit.classifier with architecture (or pretrained) and training."
        )
    return None


def tables(found: Findings) -> list[Table]:
    """Accuracies, then a table a judge and fill: agreement with the target's prediction under each mask."""
    judges = found["facts"]["accuracy"]
    whole = [number(value) for value in judges.values()]
    out = [Table("Accuracy on whole inputs", [JUDGES[name] for name in judges], [whole])]
    for name in judges:
        for fill in found["facts"]["fills"]:
            rows = [r for r in found["rows"] if (r["judge"], r["fill"]) == (name, fill)]
            title = f"{JUDGES[name]}, {fill} fill"
            agreement = [r for r in rows if r["metric"] == "agreement"]
            out.append(pivot(f"Agreement with the target's prediction: {title}", agreement, "mask"))
            if name == OTHER:
                kept = [r for r in rows if r["metric"] == "kept"]
                out.append(pivot(f"Its own prediction kept: {title}", kept, "mask"))
    return out


def figures(found: Findings) -> dict[str, Figure]:
    """One picture a fill: a panel a judge, agreement against the area shown, a line a method."""
    from sidelight.lab.figures.audit import Panel, plot_lines

    out = {}
    for fill in found["facts"]["fills"]:
        panels = []
        for name in found["facts"]["accuracy"]:
            rows = [
                r for r in found["rows"] if (r["judge"], r["fill"], r["metric"]) == (name, fill, "agreement")
            ]
            areas = [r for r in rows if r["mask"].endswith("%") and r["mean"] is not None]
            lines: dict[str, list[tuple[float, float]]] = {}
            for r in choose(areas, lower_is_better=False):
                lines.setdefault(r["method"], []).append((float(r["mask"][:-1]), r["mean"]))
            panels.append(Panel(JUDGES[name], lines))
        out[f"encoding-{fill}"] = plot_lines(
            panels, "share shown, %", "agreement with the target's prediction"
        )
    return out


CHECKS.add(
    "encoding",
    Check(
        name="encoding",
        title="Encoding",
        question="Do the masks show evidence, or do they make the target say the class by their shape? At equal area "
        "the independent classifier, trained on random masks, should agree with the target more often on what a "
        "method shows than on what random maps show, and its lead should follow the target's own. A method that "
        "leads with the target alone encodes the class.",
        settings=("rivals", "count_wide", "areas", "fills", "classifier"),
        measure=measure,
        tables=tables,
        figures=figures,
        refusal=refusal,
        uses_other=True,
    ),
)
