"""The training loop of the scorer: Hugging Face Trainer glue, nothing about modalities."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sidelight.core.batch import take_rows
from sidelight.core.finite import require_finite_loss
from sidelight.core.surroundings import training_surroundings
from sidelight.core.types import Encoding, Inputs, Scores
from sidelight.errors import CollapseError, ConfigError, InputError, NotFiniteError
from sidelight.fills.image import complement, pair_fills
from sidelight.inputs.collate import Collator, RowReader
from sidelight.rows.holdout import spread
from sidelight.rows.row import NumberedRows, Rows
from sidelight.rows.workers import words_of_workers
from sidelight.scorers import Scorer
from sidelight.scorers.head import is_constant, straight_through
from sidelight.targets import TargetModel
from sidelight.targets.chance import SOME, chance_doubt, labelled_logits
from sidelight.targets.removal import blind_fills, granted_classes
from sidelight.targets.verdict import probabilities
from sidelight.targets.verdict_check import name_bad_rows
from sidelight.training.coalitions import coalition_loss
from sidelight.training.folder import best_checkpoint, claim_folder, is_finished, require_own_training
from sidelight.training.identity import training_identity
from sidelight.training.objective import (
    ObjectiveTerms,
    complement_loss,
    is_lost,
    label_distribution,
    masked_mean,
    objective,
    task_loss,
)
from sidelight.training.settings import ObjectiveConfig, TrainingConfig

log = logging.getLogger(__name__)

#: share of constant maps from which a scorer counts as collapsed: in all modalities, and in one of several
COLLAPSED, ONE_COLLAPSED = 0.5, 0.9

#: share of validation samples whose prediction is lost under their map, from which a training counts as failed.
#: Measured: .00 to .10 on planted texts, scenes and CIFAR-10, .20 to .25 on LIAR and Flickr8k; .44 for Flickr8k's worst
#: scorer, .30 for the one of planted texts that failed and for e-SNLI-VE's, which lose more than random maps do
LOST = 0.25

COLLAPSE_ADVICE = (
    "Try, in this order: a lower learning_rate (in a config: training.learning_rate); magnitude_weight below 1 "
    "(objective.magnitude_weight); calibration='bounded' (objective.calibration); the head's relu or rescale switched on again if an ablation removed it; "
    "more data or epochs."
)


class ScorerObjective(nn.Module):
    """Scorer and objective as one module whose forward pass gives the loss.

    The target is held but not registered: it is neither trained, moved by DDP, nor saved.
    """

    def __init__(self, scorer: Scorer, target: TargetModel, config: ObjectiveConfig) -> None:
        super().__init__()
        for fill in config.fills:
            pair_fills(fill, target.modalities)
        unknown = sorted(set(config.coalition_modalities) - set(target.modalities))
        if unknown:
            raise ConfigError(
                f"coalition_modalities (in a config: objective.coalition_modalities) names {', '.join(unknown)}; this "
                f"target has {', '.join(target.modalities)}."
            )
        # not named "config": the Trainer takes that for a model config and writes to it
        self.scorer, self.target, self.settings = scorer, target, config

    def forward(self, labels: Tensor | None = None, **inputs: Tensor) -> dict[str, Tensor]:
        """``{"loss": scalar, ...}`` plus detached batch means of every term."""
        terms, scores, encoding = self.terms(inputs, labels)
        require_finite_loss(vars(terms))
        mask = encoding.feature_mask
        constant = {m: is_constant(s, mask[m]).float() for m, s in scores.items()}
        mean = torch.stack([masked_mean(s, mask[m]) for m, s in scores.items()]).mean(0)
        named = {k: v.detach().mean() for k, v in vars(terms).items() if k != "loss"}
        return {
            "loss": terms.loss.mean(),
            **named,
            "lost": is_lost(terms.task, terms.clean, encoding.logits.shape[-1]).float().mean(),
            "mean_score": mean.detach().mean(),
            # nothing stands out anywhere; where one modality decides, an empty map of another is right
            "constant": torch.stack(list(constant.values())).amin(0).mean(),
            **({f"constant_{m}": c.mean() for m, c in constant.items()} if len(constant) > 1 else {}),
        }

    def terms(
        self, inputs: Mapping[str, Tensor], labels: Tensor | None
    ) -> tuple[ObjectiveTerms, Scores, Encoding]:
        """Objective per sample, the scores, and the clean pass."""
        target, config = self.target, self.settings
        encoding = target.encode(inputs)
        raw = self.scorer.raw(encoding)
        scores = self.scorer.score(raw, encoding.feature_mask)
        goal = label_distribution(encoding.logits, labels, config.label)
        values = self._fill_values(inputs)
        inputs = {**inputs, **encoding.encoded}  # from here on they are masked only

        def masked_loss(masks: Scores) -> Tensor:
            return task_loss(target.classify(inputs, masks, values), goal)

        def removed_loss(masks: Scores) -> Tensor:
            outside = {m: complement(s, encoding.feature_mask[m]) for m, s in masks.items()}
            return complement_loss(target.classify(inputs, outside, values), goal)

        solo = None
        if config.solo and len(scores) > 1:
            solo = {m: masked_loss({m: s}) for m, s in scores.items()}
        order = None
        if config.order_weight:
            seed = None if self.training else 0  # validation must not choose the best weights by luck
            hard = {m: random_top_share(s, encoding.feature_mask[m], seed) for m, s in scores.items()}
            order = masked_loss(hard) + removed_loss(hard)
        terms = objective(
            masked_loss(scores),
            task_loss(encoding.logits, goal),
            scores,
            encoding.feature_mask,
            solo=solo,
            complement=removed_loss(scores) if config.complement_weight else None,
            coalition=self._coalition_error(inputs, encoding, raw, goal, values)
            if config.coalition_weight
            else None,
            order=order,
            calibration=config.calibration,
            magnitude_weight=config.magnitude_weight,
            binary_weight=config.binary_weight,
            complement_weight=config.complement_weight,
            coalition_weight=config.coalition_weight,
            order_weight=config.order_weight,
        )
        return terms, scores, encoding

    def _coalition_error(
        self, inputs: Inputs, encoding: Encoding, raw: Scores, goal: Tensor, values: Mapping[str, Tensor]
    ) -> Tensor:
        """``[B]`` of :func:`sidelight.training.coalitions.coalition_loss`, as the settings say."""
        config, target = self.settings, self.target

        def probability(masks: Scores, index: Tensor) -> Tensor:
            rows, fill = (take_rows(part, index, len(goal)) for part in (inputs, values))
            return (probabilities(target.classify(rows, masks, fill)) * goal[index]).sum(-1)

        whole = (encoding.probabilities * goal).sum(-1)
        return coalition_loss(
            raw,
            encoding.feature_mask,
            probability,
            config.coalition_draws,
            unit=config.coalition_unit,
            solo=config.solo,
            modalities=config.coalition_modalities,
            whole=whole if config.coalition_focus else None,
            generator=None if self.training else torch.Generator().manual_seed(0),
        )

    def _fill_values(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Each sample draws one of the fills; in evaluation the i-th sample takes the i-th fill."""
        names = list(self.settings.fills)
        size = len(next(iter(inputs.values())))
        features = {k: v.detach() for k, v in self.target.features(inputs).items()}
        if self.training:
            seeds = torch.randint(2**31, (size,)).tolist()
            picks = torch.randint(len(names), (size,))
        else:
            seeds = list(range(size))
            picks = torch.arange(size) % len(names)
        values = self.target.fill_values(inputs, names[0], seeds, features)
        for i, name in enumerate(names[1:], start=1):
            other = self.target.fill_values(inputs, name, seeds, features)
            for m, v in values.items():
                chosen = (picks == i).to(v.device).view(-1, *[1] * (features[m].ndim - 1))
                values[m] = torch.where(chosen, other[m].expand_as(features[m]), v.expand_as(features[m]))
        return values


