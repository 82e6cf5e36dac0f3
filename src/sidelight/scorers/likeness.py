"""Is this the classifier that a saved scorer was trained beside, and is it read in the same way?"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

from sidelight.checks.answers import tell_other_answers
from sidelight.checks.selfcheck import Check, raise_or_warn
from sidelight.errors import InputError, TargetMismatchError
from sidelight.inputs.images import NEAR, levels_between, transform_from_dict
from sidelight.scorers.checkpoint import SavedScorer
from sidelight.targets import TargetModel
from sidelight.targets.options import differences, options_of
from sidelight.targets.weights import shapes_hash
from sidelight.targets.wrappers import precision_of

log = logging.getLogger(__name__)

#: options that say how much of an input is read. Maps of more or less of it have a meaning too.
LENGTHS = ("max_length",)


def compare_target(target: TargetModel, saved: SavedScorer, found: str, check: Check) -> None:
    """Compare ``target``, whose weights have the hash ``found``, with what a saved scorer remembers of its classifier.

    Another preprocessing is only a warning, because a caller may know that it comes to the same.

    Raises:
        TargetMismatchError: weights or options differ, and ``check`` is ``"error"``.
    """
    compare_weights(target, saved, found, check)
    options = sorted(differences(saved.target["options"], options_of(target)))
    others = [o for o in options if not o.startswith(LENGTHS)]
    if others:
        message = (
            f"this scorer was trained beside {saved.target_name!r} with other options: {', '.join(others)}. Its maps would "
            "mean nothing. Give the classifier itself, which is then read as in the training, or build the target with the "
            "same options."
        )
        raise_or_warn(TargetMismatchError(message), check)
    prepared = [o for o in options if o.startswith(LENGTHS)]
    prepared += _other_preparation(saved.target["processor"], target.reader)
    if prepared:
        log.warning(
            "inputs are prepared otherwise than in the training of this scorer: %s. Verdicts and maps may be wrong. Give the "
            "classifier without processor and options, and those of the training are used.",
            ", ".join(prepared),
        )
    if found == saved.fingerprint and not (others or prepared):
        tell_other_answers(target, saved.target.get("answers"), saved.target_name)


def _other_preparation(saved: Mapping[str, Any], reader: Any) -> list[str]:
    """What ``reader`` does otherwise than the one whose state was ``saved``.

    Pictures may be prepared alike by other means, by the processor itself or by its settings, with torchvision or without.
    So beside another means their pixels are compared.
    """
    state = reader.state()
    before, now = saved.get("image", saved), state.get("image", state)  # of pairs, or of pictures alone
    transform = getattr(getattr(reader, "image", reader), "transform", None)
    if transform is None or not before or before.get("class") == now.get("class"):
        return sorted(differences(saved, state))
    rest = sorted(differences(saved.get("text", {}), state.get("text", {}), "text."))
    try:
        away = levels_between(transform_from_dict(before), transform)
    except InputError:  # the means of the training are not here
        away = math.inf
    told = "" if math.isinf(away) else f" by up to {away:.0f} of 255 grey levels"
    return rest + ([f"pictures, whose pixels differ{told}"] if away > NEAR else [])


def compare_weights(target: TargetModel, saved: SavedScorer, found: str, check: Check) -> None:
    """Compare the weights of ``target``, whose hash is ``found``, with those that a saved scorer was trained beside.

    Raises:
        TargetMismatchError: they differ, and ``check`` is ``"error"``.
    """
    if found == saved.fingerprint:
        return
    message = (
        f"this scorer was trained beside {saved.target_name!r} (hash of the weights: {saved.fingerprint}). "
        f"The model that you give, {target.name!r}, has other weights (hash: {found}), so the maps may mean nothing: "
        f"load the original classifier, or fit a new scorer. {_likeness(target, saved)}"
    )
    raise_or_warn(TargetMismatchError(message), check)


def _likeness(target: TargetModel, saved: SavedScorer) -> str:
    """A comparison of both architectures, and what to do if the weights are the same in another form."""
    there, now = saved.target.get("precision"), precision_of(target.model)
    if saved.target.get("shapes") == shapes_hash(target.model) and there != now:
        return (
            f"Both have the same architecture; the original is in {there}, and yours in {now}. If they are the same weights "
            "in another precision, pass check='warn'."
        )
    return "If they are the same weights in another form (another precision, quantised), pass check='warn'."
