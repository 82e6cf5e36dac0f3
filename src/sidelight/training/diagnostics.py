"""Warnings about failed trainings: collapsed maps, lost predictions, fills that remove nothing."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch

from sidelight.checks.chance import SOME, chance_doubt, labelled_logits
from sidelight.checks.removal import blind_fills, granted_classes
from sidelight.errors import CollapseError
from sidelight.inputs.collate import Collator
from sidelight.rows.holdout import spread
from sidelight.targets import TargetModel

log = logging.getLogger(__name__)

#: From this share of constant maps on, a scorer counts as collapsed: in all modalities, and in one of several.
COLLAPSED, ONE_COLLAPSED = 0.5, 0.9

#: A training counts as failed if the prediction of this share of validation samples is lost under their maps.
#: Measured: 0.00 to 0.10 on planted texts, scenes and CIFAR-10, 0.20 to 0.25 on LIAR and Flickr8k. Scorers that lose more
#: than random maps do have 0.44 (the worst of Flickr8k) and 0.30 (one of planted texts, and that of e-SNLI-VE).
LOST = 0.25

COLLAPSE_ADVICE = (
    "Try, in this order: a lower learning_rate (in a config: training.learning_rate); magnitude_weight below 1 "
    "(objective.magnitude_weight); calibration='bounded' (objective.calibration); the head's relu or rescale switched on again if an ablation removed it; "
    "more data or epochs."
)


def warn_of_numbering(target: TargetModel, rows: Any, collate: Collator) -> None:
    """Warn if the target does no better than chance on the labels of some hundred ``rows``."""
    picked = spread(len(rows), SOME)
    starts = range(0, len(picked), 32)
    batches = [collate.read([rows[i] for i in picked[start : start + 32]]) for start in starts]
    known = [batch.labels for batch in batches if batch.labels is not None]
    if len(known) < len(batches):
        return
    logits, labels = labelled_logits(target, batches), torch.cat(known)
    if bool(((labels < 0) | (labels >= logits.shape[-1])).any()):
        return  # refused by the objective, with a message of its own
    doubt = chance_doubt(logits, labels, list(target.id2label.values()))
    if doubt is not None:
        log.warning(doubt)


def warn_of_removal(
    target: TargetModel, rows: Any, fills: Sequence[str], count: int = 64, collate: Collator | None = None
) -> list[str]:
    """Warn if the fills teach a scorer little: small scores remove nothing, or a class needs no evidence.

    Returns:
        the fills under which small scores remove nothing.
    """
    collate = Collator(target, labelled=False) if collate is None else collate
    batch = collate.read([rows[i] for i in spread(len(rows), count)])
    inputs = target.to_device(batch.inputs)
    encoding = target.encode(inputs)
    blind = blind_fills(target, inputs, fills, encoding)
    for fill in blind:
        log.warning(
            "under fill %s this target hardly notices a score of 0.1: it normalises its input, so only exact zeros "
            "remove anything and the scorer learns from little else. Consider another fill, e.g. fills=['mean'] "
            "(in a config: objective.fills).",
            fill,
        )
    granted = granted_classes(target, inputs, fills, encoding)
    if len(granted) == len(fills):  # otherwise another fill makes up for this one
        for found in granted:
            log.warning(
                "with everything removed under fill %s this target predicts %r (p = %.2f): any map keeps samples of that "
                "class, and their maps will be arbitrary. Keep this fill, and put one beside it that leaves it undecided, "
                "e.g. fills=%s (in a config: objective.fills).",
                found.fill,
                found.label,
                found.probability,
                with_another(fills, target.modalities),
            )
    return blind


def with_another(fills: Sequence[str], modalities: Collection[str]) -> list[str]:
    """``fills`` and one more that may leave a target undecided: random content, or else the mean.

    It stands beside the others, because random content alone made maps worse.

    Example:
        >>> with_another(["zero"], ["image"]), with_another(["random"], ["text"])
        (['zero', 'noise'], ['random', 'mean'])
    """
    drawn = "random" if "text" in modalities else "noise"
    return [*fills, "mean" if drawn in fills else drawn]


def check_collapse(metrics: Mapping[str, float], action: str) -> None:
    """Raise or warn if maps of a validation are constant. Warn if they show everything.

    Half of the samples must have constant maps in all modalities, or nearly all of them in one of several: if another
    modality decides, an empty map is right.

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
            f"the scorer has collapsed: {constant:.0%} of the validation maps{of} are constant, so they show nothing. "
            + COLLAPSE_ADVICE
        )
        if action == "stop":
            raise CollapseError(message)
        log.warning(message)
    elif metrics.get("eval_mean_score", 0.0) > 0.98:
        log.warning("the maps show nearly everything (mean score %.3f).", metrics["eval_mean_score"])


def warn_if_lost(metrics: Mapping[str, float]) -> None:
    """Warn if maps vary and yet do not keep the prediction (:func:`sidelight.training.objective.is_lost`)."""
    share = metrics.get("eval_lost", 0.0)
    if share >= LOST and metrics.get("eval_constant", 0.0) < COLLAPSED:
        log.warning(
            "for %.0f%% of the validation samples the prediction is lost: from the part that its map keeps, the classifier does "
            "worse than a uniform guess. These maps say little. Try, in this order: coalition_weight=3; "
            "more data or epochs; another seed; magnitude_weight below 1 (in a config both stand under objective).",
            100 * share,
        )
