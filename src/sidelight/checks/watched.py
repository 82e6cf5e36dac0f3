"""The weights that a scorer belongs to, watched for as long as its explainer lives."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from sidelight.checks.answers import answers_of
from sidelight.checks.selfcheck import Check, raise_or_warn
from sidelight.errors import TargetMismatchError
from sidelight.targets.base import TargetModel
from sidelight.targets.weights import WeightWatch
from sidelight.targets.wrappers import require_weights

log = logging.getLogger(__name__)


class WatchedWeights:
    """The weights that a scorer belongs to. They are compared again whenever they may have changed.

    Args:
        target: the classifier.
        known: hash of its weights as they should be. Default: as they are now.
    """

    def __init__(self, target: TargetModel, known: str | None = None) -> None:
        self.target = target
        self.watch = WeightWatch(target.model)
        self.known = target.fingerprint() if known is None else known
        #: what a saved scorer says of the weights that it was trained beside
        self.trained = target.weights_record(self.known)

    def remember(self, saved: Mapping[str, Any]) -> None:
        """Take what a saved scorer says of the weights of its training. Earlier versions did not say all of it."""
        self.trained |= {name: saved[name] for name in (*self.trained, "answers") if name in saved}

    def origin(self) -> dict[str, Any]:
        """What a saved scorer says of the weights, :attr:`trained`. Warns if the target has others by now."""
        if self.now() != self.trained["fingerprint"]:
            log.warning(
                "%s has other weights now than those that its scorer was trained beside. The saved scorer names those of "
                "its training, so it is refused beside the weights of now, unless it is loaded with check='warn'.",
                self.target.name,
            )
        elif "answers" not in self.trained:
            self.trained["answers"] = answers_of(self.target)
        return self.trained

    def require(self, check: Check) -> None:
        """Refuse other weights, or warn of them once. Costs a few microseconds a layer if nothing changed.

        Raises:
            TargetMismatchError: the weights have changed, and ``check`` is ``"error"``.
            UnsupportedTargetError: they are gone (meta tensors).
        """
        if not self.watch.changed():
            return
        require_weights(self.target.model)  # whatever the caller wants, there is nothing to pass through
        if check == "off":
            return
        watch = WeightWatch(
            self.target.model
        )  # before the hash: what changes meanwhile is noticed the next time
        found = self.target.fingerprint()
        if found != self.known or self.watch.rescaled():
            self._tell(check)
        self.watch, self.known = watch, found

    def now(self) -> str:
        """Hash of the weights as they are. They are read only if the watch notices a change."""
        return self.target.fingerprint() if self.watch.changed() else self.known

    def _tell(self, check: Check) -> None:
        message = (
            f"the weights of {self.target.name} have changed since its scorer was trained or loaded: trained further, "
            "loaded anew, moved to another precision, or with another adapter switched on or an adapter scaled. Its maps may "
            "mean nothing now: load the weights again, or fit a new scorer. To use it in spite of that, load the scorer with "
            "check='warn', or set explainer.check = 'warn'."
        )
        raise_or_warn(TargetMismatchError(message), check)
