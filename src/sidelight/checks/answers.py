"""Does a classifier answer as it did in the training of its scorer? Its logits for a few samples are kept and compared.

A scorer keeps those for made-up samples, which need no data. A training keeps those for rows of its own.

The hash of the weights tells other weights. It does not tell a function without weights that was replaced, a hook, the scale
of an adapter, or a library that prepares inputs otherwise since its last version.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from sidelight.checks.reference import coarsest
from sidelight.checks.selfcheck import TF32, few_samples, made_up_samples, prepared, tolerance
from sidelight.core.types import Inputs
from sidelight.inputs.collate import Collator
from sidelight.targets.base import TargetModel
from sidelight.targets.switching import unswitched
from sidelight.targets.wrappers import float_type

log = logging.getLogger(__name__)

#: digits of each logit that are kept
DIGITS = 7


def answers_of(target: TargetModel) -> list[list[float]] | None:
    """Logits ``[B, K]`` for the samples of :func:`made_up_samples`, or ``None`` if it has no raw samples for ``target``."""
    logits = _of_made_up(target)
    return None if logits is None else _plain(logits)


def tell_other_answers(target: TargetModel, kept: Sequence[Sequence[float]] | None, name: str) -> None:
    """Warn if ``target`` answers otherwise than it did.

    Args:
        kept: from :func:`answers_of`, or ``None``, which earlier versions did not keep.
        name: of the classifier in the training.
    """
    logits = None if kept is None else _of_made_up(target)
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
        *(_shown(rows[0].tolist()) for rows in (before, logits)),
    )


def answers_to_rows(target: TargetModel, rows: Any, collate: Collator) -> dict[str, Any] | None:
    """What ``target`` answers to a few of ``rows``, as plain values for :func:`other_answers`.

    Returns:
        ``logits``, and how far those of a later pass may be ``off``: on another device, or with other threads. ``None`` if the
        model cannot read the rows, or answers otherwise from one pass to the next.
    """
    try:
        samples = few_samples(target, rows, collate)
        with coarsest(target.model) as types:
            logits = _logits(target, samples)
        again = _logits(target, samples)
    except Exception as error:  # noqa: BLE001 - the training meets the same error, and says what to do
        log.debug("a few rows: %s", error)
        return None
    off = tolerance(logits, {*types, float_type(target.model), logits.dtype})
    if bool(((again - logits).abs() <= off).all()):
        return {"logits": _plain(logits), "off": off}
    return None


def other_answers(kept: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """The logits of the row that differs most, in words. ``None`` if both, of :func:`answers_to_rows`, are alike."""
    before, after = torch.tensor(kept["logits"]), torch.tensor(now["logits"])
    if before.shape != after.shape:
        return f"{len(before[0])} classes there, {len(after[0])} now"
    away = (after - before).abs().amax(1)
    if bool((away <= max(kept["off"], now["off"])).all()):
        return None
    there, here = (_shown(rows[int(away.argmax())].tolist()) for rows in (before, after))
    return f"logits [{there}] there, [{here}] now"


def _of_made_up(target: TargetModel) -> Tensor | None:
    samples = made_up_samples(target)
    if isinstance(samples, Mapping):
        return None
    try:
        return _logits(target, samples).float().cpu()
    except Exception as error:  # noqa: BLE001 - a model may refuse what is made up, and raise anything
        log.debug("made-up samples: %s", error)
        return None


def _logits(target: TargetModel, samples: Sequence[Any] | Inputs) -> Tensor:
    inputs = prepared(target, samples)
    with unswitched(target.model), torch.no_grad():
        return target.encode(inputs).logits


def _plain(logits: Tensor) -> list[list[float]]:
    return [[float(f"{v:.{DIGITS}g}") for v in row] for row in logits.tolist()]


def _shown(values: Sequence[float]) -> str:
    return ", ".join(f"{v:.3f}" for v in values[:6])
