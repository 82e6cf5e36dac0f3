"""Does a classifier answer as it did in the training of its scorer? Its logits for made-up samples are kept and compared.

The hash of the weights tells other weights. It does not tell a function without weights that was replaced, a hook, the scale
of an adapter, or a library that prepares inputs otherwise since its last version.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sidelight.checks.selfcheck import TF32, made_up_samples, tolerance
from sidelight.targets.base import TargetModel
from sidelight.targets.switching import unswitched
from sidelight.targets.wrappers import float_type

log = logging.getLogger(__name__)

#: digits of each logit that are kept
DIGITS = 7


def answers_of(target: TargetModel) -> list[list[float]] | None:
    """Logits ``[B, K]`` for the samples of :func:`made_up_samples`, or ``None`` if it has no raw samples for ``target``."""
    logits = _logits(target)
    return None if logits is None else [[float(f"{v:.{DIGITS}g}") for v in row] for row in logits.tolist()]


def tell_other_answers(target: TargetModel, kept: Sequence[Sequence[float]] | None, name: str) -> None:
    """Warn if ``target`` answers otherwise than it did.

    Args:
        kept: from :func:`answers_of`, or ``None``, which earlier versions did not keep.
        name: of the classifier in the training.
    """
    logits = None if kept is None else _logits(target)
    if kept is None or logits is None:
        return
    before = torch.tensor(kept)
    if before.shape == logits.shape:
        limit = max(tolerance(before, [float_type(target.model)]), TF32 * float(before.max() - before.min()))
        if bool(((logits - before).abs() <= limit).all()):
            return
    log.warning(
        "%s has the weights that this scorer was trained beside, and answers otherwise: the logits of a made-up sample were "
        "[%s] and are [%s]. A function without weights, a hook, the scale of an adapter or the version of a library may be "
        "another one. Verdicts and maps may be wrong.",
        name,
        *(", ".join(f"{v:.3f}" for v in rows[0].tolist()[:6]) for rows in (before, logits)),
    )


def _logits(target: TargetModel) -> Tensor | None:
    samples = made_up_samples(target)
    if isinstance(samples, Mapping):
        return None
    try:
        inputs = target.to_device(target.reader.prepare(samples).inputs)
        with unswitched(target.model), torch.no_grad():
            return target.encode(inputs).logits.float().cpu()
    except Exception as error:  # noqa: BLE001 - a model may refuse what is made up, and raise anything
        log.debug("made-up samples: %s", error)
        return None
