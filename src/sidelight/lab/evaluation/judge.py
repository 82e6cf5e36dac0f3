"""The judge of a run: a copy of its target, trained on with random parts of its inputs removed.

It lies in ``RUN/judge/<digest>/``: ``target/`` (weights as safetensors) and ``judge.json`` (everything that it was made
from, and how well it does). The digest is of the former, so other settings make another judge. The target itself is
never trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from sidelight.checks.answers import ANSWERS, answers_to_first, other_answers
from sidelight.core.files import write_json
from sidelight.core.locks import hold
from sidelight.core.own_code import own_code
from sidelight.core.processes import is_main, wait
from sidelight.errors import CheckpointError, ConfigError
from sidelight.fills.base import functions_of
from sidelight.lab.config.sections import ClassifierTraining, EvaluationSection
from sidelight.lab.evaluation.methods import fills_of, set_reference
from sidelight.lab.metrics.judging import JudgeSettings
from sidelight.lab.runs.classifier import accuracy, answers, record_of, share_right, train_classifier
from sidelight.lab.runs.folder import digest
from sidelight.lab.runs.labelled import require_labels
from sidelight.lab.runs.masked_training import masked_training, random_removals
from sidelight.lab.runs.run import Run
from sidelight.lab.runs.stored_files import read_record
from sidelight.lab.runs.trained_with import folder_of_rows
from sidelight.targets import TargetModel
from sidelight.targets.copying import own_copy

#: at most so many validation rows tell how well a judge does
LOOKED_AT = 500


def judge_settings(section: EvaluationSection) -> JudgeSettings:
    """What is asked of the judge. Raises :class:`~sidelight.errors.ConfigError` for a value out of range."""
    own = section.judge
    return JudgeSettings(own.beta, own.alpha, tuple(own.sizes), own.draws, own.cells)


def judge_of(run: Run, target: TargetModel) -> TargetModel:
    """The judge of ``run``: the one in its folder, or else trained now.

    Raises:
        CheckpointError: its weights were changed since it was trained.
        BusyFolderError: another process trains it.
    """
    about = identity(run, target)
    folder = judge_folder(run, about)
    kept = run.saved_target(folder / "target")
    wait()  # all have looked before one of them writes
    if kept is None:
        with hold(folder, "judge"):
            _train(run, target, folder / "target")
        wait()  # running means differ from process to process, so all load the saved model
        kept = run.saved_target(folder / "target")
    if kept is None:
        raise CheckpointError(f"no judge in {folder} after its training: was the folder removed meanwhile?")
    kept.model.to(target.device)
    set_reference(run, kept)
    if is_main():
        _record(run, target, kept, folder / "judge.json", about)
    wait()
    return kept


def judge_facts(run: Run, target: TargetModel) -> dict[str, Any]:
    """What ``judge.json`` says of the judge that :func:`judge_of` gives, without its identity and the target's answers."""
    path = judge_folder(run, identity(run, target)) / "judge.json"
    return {
        k: v for k, v in read_record(path, "evaluate").items() if k not in ("format", "identity", ANSWERS)
    }


def judge_folder(run: Run, about: Mapping[str, Any]) -> Path:
    """The folder of the judge of identity ``about``. Its name depends on the identity, and on the rows if they changed."""
    folder = run.folder / "judge" / digest(about)
    return folder_of_rows(folder, record_of(folder / "target"), *_trained_on(run))


def judge_note(facts: Mapping[str, Any]) -> str:
    """A sentence for pages: who judges, and whether removed parts are still strange to it."""
    removed, kept = facts["removed"], facts["whole"]
    return (
        f"fidelity_plus, fidelity_minus and single_deletion ask a judge: a copy of the target that was trained on with "
        f"up to {facts['beta']:.0%} of its inputs removed. On {facts['n']} validation rows its accuracy is "
        f"{kept['judge']:.3f} on whole inputs and {removed['judge']:.3f} with that removed (the target's is "
        f"{kept['target']:.3f} and {removed['target']:.3f}), and it agrees with the target on {facts['agreement']:.1%}."
    )


def identity(run: Run, target: TargetModel) -> dict[str, Any]:
    """Everything that the judge's weights depend on, as plain values."""
    section = run.config.evaluation
    names = ("rows", "epochs", "batch_size", "learning_rate", "beta", "seed")
    code = own_code(functions_of(fills_of(section, target), target.modalities))
    return {
        **({"own code": code} if code else {}),
        "target": target.fingerprint(),
        "training": {name: getattr(section.judge, name) for name in names},
        "fills": fills_of(section, target),
        "data": run.config.data.model_dump(),
    }


