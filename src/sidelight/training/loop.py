"""The training loop of the scorer: Hugging Face Trainer glue, nothing about modalities."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sidelight.checks.verdict_check import name_bad_rows
from sidelight.core.surroundings import training_surroundings
from sidelight.errors import InputError, NotFiniteError
from sidelight.inputs.collate import Collator
from sidelight.inputs.row_parts import RowReader
from sidelight.rows.row import NumberedRows, Rows
from sidelight.rows.workers import words_of_workers
from sidelight.scorers import Scorer
from sidelight.targets import TargetModel
from sidelight.training.diagnostics import warn_if_lost, warn_of_numbering, warn_of_removal
from sidelight.training.folder import best_checkpoint, claim_folder, is_finished, require_own_training
from sidelight.training.identity import training_identity
from sidelight.training.loss import ScorerObjective
from sidelight.training.settings import ObjectiveConfig, TrainingConfig

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
) -> dict[str, float]:
    """Train ``scorer`` beside the frozen ``target``; the best weights by validation objective are kept.

    Args:
        train, evaluation: sequences of rows (see :class:`sidelight.inputs.collate.Collator`).
        output_dir: checkpoints and ``log.csv`` go here; a killed run continues from it.
        readers: how rows are read, by the name of the data (see :mod:`sidelight.training.fit_data`).

    Returns:
        Final validation metrics and ``train_runtime`` in seconds.

    Raises:
        CollapseError: most validation maps are constant.
        ConfigError: ``output_dir`` holds another training.
        ForeignFileError: it holds files of somebody else that have the names of ours.
        BusyFolderError: another process or thread trains there.
        CheckpointError: the disk refused; what was saved before is whole, and the same call goes on from it.
        InputError: a data set is empty.
        NotFiniteError: the model's output or the loss holds NaN or infinity.
    """
    from safetensors.torch import load_file

    from sidelight.training.progress import show_progress
    from sidelight.training.trainer import build_trainer

    for name, data in (("train", train), ("eval", evaluation)):
        if len(data) == 0:
            raise InputError(f"the {name} data set is empty: give at least one row.")
    module = ScorerObjective(scorer, target, objective_config)
    folder = Path(output_dir)
    require_own_training(folder)  # said before the rows are read
    about = training_identity(scorer, target, train, evaluation, objective_config, config)
    resume = claim_folder(folder, about, config.resume)
    train, evaluation = (NumberedRows(r) if isinstance(r, Rows) else r for r in (train, evaluation))
    collate = Collator(target) if readers is None else Collator(target, readers)
    trainer = build_trainer(module, collate, train, evaluation, folder, config)
    bar = show_progress(trainer, "scorer")
    try:
        with target.borrowed(), words_of_workers():
            warn_of_removal(target, train, objective_config.fills, collate=collate)
            if objective_config.label == "data":
                warn_of_numbering(target, evaluation, collate)
            if resume is not None and is_finished(resume):
                log.info(
                    "%s holds this very training, finished: it is taken up again, nothing is trained", folder
                )
                module.load_state_dict(load_file(best_checkpoint(resume) / "model.safetensors"))
                seconds = trainer.csv_log.seconds
            else:
                trainer.train(resume_from_checkpoint=str(resume) if resume else None)
                seconds = trainer.csv_log.seconds
            metrics = trainer.evaluate()
    except NotFiniteError as error:
        if error.samples:  # they are numbered within a shuffled batch
            name_bad_rows(target, {"train": train, "eval": evaluation}, collate, config.batch_size)
        raise
    finally:
        bar.stop()
    warn_if_lost(metrics)
    return {**{k: float(v) for k, v in metrics.items()}, "train_runtime": round(seconds, 3)}
