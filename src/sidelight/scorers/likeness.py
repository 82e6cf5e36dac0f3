"""Is this the classifier that a saved scorer was trained beside?"""

from __future__ import annotations

import logging

from sidelight.checks.selfcheck import Check
from sidelight.errors import TargetMismatchError
from sidelight.scorers.checkpoint import SavedScorer
from sidelight.targets import TargetModel
from sidelight.targets.weights import shapes_hash
from sidelight.targets.wrappers import precision_of

log = logging.getLogger(__name__)


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
    if check == "error":
        raise TargetMismatchError(message)
    log.warning("%s", message)


def _likeness(target: TargetModel, saved: SavedScorer) -> str:
    """A comparison of both architectures, and what to do if the weights are the same in another form."""
    there, now = saved.target.get("precision"), precision_of(target.model)
    if saved.target.get("shapes") == shapes_hash(target.model) and there != now:
        return (
            f"Both have the same architecture; the original is in {there}, and yours in {now}. If they are the same weights "
            "in another precision, pass check='warn'."
        )
    return "If they are the same weights in another form (another precision, quantised), pass check='warn'."
