"""Warnings about failed trainings: constant maps, lost predictions, fills that remove nothing."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch

from sidelight.checks.chance import SOME, chance_doubt, labelled_logits
from sidelight.checks.removal import blind_fills, granted_classes, unmoved
from sidelight.core.counted import counted
from sidelight.errors import CollapseError
from sidelight.inputs.collate import Collator
from sidelight.rows.holdout import spread
from sidelight.targets import TargetModel
from sidelight.training.step import drawable

log = logging.getLogger(__name__)

#: A scorer counts as collapsed from this share of constant maps on: if all modalities are constant, and if one of several
#: is.
COLLAPSED, ONE_COLLAPSED = 0.5, 0.9

#: A training counts as failed if this share of validation samples loses its prediction under the maps.
#: Good trainings have 0.00 to 0.10 (MNIST, CIFAR-10, tweets, IMDB), and on hard data 0.14 to 0.24 (planted texts, LIAR,
#: scenes, Flickr8k). Trainings that went wrong have 0.34 (one of NLVR), 0.37 (one of planted texts), or 0.24 to 0.29
#: (e-SNLI-VE). These are ``eval_lost`` of the default objective in ``results/*/robust/fit.json``.
LOST = 0.25

COLLAPSE_ADVICE = (
    "Try, in this order: a lower learning_rate (in a config: training.learning_rate); magnitude_weight below 1 "
    "(objective.magnitude_weight); calibration='bounded' (objective.calibration); relu=True and rescale=True, if you "
    "switched one of them off; more data or epochs."
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
    target: TargetModel,
    rows: Any,
    fills: Sequence[str],
    count: int = 64,
    collate: Collator | None = None,
    varied: bool = False,
) -> list[str]:
    """Warn if a scorer can learn little: small scores remove nothing, or a class, or every class, needs no evidence.

    Args:
        varied: whether the fills are our own choice. Then maps learn under the others
            (:meth:`sidelight.training.loss.ScorerObjective.show_under`), and a warning is due only if there are none.

    Returns:
        the fills under which small scores remove nothing.
    """
    collate = Collator(target, labelled=False) if collate is None else collate
    batch = collate.read([rows[i] for i in spread(len(rows), count)])
    inputs = target.to_device(batch.inputs)
    encoding = target.encode(inputs)
    fills = drawable(target, fills, len(encoding.logits))  # one row has no other image
    blind = blind_fills(target, inputs, fills, encoding)
    for fill in blind if not varied or len(blind) == len(fills) else ():
        log.warning(
            "fill %s removes too little: your classifier hardly reacts to a score of 0.1, because it normalises its input. "
            "Only scores of exactly 0 remove anything, so the scorer learns little. Consider another fill, e.g. "
            "fills=%s (in a config: objective.fills).",
            fill,
            with_another([], target.modalities) if "mean" in blind else ["mean"],
        )
    granted = granted_classes(target, inputs, fills, encoding)
    if len(granted) == len(fills):  # otherwise another fill makes up for this one
        for found in granted:
            log.warning(
                "if fill %s replaces the whole input, your classifier predicts %r (p = %.2f). So samples of this class keep "
                "their prediction under any map, and their maps will be arbitrary. Keep this fill, and add one under which "
                "the classifier is undecided, e.g. fills=%s (in a config: objective.fills).",
                found.fill,
                found.label,
                found.probability,
                with_another(fills, target.modalities),
            )
    _warn_of_one_answer(unmoved(target, inputs, fills, encoding), len(encoding.logits))
    return blind


def _warn_of_one_answer(differ: float | None, rows: int) -> None:
    """Warn if probabilities ``differ`` by next to nothing (:func:`sidelight.checks.removal.unmoved`)."""
    if differ is not None:
        log.warning(
            "your classifier says nearly the same of every input: of %s, also with everything removed, no "
            "probability differs by more than %.4f. So no part of these rows matters to it, and maps will be arbitrary "
            "under any fill. Make sure that it is trained and its weights are loaded, and give rows of which it says "
            "different things.",
            counted(rows, "row"),
            differ,
        )


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

    Maps count as constant if half of the samples have constant maps in all modalities, or nearly all samples in one of
    several modalities. The bound for one modality is higher, because its empty map is right if another one decides.

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
        log.warning(
            "the maps show nearly everything (mean score %.3f), so they say little.",
            metrics["eval_mean_score"],
        )


def warn_if_lost(metrics: Mapping[str, float]) -> None:
    """Warn if maps are not constant but lose the prediction (:func:`sidelight.training.objective.is_lost`)."""
    share = metrics.get("eval_lost", 0.0)
    if share >= LOST and metrics.get("eval_constant", 0.0) < COLLAPSED:
        log.warning(
            "for %.0f%% of the validation samples the prediction is lost: if only the part stays that the map keeps, the "
            "classifier does worse than a uniform guess. These maps say little. Try, in this order: coalition_weight=3, if "
            "objective='thesis'; more data or epochs; another seed; magnitude_weight below 1 (in a config: "
            "objective.coalition_weight, objective.magnitude_weight).",
            100 * share,
        )
