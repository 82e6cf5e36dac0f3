"""Reading of a model's output as logits of exclusive classes, of which exactly one is true.

The rest of the library relies on such logits. If a model gives another output, this module converts it or raises
an error:

====================  ============================  ==========================================================
the model returns     ``output``                    the logits
====================  ============================  ==========================================================
logits ``[B, K]``     ``"logits"``                  the same
probabilities         ``"probabilities"``           their logarithms
one logit a sample    ``"sigmoid"``                 ``[0, s]``, classes "no" and "yes"
one probability       ``"probabilities"``           the logarithms of ``1 - p`` and ``p``, classes "no" and "yes"
one similarity        (image-text models)           ``[0, s - threshold]``
====================  ============================  ==========================================================

Independent labels and regression values are no classes, and sidelight has no maps for them yet.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sidelight.errors import ConfigError, UnsupportedTargetError
from sidelight.targets.outputs import described, find_logits, is_hugging_face

#: kinds of output that a caller may declare
READINGS = ("auto", "logits", "probabilities", "sigmoid")
#: smallest probability, so that the logarithm and its gradient stay finite
TINY = 1e-30
#: largest distance of a sum of probabilities from 1 (half precision), the same for few samples, and few samples
ROUNDING, FEW_ROUNDING, FEW = 2e-3, 1e-5, 4
#: names of the two classes of one yes-or-no value
NO_YES = ("no", "yes")

ONE_VALUE = (
    "If it is the logit of a yes-or-no decision, say output='sigmoid'. If it is the probability of yes, say "
    "output='probabilities'. Maps for regression values are not there yet."
)


class Verdict:
    """The reading of one model's output.

    If ``output`` is ``"auto"``, the first pass decides. If every sample's values lie in [0, 1] and sum to 1, they
    are probabilities, else logits. The decision never changes afterwards, and a saved scorer keeps it.

    Args:
        model: the classifier.
        output: one of :data:`READINGS`.
        threshold: similarity at which match and no match are equally probable, if the model gives similarities.
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
        #: names that the caller gave, whose number helps to find the logits
        self.class_names: tuple[str, ...] = ()
        self.threshold = None if output == "probabilities" else threshold
        #: the kind of output, ``None`` until the first pass decides
        self.reading: str | None = None if output == "auto" else output
        self._checked = self._one_value = False

    def options(self) -> dict[str, Any]:
        """Return the target's keyword arguments that declare this reading, or none for plain logits."""
        return {} if self.reading in (None, "logits") else {"output": self.reading}

    def settled(self) -> dict[str, Any]:
        """Return the target's keyword arguments that fix the reading, if it is known."""
        return {"output": self.reading} if self.reading else {}

    @property
    def names(self) -> dict[int, str]:
        """Class names by index, if the model's configuration or its kind of output gives them."""
        own = configured_names(self.model)
        if self._one_value and len(own) < 2:
            name = own.get(0, "LABEL_0")
            return dict(enumerate(NO_YES if name == "LABEL_0" else (f"not {name}", name)))
        return own

    def require_classes(self) -> None:
        """Check that the model's configuration allows exclusive classes.

        Raises:
            UnsupportedTargetError: the model gives independent labels or a regression value.
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
        """Return logits ``[B, K]`` of exclusive classes, with the graph of ``out``.

        Args:
            out: the model's output.

        Raises:
            UnsupportedTargetError: no classifier of exclusive classes gives such an output.
            ConfigError: the output contradicts the option ``output``.
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
        """Decide the kind of output. If a value is not finite, a later pass decides."""
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
        """Return ``raw`` as ``[B, K]``, with K = 1 for one value a sample.

        Raises:
            UnsupportedTargetError: the shape or type is wrong, or one value a sample has no declared kind.
        """
        name = type(self.model).__name__
        values = raw.unsqueeze(1) if raw.shape == (rows,) else raw
        if not raw.is_floating_point() or values.ndim != 2 or values.shape[0] != rows or values.shape[1] == 0:
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
    """Return ``[B]``, true if a row of ``values`` ``[B, K]``, K >= 2, holds probabilities of exclusive classes.

    The tolerance allows for half precision. It is smaller for few rows, because logits may sum to 1 by chance.
    """
    p = values.detach()
    least = ROUNDING if len(p) >= FEW else FEW_ROUNDING
    tolerance = max(least, 4 * torch.finfo(p.dtype).eps)
    p = p.float()
    return _in_unit_range(p, tolerance).all(1) & ((p.sum(1) - 1).abs() <= tolerance)


def configured_names(model: Any) -> dict[int, str]:
    """Return the class names in a model's configuration by index. It may hold a mapping or a list."""
    own = _config(model, "id2label") or {}
    if isinstance(own, (list, tuple)):
        own = dict(enumerate(own))
    found = {str(k).strip(): str(v) for k, v in own.items()} if hasattr(own, "items") else {}
    return {int(k): v for k, v in found.items() if k.isdecimal()}


def independent_labels(what: str) -> UnsupportedTargetError:
    """Return the error for a model or data with labels that do not exclude each other."""
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
    """Return a clause that explains the usual meaning of an output of another shape."""
    if raw.ndim == 4:
        return (
            "; four axes are a decision for each pixel, as of segmentation, which sidelight does not explain"
        )
    if raw.ndim == 3:
        return "; three axes are a decision for each token, which sidelight does not explain"
    if raw.ndim <= 1:
        return "; the batch axis seems to be lost on the way (squeeze?)"
    return ""