def _train(run: Run, target: TargetModel, folder: Path) -> None:
    section = run.config.evaluation
    own = section.judge
    # nothing done to the copy reaches the target
    judge = own_copy(target)
    set_reference(run, judge)
    training = ClassifierTraining(
        epochs=own.epochs, batch_size=own.batch_size, learning_rate=own.learning_rate, seed=own.seed
    )
    draw = partial(random_removals, share=own.beta)
    fills = fills_of(section, target)
    train_classifier(masked_training(judge, fills, draw), *_trained_on(run), folder, training)


def _trained_on(run: Run) -> tuple[Sequence[Any], Sequence[Any]]:
    """The rows on which the judge is trained and validated."""
    return _rows(run, "train", run.config.evaluation.judge.rows), _rows(run, "validation", LOOKED_AT)


def _rows(run: Run, split: str, most: int | None) -> Sequence[Any]:
    """At most ``most`` rows of a split, and not more than the run itself takes."""
    counts = [n for n in (most, getattr(run.config.data, split)) if n is not None]
    rows: Sequence[Any] = run.rows(split, min(counts) if counts else None)
    return rows


def _record(run: Run, target: TargetModel, judge: TargetModel, path: Path, about: Mapping[str, Any]) -> None:
    """Write ``judge.json``, or compare the judge with what it says."""
    weights = judge.fingerprint()
    answers = answers_to_first(target, _trained_on(run)[0])
    if path.is_file():
        _require_recorded(read_record(path, "evaluate"), path.parent, weights, answers)
        return
    rows, beta = _rows(run, "validation", LOOKED_AT), run.config.evaluation.judge.beta
    fills = fills_of(run.config.evaluation, target)
    both = {"target": target, "judge": judge}
    write_json(
        path,
        {
            "format": "sidelight.judge",
            "identity": about,
            "fingerprint": weights,
            **answers,
            "beta": beta,
            "n": len(rows),
            "whole": {name: round(accuracy(m, rows), 6) for name, m in both.items()},
            "removed": {name: round(accuracy_without(m, rows, beta, fills), 6) for name, m in both.items()},
            "agreement": round(agreement(target, judge, rows), 6),
        },
    )


def _require_recorded(
    known: Mapping[str, Any], folder: Path, weights: str, answers: Mapping[str, Any]
) -> None:
    """Refuse a judge of other weights, or one of a target that answered otherwise. Earlier versions noted no answers."""
    if known.get("fingerprint") != weights:
        raise CheckpointError(
            f"the judge in {folder} has other weights than when it was trained. Remove that folder, so that it is trained "
            "again."
        )
    away = other_answers(known.get(ANSWERS), answers.get(ANSWERS))
    if away is not None:
        raise ConfigError(
            f"the judge in {folder} was trained from another classifier (different {away}). Bring that classifier back, or "
            "remove that folder, so that the judge is trained again."
        )


@torch.inference_mode()
def accuracy_without(
    target: TargetModel, rows: Sequence[Any], beta: float, fills: Sequence[str], batch_size: int = 64
) -> float:
    """:func:`~sidelight.lab.runs.classifier.accuracy` with random parts removed, the fills taking turns."""
    right, generator = 0.0, torch.Generator().manual_seed(0)
    with target.borrowed():
        for number, start in enumerate(range(0, len(rows), batch_size)):
            places = range(start, min(start + batch_size, len(rows)))
            batch = target.reader.read([rows[i] for i in places])
            inputs, fill = target.to_device(batch.inputs), fills[number % len(fills)]
            masks = random_removals(target, inputs, beta, generator)
            logits = target.classify(inputs, masks, fill, list(places)).cpu()
            right += float(share_right(logits, require_labels(batch.labels), target.independent).sum())
    return right / max(len(rows), 1)


def agreement(a: TargetModel, b: TargetModel, rows: Sequence[Any], batch_size: int = 64) -> float:
    """Share of ``rows`` for which two classifiers say the same. Of independent labels: share of equal decisions."""
    alike = 0.0
    for start in range(0, len(rows), batch_size):
        inputs = a.reader.read([rows[i] for i in range(start, min(start + batch_size, len(rows)))]).inputs
        said = [m.encode(m.to_device(inputs)).logits.cpu() for m in (a, b)]
        alike += float(share_right(said[0], answers(said[1], b.independent), a.independent).sum())
    return alike / max(len(rows), 1)
