"""The training loop of the scorer, around the Hugging Face Trainer."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidelight.checks.verdict_check import name_bad_rows
from sidelight.core.processes import largest
from sidelight.core.surroundings import training_surroundings
from sidelight.errors import InputError, NotFiniteError, SidelightError
from sidelight.inputs.collate import Collator
from sidelight.inputs.row_parts import RowReader
from sidelight.rows.row import NumberedRows, Rows
from sidelight.scorers import Scorer
from sidelight.targets import TargetModel
from sidelight.training.budget import within_budget
from sidelight.training.cost import cost_of_training
from sidelight.training.diagnostics import warn_if_lost, warn_of_numbering, warn_of_removal
from sidelight.training.folder import (
    best_checkpoint,
    claim_folder,
    is_finished,
    recorded_part,
    require_own_training,
    step_of,
)
from sidelight.training.identity import training_identity, with_answers
from sidelight.training.loss import ScorerObjective
from sidelight.training.memory import within_memory
from sidelight.training.quality import learn_quality
from sidelight.training.settings import ObjectiveConfig, TrainingConfig

if TYPE_CHECKING:
    from transformers import TrainerState

    from sidelight.training.trainer import ScorerTrainer

log = logging.getLogger(__name__)


@training_surroundings()
def train_scorer(
    scorer: Scorer,
    target: TargetModel,
    train: Any,
    evaluation: Any,
    output_dir: str | os.PathLike[str],
    objective_config: ObjectiveConfig,
    config: TrainingConfig,
    readers: Mapping[str, RowReader] | None = None,
    fingerprint: str | None = None,
) -> dict[str, float]:
    """Train ``scorer`` beside the frozen ``target``, and keep the best weights by the loss of the validation.

    Args:
        train, evaluation: sequences of rows (see :class:`sidelight.inputs.collate.Collator`).
        output_dir: checkpoints and ``log.csv`` go here. A killed training continues from it.
        readers: how rows are read, by the name of the data (see :mod:`sidelight.training.fit_data`).
        fingerprint: hash of the target's weights, if it is known already.

    Returns:
        Metrics of the last validation, ``train_runtime`` in seconds, and ``train_cost`` in epochs of fine-tuning the
        classifier (:mod:`sidelight.training.cost`).

    Raises:
        CollapseError: most validation maps are constant.
        ConfigError: ``output_dir`` holds another training.
        ForeignFileError: it holds files of somebody else that have the names of ours.
        BusyFolderError: another process or thread trains there.
        CheckpointError: the disk refused. What was saved before is whole, and the same call continues from it.
        InputError: a data set is empty.
        NotFiniteError: the model's output or the loss holds NaN or infinity.
    """
    from sidelight.training.arguments import extra_named
    from sidelight.training.progress import shown_progress
    from sidelight.training.trainer import build_trainer

    _require_rows(train=train, eval=evaluation)
    folder, begun = Path(output_dir), time.perf_counter()
    require_own_training(folder)  # before the rows are read, which takes long
    collate = Collator(target) if readers is None else Collator(target, readers)
    objective_config = objective_config.for_modalities(target.modalities, recorded_part(folder, "objective"))
    config = within_memory(scorer, target, train, objective_config, config, collate, folder)
    evaluation, objective_config, config = within_budget(
        scorer, target, train, evaluation, objective_config, config, collate, folder, begun
    )
    module = ScorerObjective(scorer, target, objective_config)
    about = training_identity(scorer, target, train, evaluation, module.settings, config, fingerprint)
    resume = claim_folder(folder, with_answers(about, target, train, collate), config.resume)
    train, evaluation = (NumberedRows(r) if isinstance(r, Rows) else r for r in (train, evaluation))
    trainer = build_trainer(module, collate, train, evaluation, folder, config)
    sets = {"train": train, "eval": evaluation}
    naming = _bad_rows_named(target, sets, collate, config.batch_size)
    named, bar = extra_named(config.extra), shown_progress(trainer, "scorer", config.extra)
    with named, bar, naming, target.borrowed(), _words_of_workers():
        _look_at_rows(module, train, evaluation, collate)
        metrics = _run(trainer, resume)
    scorer.quality = learn_quality(target, scorer, evaluation, collate, _rows_read(trainer, len(train)))
    warn_if_lost(metrics)
    cost = cost_of_training(metrics["train_runtime"], target, train, collate, config.batch_size)
    return {**metrics, "train_cost": round(cost, 4)}


def _require_rows(**sets: Any) -> None:
    for name, data in sets.items():
        if len(data) == 0:
            raise InputError(f"the {name} data set is empty: give at least one row.")


def _look_at_rows(module: ScorerObjective, train: Any, evaluation: Any, collate: Collator) -> None:
    """Warn of fills and of labels from which a scorer would learn little."""
    fills, varied = module.fills, module.varied
    module.show_under(warn_of_removal(module.target, train, fills, collate=collate, varied=varied))
    if module.settings.label == "data":
        warn_of_numbering(module.target, evaluation, collate)


def _run(trainer: ScorerTrainer, resume: Path | None) -> dict[str, float]:
    """Train from the checkpoint ``resume``, or load the best weights if that training is finished.

    Returns:
        Metrics of the best validation, and the seconds of training, ``train_runtime``.
    """
    from safetensors.torch import load_file
    from transformers import TrainerState

    if resume is not None and is_finished(resume):
        log.info(
            "%s holds the same training, finished: it is taken up again, and nothing is trained",
            resume.parent,
        )
        best = best_checkpoint(resume)
        trainer.model.load_state_dict(load_file(best / "model.safetensors"))
        trainer.state = TrainerState.load_from_json(str(resume / "trainer_state.json"))
        trainer.state.best_global_step = step_of(best)
    else:
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
        _tell_if_best_is_gone(trainer.state)
    seconds = trainer.csv_log.seconds
    found = _best_validation(trainer.state) or trainer.evaluate()
    # sorted, because the state of a training that is taken up again comes from a file, where names are sorted
    return {**{k: float(found[k]) for k in sorted(found)}, "train_runtime": round(seconds, 3)}


def _tell_if_best_is_gone(state: TrainerState) -> None:
    """Warn if the checkpoint with the best weights was removed in the meantime. The Trainer then keeps the last weights."""
    best = state.best_model_checkpoint
    there = best is not None and (Path(best) / "model.safetensors").is_file()
    # every process asks, and all do the same
    if not largest(not there) or state.best_global_step in (None, 0, state.global_step):
        return
    log.warning(
        "checkpoint-%s had the best weights, and somebody removed it while the training ran or waited. So the scorer has the "
        "weights of the last step, %s. To get the best ones, start over with resume=False.",
        state.best_global_step,
        state.global_step,
    )
    state.best_global_step = state.global_step


def _rows_read(trainer: ScorerTrainer, rows: int) -> int:
    """How many of ``rows`` were read, each as often as it was: fewer than planned if the training stopped early."""
    return int((trainer.state.epoch or 0) * rows)


def _best_validation(state: TrainerState) -> dict[str, float] | None:
    """Metrics of the validation whose weights are loaded now, as they were logged. ``None`` if that was not noted."""
    own = [row for row in state.log_history if row["step"] == state.best_global_step and "eval_loss" in row]
    return {k: v for k, v in own[-1].items() if k != "step"} if own else None


@contextmanager
def _bad_rows_named(
    target: TargetModel, sets: Mapping[str, Any], collate: Collator, batch_size: int
) -> Iterator[None]:
    """Within the context an error about a sample of a shuffled batch names the rows instead."""
    try:
        yield
    except NotFiniteError as error:
        if error.samples:
            name_bad_rows(target, sets, collate, batch_size)
        raise


@contextmanager
def _words_of_workers() -> Iterator[None]:
    """Within the context an error of sidelight from a data loader's worker process comes without the worker's traceback."""
    try:
        yield
    except SidelightError as error:
        # torch raises the same class again, with the traceback as its text
        message = str(error)
        found = re.split(r"\nsidelight\.errors\.\w+: ", message)
        if not message.startswith("Caught ") or len(found) < 2:
            raise
        raise type(error)(found[-1].strip()) from error
