"""What a model's output means: logits of classes of which exactly one is true, and from them probabilities.

Everything else in the library may take the logits of a target for such logits. So a target whose model gives
something else turns it into them here, or is refused by name:

====================  ============================  ==========================================================
the model returns     ``output``                    what becomes of it
====================  ============================  ==========================================================
logits ``[B, K]``     ``"logits"``                  they stay as they are
probabilities         ``"probabilities"``           their logarithms, whose softmax they are
one logit a sample    ``"sigmoid"``                 ``[0, s]``, classes "no" and "yes"
one probability       ``"probabilities"``           the logarithms of ``1 - p`` and ``p``, classes "no" and "yes"
one similarity        (image-text models)           ``[0, s - threshold]``
====================  ============================  ==========================================================

Independent labels and regression values are no classes. Their maps are not there yet.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sidelight.errors import ConfigError, UnsupportedTargetError
from sidelight.targets.outputs import described, find_logits, is_hugging_face

#: what a caller may say of a model's output
READINGS = ("auto", "logits", "probabilities", "sigmoid")
#: a probability below this counts as this, so that its logarithm and the gradient stay finite
TINY = 1e-30
#: how far probabilities may be from a sum of 1 (half precision), and where there are few samples to judge by
ROUNDING, FEW_ROUNDING, FEW = 2e-3, 1e-5, 4
#: names of the two classes of one yes-or-no value
NO_YES = ("no", "yes")

ONE_VALUE = (
    "If it is the logit of a yes-or-no decision, say output='sigmoid'. If it is the probability of yes, say "
    "output='probabilities'. Maps for regression values are not there yet."
)


class Verdict:
    """How the output of one model is read.

    What ``output="auto"`` means is decided once, at the first pass: every sample's values lie in [0, 1] and sum
    to 1, or they are logits. The decision never changes afterwards, and a saved scorer remembers it.

    Args:
        model: the classifier.
        output: one of :data:`READINGS`.
        threshold: for a model that gives one similarity a pair, where match and no match are equally probable.
        loader: the ``AutoModel...`` class that loads classifiers of this kind, for messages.

    Raises:
        ConfigError: ``output`` is unknown.
    """

    def __init__(
        self,
        model: nn.Module,
        output: str = "auto",
        threshold: float | None = None,
        loader: str = "",
    ) -> None:
        if output not in READINGS:
            raise ConfigError(f"output must be one of {', '.join(READINGS)}; got {output!r}.")
        self.model, self.output, self.loader = model, output, loader
        #: names that the caller gave; how many there are tells logits from other outputs
        self.class_names: tuple[str, ...] = ()
        self.threshold = None if output == "probabilities" else threshold
        #: how outputs are read; ``None`` until the first pass has shown it
        self.reading: str | None = None if output == "auto" else output
        self._checked = self._one_value = False

    def options(self) -> dict[str, Any]:
        """Keyword arguments of a target family that say how this output is read, where it is not plain logits."""
        return {} if self.reading in (None, "logits") else {"output": self.reading}

    def settled(self) -> dict[str, Any]:
        """Keyword arguments of a target family that leave nothing to be found out again."""
        return {"output": self.reading} if self.reading else {}

    @property
    def names(self) -> dict[int, str]:
        """Class names by index, where the model's configuration or its kind of output tells them."""
        own = configured_names(self.model)
        if self._one_value and len(own) < 2:
            name = own.get(0, "LABEL_0")
            return dict(enumerate(NO_YES if name == "LABEL_0" else (f"not {name}", name)))
        return own

    def require_classes(self) -> None:
        """Refuse a model that by its configuration does not choose one of several classes.

        Raises:
            UnsupportedTargetError: independent labels, or a regression value.
        """
        name, kind, count = (
            type(self.model).__name__,
            _config(self.model, "problem_type"),
            _outputs(self.model),
        )
        if kind == "multi_label_classification":
            raise independent_labels(
                f"{name} decides each of its {count} labels by itself (problem_type "
                "'multi_label_classification'), so several may be true at once"
            )
        explained = self.output in ("sigmoid", "probabilities") and count == 1
        if kind == "regression" and not explained:
            advice = ONE_VALUE if count == 1 else "Maps for regression values are not there yet."
            raise UnsupportedTargetError(
                f"{name} gives {'one number' if count == 1 else f'{count} numbers'} a sample, not classes "
                f"(problem_type 'regression'). {advice}"
            )

    def read(self, out: Any, rows: int) -> Tensor:
        """Logits ``[B, K]`` of exclusive classes, with the graph of ``out``.

        Args:
            out: what the model returned.
            rows: B, the number of samples it was given.

        Raises:
            UnsupportedTargetError: it is not what a classifier of exclusive classes returns.
            ConfigError: it is not what ``output`` said.
        """
        raw = find_logits(out, self.model, rows, len(self.class_names), self.loader)
        values = self._values(raw, out, rows)
        self._one_value = values.shape[1] == 1
        if self.reading is None and self.threshold is None:
            return self._settle(values)
        logits = self._logits(values)
        self._check_once(values)
        return logits

    def _settle(self, values: Tensor) -> Tensor:
        """Decide what outputs are. Where some are no numbers that is left to a later pass."""
        finite = bool(torch.isfinite(values.detach()).all())
        found = "probabilities" if finite and bool(sums_to_one(values).all()) else "logits"
        if finite and len(values):
            self.reading = found
        logits = _log(values) if found == "probabilities" else values
        return logits

    def _logits(self, values: Tensor) -> Tensor:
        if values.shape[1] > 1:
            return _log(values) if self.reading == "probabilities" else values
        if self.reading == "probabilities":
            return _log(torch.cat([1 - _precise(values), _precise(values)], 1))
        return torch.cat([torch.zeros_like(values), values - (self.threshold or 0.0)], 1)

    def _values(self, raw: Tensor, out: Any, rows: int) -> Tensor:
        """``raw`` as ``[B, K]``, K = 1 for one value a sample.

        Raises:
            UnsupportedTargetError: it has another shape or kind, or one value where nobody said what it means.
        """
        name = type(self.model).__name__
        values = raw.unsqueeze(1) if raw.shape == (rows,) else raw
        if not raw.is_floating_point() or values.ndim != 2 or len(values) != rows or values.shape[1] == 0:
            raise UnsupportedTargetError(
                f"{name} returned {described(out)} for {rows} sample(s); a classifier returns floating-point logits "
                f"of shape [B, K] = [{rows}, number of classes]{_meaning(raw)}."
            )
        if values.shape[1] == 1 and self.reading in (None, "logits") and self.threshold is None:
            low, high = values.detach().min(), values.detach().max()
            why = " (one label, which means regression)" if _outputs(self.model) == 1 else ""
            raise UnsupportedTargetError(
                f"{name} gives one number a sample (here {float(low):.3g} to {float(high):.3g}), not classes{why}. "
                + ONE_VALUE
            )
        if values.shape[1] > 1 and self.reading == "sigmoid":
            raise ConfigError(
                f"output='sigmoid' is for one logit a sample; {name} gives {values.shape[1]}. Leave it out for classes "
                "of which one is true. Maps for independent labels are not there yet."
            )
        return values

    def _check_once(self, values: Tensor) -> None:
        if self._checked:
            return
        self._checked = True
        found = values.detach()
        right = sums_to_one(found) if found.shape[1] > 1 else _in_unit_range(found).squeeze(1)
        if self.reading == "probabilities" and not bool((right | ~torch.isfinite(found).all(1)).all()):
            raise ConfigError(
                f"output='probabilities' was said of {type(self.model).__name__}, but it returned "
                f"{found[int((~right).nonzero()[0])].tolist()[:8]}: values outside [0, 1], or a sum other than 1."
            )


