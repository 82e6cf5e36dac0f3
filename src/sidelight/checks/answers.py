"""Does a classifier answer as it did in the training of its scorer? Its logits for a few samples are kept and compared.

A scorer keeps those for made-up samples, which need no data. A training, and work that goes on after a stop, keep those for
rows of their own.

The hash of the weights tells other weights. It does not tell a function without weights that was replaced, a hook, the scale
of an adapter, or a library that prepares inputs otherwise since its last version.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from sidelight.checks.reference import coarsest
from sidelight.checks.selfcheck import TF32, few_samples, made_up_samples, prepared, tolerance
from sidelight.core.quiet import told_once
from sidelight.core.types import Inputs
from sidelight.inputs.collate import Collator
from sidelight.inputs.file_names import FileNameWarning
from sidelight.inputs.pixels import PixelRangeWarning
from sidelight.inputs.view import TruncationWarning
from sidelight.rows.content import value_digest
from sidelight.targets.base import TargetModel
from sidelight.targets.switching import unswitched
from sidelight.targets.wrappers import float_type

log = logging.getLogger(__name__)

#: Under this name records keep what the model answers to a few rows. Hash and configuration do not show a hook, a patched
#: method or an attribute of a module.
ANSWERS = "answers"
#: digits of each logit that are kept
DIGITS = 7
#: rows whose answers work that goes on keeps, and the most that are looked at for them
ANSWERED, LOOKED_AT = 3, 8


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
    except Exception as error:  # noqa: BLE001 - the training meets the same error, and says what to do
        log.debug("a few rows: %s", error)
        return None
    return _answers(target, [samples])


def answers_to_first(target: TargetModel, rows: Iterable[Any]) -> dict[str, Any]:
    """An entry :data:`ANSWERS` for records: as :func:`answers_to_rows`, for the first rows that can be read, each by itself.

    More rows do not change it. Without answers that could be kept it is empty.
    """
    collate, raw, readable = Collator(target, labelled=False), list[Any](), list[Inputs]()
    with told_once({FileNameWarning, PixelRangeWarning, TruncationWarning}):  # whoever uses the rows warns
        for row in islice(rows, LOOKED_AT):
            with suppress(Exception):  # a bad row is told by whoever uses it
                readable.append(collate.read([row]).inputs)  # read once, and passed twice
                raw.append(collate.raw([row]) or readable[-1])
            if len(readable) == ANSWERED:
                break
        found = _answers(target, readable) if readable else None
        # rows that were edited have other answers, which say nothing of the model
        return {} if found is None else {ANSWERS: {**found, "of": [value_digest(samples) for samples in raw]}}


def other_answers(kept: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> str | None:
    """How the answers of a model with the same weights differ, in words for messages.

    Returns:
        ``None`` if both are alike, or are of other rows, or one is not known: an earlier version kept none.
    """
    if kept is None or now is None:
        return None
    both = min(len(kept["logits"]), len(now["logits"]))
    if kept.get("of", ())[:both] != now.get("of", ())[:both]:
        return None
    before, after = torch.tensor(kept["logits"][:both]), torch.tensor(now["logits"][:both])
    if before.shape != after.shape:
        away = f"{len(before[0])} classes there, {len(after[0])} now"
    else:
        apart = (after - before).abs().amax(1)
        if bool((apart <= max(kept["off"], now["off"])).all()):
            return None
        there, here = (_shown(rows[int(apart.argmax())].tolist()) for rows in (before, after))
        away = f"logits [{there}] there, [{here}] now"
    return f"the model's answers with the same weights ({away}; look for a hook, a patched method or an attribute)"


def _answers(target: TargetModel, batches: Sequence[Sequence[Any] | Inputs]) -> dict[str, Any] | None:
    try:
        with target.borrowed():
            with coarsest(target.model) as types:
                logits = torch.cat([_logits(target, samples) for samples in batches])
            again = torch.cat([_logits(target, samples) for samples in batches])
    except Exception as error:  # noqa: BLE001 - the work meets the same error, and says what to do
        log.debug("a few rows: %s", error)
        return None
    off = tolerance(logits, {*types, float_type(target.model), logits.dtype})
    if bool(((again - logits).abs() <= off).all()):
        return {"logits": _plain(logits), "off": off}
    return None


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