def random_top_share(scores: Tensor, feature_mask: Tensor, seed: int | None = None) -> Tensor:
    """Hard mask of a random share of each sample's best features, with a straight-through gradient.

    Args:
        scores: in [0, 1], any shape ``[B, ...]``.
        feature_mask: boolean of the same shape.
        seed: makes the draw repeatable; default: torch's global generator.

    Returns:
        Values in {0, 1}, 1 outside ``feature_mask``; its gradient is that of ``scores``.
    """
    flat, real = scores.flatten(1), feature_mask.reshape(scores.shape).flatten(1)
    if seed is None:
        share, noise = torch.rand(len(flat), 1, device=flat.device), torch.rand_like(flat)
    else:
        generator = torch.Generator().manual_seed(seed)
        share = torch.rand(len(flat), 1, generator=generator).to(flat)
        noise = torch.rand(flat.shape, generator=generator).to(flat)
    keep = (share * real.sum(1, keepdim=True)).ceil().clamp(min=1)
    # A little noise breaks ties at random instead of by position.
    noisy = flat.detach() + 1e-4 * noise
    rank = noisy.masked_fill(~real, float("-inf")).argsort(1, descending=True).argsort(1)
    hard = (rank < keep).to(flat.dtype)
    mask = straight_through(hard, flat)
    return torch.where(real, mask, torch.ones_like(mask)).reshape(scores.shape)


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