def sums_to_one(values: Tensor) -> Tensor:
    """``[B]`` true where a row of ``values`` ``[B, K]``, K >= 2, holds probabilities of exclusive classes.

    Half precision rounds them. With few rows to judge by a sum must be closer, as logits could come near by chance.
    """
    p = values.detach()
    least = ROUNDING if len(p) >= FEW else FEW_ROUNDING
    tolerance = max(least, 4 * torch.finfo(p.dtype).eps)
    p = p.float()
    return _in_unit_range(p, tolerance).all(1) & ((p.sum(1) - 1).abs() <= tolerance)


def configured_names(model: Any) -> dict[int, str]:
    """Class names in a model's configuration by index, whether it keeps indices as numbers, strings or places."""
    own = _config(model, "id2label") or {}
    if isinstance(own, (list, tuple)):
        own = dict(enumerate(own))
    found = {str(k).strip(): str(v) for k, v in own.items()} if hasattr(own, "items") else {}
    return {int(k): v for k, v in found.items() if k.isdecimal()}


def independent_labels(what: str) -> UnsupportedTargetError:
    """The refusal of a model or data whose labels do not exclude each other."""
    return UnsupportedTargetError(
        f"{what}. sidelight explains classifiers of which one class is true: maps for independent labels are not "
        "there yet. To explain one label, give a module that returns the logit of that label, and output='sigmoid'."
    )


def _config(model: Any, key: str) -> Any:
    return getattr(getattr(model, "config", None), key, None)


def _outputs(model: Any) -> int | None:
    count = _config(model, "num_labels") if is_hugging_face(model) else None
    return count if isinstance(count, int) else None


def _precise(p: Tensor) -> Tensor:
    return p if p.dtype == torch.float64 else p.float()


def _log(p: Tensor) -> Tensor:
    return _precise(p).clamp(min=TINY).log()


def _in_unit_range(p: Tensor, tolerance: float = ROUNDING) -> Tensor:
    return (p >= -tolerance) & (p <= 1 + tolerance)


def _meaning(raw: Tensor) -> str:
    """What outputs of other shapes usually are, as a clause."""
    if raw.ndim == 4:
        return (
            "; four axes are a decision for each pixel, as of segmentation, which sidelight does not explain"
        )
    if raw.ndim == 3:
        return "; three axes are a decision for each token, which sidelight does not explain"
    if raw.ndim <= 1:
        return "; the batch axis seems to be lost on the way (squeeze?)"
    return ""