def warn_of_numbering(target: TargetModel, rows: Any, collate: Collator) -> None:
    """Warn where the target does no better than chance on the labels of some hundred ``rows``."""
    picked = spread(len(rows), SOME)
    batches = [collate([rows[i] for i in picked[start : start + 32]]) for start in range(0, len(picked), 32)]
    if any("labels" not in batch for batch in batches):
        return
    logits, labels = labelled_logits(target, batches)
    if bool(((labels < 0) | (labels >= logits.shape[-1])).any()):
        return  # refused by the objective, with a message of its own
    doubt = chance_doubt(logits, labels, list(target.id2label.values()))
    if doubt is not None:
        log.warning(doubt)


def warn_of_removal(
    target: TargetModel, rows: Any, fills: Sequence[str], count: int = 64, collate: Collator | None = None
) -> None:
    """Warn where the fills teach a scorer little: small scores remove nothing, or a class needs no evidence."""
    collate = Collator(target, labelled=False) if collate is None else collate
    batch = collate([rows[i] for i in spread(len(rows), count)])
    batch.pop("labels", None)
    inputs = target.to_device(batch)
    for fill in blind_fills(target, inputs, fills):
        log.warning(
            "under fill %s this target hardly notices a score of 0.1: it normalises its input, so only exact zeros "
            "remove anything and the scorer learns from little else. Consider another fill, e.g. fills=['mean'] "
            "(in a config: objective.fills).",
            fill,
        )
    granted = granted_classes(target, inputs, fills)
    if len(granted) == len(fills):  # otherwise another fill teaches what this one does not
        for found in granted:
            log.warning(
                "with everything removed under fill %s this target says %r (p = %.2f): any map keeps samples of that "
                "class, and their maps will be arbitrary. Add a fill that leaves it undecided, e.g. fills=['random'] "
                "(in a config: objective.fills).",
                found.fill,
                found.label,
                found.probability,
            )


def check_collapse(metrics: Mapping[str, float], action: str) -> None:
    """Raise or warn where maps of a validation are constant; warn where they show everything.

    Of a sample with several modalities all must be constant, in half of the samples; of one modality
    alone nearly every map, because where another decides an empty map is right.

    Raises:
        CollapseError: with ``action="stop"``.
    """
    prefix = "eval_constant_"
    parts = {k.removeprefix(prefix): v for k, v in metrics.items() if k.startswith(prefix)}
    modality, share = max(parts.items(), key=lambda item: item[1], default=("", 0.0))
    constant, of = metrics.get("eval_constant", 0.0), ""
    if constant < COLLAPSED and share >= ONE_COLLAPSED:
        constant, of = share, f" of {modality}"
    if of or constant >= COLLAPSED:
        message = (
            f"the scorer has collapsed: {constant:.0%} of the validation maps{of} are constant, so they say nothing. "
            + COLLAPSE_ADVICE
        )
        if action == "stop":
            raise CollapseError(message)
        log.warning(message)
    elif metrics.get("eval_mean_score", 0.0) > 0.98:
        log.warning("the maps show nearly everything (mean score %.3f).", metrics["eval_mean_score"])


def warn_if_lost(metrics: Mapping[str, float]) -> None:
    """Warn where maps vary and yet do not keep the prediction (:func:`sidelight.training.objective.is_lost`)."""
    share = metrics.get("eval_lost", 0.0)
    if share >= LOST and metrics.get("eval_constant", 0.0) < COLLAPSED:
        log.warning(
            "for %.0f%% of the validation samples the prediction is lost: shown what its map keeps, the classifier does "
            "worse than a uniform guess. These maps say little. Try, in this order: coalition_weight=3; "
            "more data or epochs; another seed; magnitude_weight below 1 (in a config both stand under objective).",
            100 * share,
        )


def steps_per_epoch(rows: int, config: TrainingConfig, world_size: int) -> int:
    """Optimiser steps an epoch."""
    return max(1, math.ceil(rows / (config.batch_size * config.gradient_accumulation * world_size)))
