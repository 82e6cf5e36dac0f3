"""Reading of a model's output as logits of classes.

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
a logit a label       ``"labels"``                  half log-odds ``[s/2, -s/2]``, see below
a probability a label ``"label_probabilities"``     the same of ``s = log(p / (1 - p))``
one number ``v``      ``"value"``                   ``[0, (v - threshold) / scale]``, classes "lower" and "higher"
====================  ============================  ==========================================================

**Independent labels** do not exclude each other. L of them become 2L classes: class ``l`` is "label l is there", and
class ``L + l`` is its opposite, "label l is not there", with the name ``not <name>``. The softmax over such a pair is
exactly the model's own sigmoid, and both keep all digits. Everything else follows from
:mod:`sidelight.core.tensors`: ``probabilities``, ``predictable`` and ``decisions``.

**A regression value** has no probability. The number in [0, 1] that stands for one is the sigmoid of the distance from
``threshold``, in units of ``scale``. Without these options both are settled before a training: as the mean and the standard
deviation of the values of the first rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sidelight.core.field_checks import require_choice
from sidelight.core.tensors import predictable
from sidelight.errors import ConfigError, UnsupportedTargetError
from sidelight.targets.outputs import described, find_logits, is_hugging_face, require_names

#: kinds of output that a caller may declare
READINGS = ("auto", "logits", "probabilities", "sigmoid", "labels", "label_probabilities", "value")
#: readings of independent labels
INDEPENDENT = ("labels", "label_probabilities")
#: smallest probability, so that the logarithm and its gradient stay finite
TINY = 1e-30
#: largest distance of a sum of probabilities from 1 (half precision), the same for few samples, and few samples
ROUNDING, FEW_ROUNDING, FEW = 2e-3, 1e-5, 4
#: names of the two classes of one yes-or-no value, and of one regression value
NO_YES, LOWER_HIGHER = ("no", "yes"), ("lower", "higher")

ONE_VALUE = (
    "If it is the logit of a yes-or-no decision, say output='sigmoid'. If it is the probability of yes, say "
    "output='probabilities'. If it is a regression value, say output='value'."
)
SEVERAL_VALUES = (
    "sidelight explains one value at a time: give a module that returns one of them, and output='value'."
)


class Verdict:
    """The reading of one model's output.

    If ``output`` is ``"auto"``, the model's configuration decides: its ``problem_type`` may name independent labels or
    regression. Otherwise the first pass decides. If every sample's values lie in [0, 1] and sum to 1, they are
    probabilities, else logits. The decision never changes afterwards, and a saved scorer keeps it.

    Args:
        model: the classifier.
        output: one of :data:`READINGS`.
        threshold: similarity at which match and no match are equally probable, or value between "lower" and "higher".
        scale: distance from the threshold that counts as clear, for ``"value"``.
        loader: the ``AutoModel...`` class that loads classifiers of this kind, for messages.
        similarity: whether the model gives similarities.

    Raises:
        ConfigError: ``output`` is unknown, or threshold and scale do not go with it or are impossible.
    """

    def __init__(
        self,
        model: nn.Module,
        output: str = "auto",
        threshold: float | None = None,
        scale: float | None = None,
        *,
        loader: str = "",
        similarity: bool = False,
    ) -> None:
        require_choice(output, READINGS, "output")
        self.model, self.output, self.loader = model, output, loader
        #: names that the caller gave, whose number helps to find the logits
        self.class_names: tuple[str, ...] = ()
        #: the kind of output, ``None`` until the first pass decides
        self.reading = _configured(model) if output == "auto" else output
        self._similarity = similarity and self.reading in (None, "logits", "sigmoid")
        if not similarity or self.reading == "value":
            self._require_unit(threshold, scale)
        self.threshold, self.scale = threshold, scale
        #: numbers that the model gives for a sample, ``None`` until the first pass
        self.outputs: int | None = None
        self._checked = False

    def _require_unit(self, threshold: float | None, scale: float | None) -> None:
        value = self.reading == "value"
        # image-text scorers remember a threshold of 0 in any case
        if not value and (scale is not None or threshold):
            raise ConfigError("threshold and scale are for regression values: say output='value' with them.")
        if value and not all(math.isfinite(n) for n in (threshold, scale) if n is not None):
            raise ConfigError(f"threshold and scale must be finite; got {threshold} and {scale}.")
        if scale is not None and scale <= 0:
            raise ConfigError(f"scale must be above 0; got {scale}.")

    @property
    def independent(self) -> bool:
        """Whether each label is decided by itself."""
        return self.reading in INDEPENDENT

    def options(self) -> dict[str, Any]:
        """Return the target's keyword arguments that declare this reading, or none for plain logits."""
        return {} if self.reading in (None, "logits") else self.settled()

    def settled(self) -> dict[str, Any]:
        """Return the target's keyword arguments that fix the reading, if it is known."""
        unit = {"threshold": self.threshold, "scale": self.scale} if self.reading == "value" else {}
        known = {name: number for name, number in unit.items() if number is not None}
        return {"output": self.reading, **known} if self.reading else {}

    @property
    def names(self) -> dict[int, str]:
        """Class names by index, if the model's configuration or its kind of output gives them."""
        own = configured_names(self.model)
        if self.reading == "value":
            return dict(enumerate(LOWER_HIGHER))
        # labels of rows are checked before the first pass, so that a reading which the user declared must do
        declared = self.reading == "sigmoid" or (
            self.reading == "probabilities" and _outputs(self.model) == 1
        )
        one = self.outputs == 1 or (self.outputs is None and declared)
        if one and not self.independent and len(own) < 2:
            return names_of_one(own.get(0))
        return own

    def with_opposites(self, names: dict[int, str]) -> dict[int, str]:
        """Return ``names``, and those of the opposites of independent labels."""
        if not self.independent:
            return names
        count = self.outputs or _outputs(self.model) or len(names)
        own = {i: name for i, name in names.items() if i < count}
        return {**own, **{count + i: f"not {own.get(i, i)}" for i in range(count)}}

    def require_classes(self) -> None:
        """Check that the model's configuration allows maps.

        Raises:
            UnsupportedTargetError: the model gives several regression values.
        """
        count = _outputs(self.model)
        if _config(self.model, "problem_type") == "regression" and count != 1:
            raise UnsupportedTargetError(
                f"{type(self.model).__name__} gives {count or 'several'} numbers a sample, not classes "
                f"(problem_type 'regression'). {SEVERAL_VALUES}"
            )

    def read(self, out: Any, rows: int) -> Tensor:
        """Return logits ``[B, K]``, with the graph of ``out``.

        Args:
            out: the model's output.

        Raises:
            UnsupportedTargetError: no classifier gives such an output.
            ConfigError: the output contradicts the option ``output``, or a value has no threshold and scale yet.
        """
        raw = find_logits(out, self.model, rows, len(self.class_names), self.loader)
        values = self._values(raw, out, rows)
        self.outputs = values.shape[1]
        if self.reading is None and not self._similarity:
            logits = self._settle(values)
        else:
            logits = self._logits(values)
            self._check_once(values)
        require_names(self.class_names, predictable(logits, self.independent).shape[1])
        return logits

    def _settle(self, values: Tensor) -> Tensor:
        """Decide the kind of output. If a value is not finite, a later pass decides."""
        finite = bool(torch.isfinite(values.detach()).all())
        found = "probabilities" if finite and bool(sums_to_one(values).all()) else "logits"
        if finite and len(values):
            self.reading = found
        return _log(values) if found == "probabilities" else values

    def _logits(self, values: Tensor) -> Tensor:
        if self.independent:
            half = _half_log_odds(values) if self.reading == "label_probabilities" else values / 2
            return torch.cat([half, -half], 1)
        if values.shape[1] > 1:
            return _log(values) if self.reading == "probabilities" else values
        if self.reading == "probabilities":
            return _log(torch.cat([1 - _precise(values), _precise(values)], 1))
        if self.reading == "value":
            threshold, scale = self._unit()
            values = (_precise(values) - threshold) / scale
            return torch.cat([torch.zeros_like(values), values], 1)
        threshold = (self.threshold or 0.0) if self._similarity else 0.0
        return torch.cat([torch.zeros_like(values), values - threshold], 1)

    # -- regression values -------------------------------------------------------------------

    def _unit(self) -> tuple[float, float]:
        if self.threshold is None or self.scale is None:
            raise ConfigError(
                f"{type(self.model).__name__} gives a regression value, and it is not known yet which values are low and "
                "high. A training finds that out from its rows. Without one, give as_target(..., threshold=the usual "
                "value, scale=a clear distance from it)."
            )
        return self.threshold, self.scale

    @property
    def needs_unit(self) -> bool:
        """Whether values cannot be read before :meth:`settle_unit`."""
        return self.reading == "value" and (self.threshold is None or self.scale is None)

    @contextmanager
    def unscaled(self) -> Iterator[None]:
        """Within the context the logits of "higher" are the values themselves."""
        before = self.threshold, self.scale
        self.threshold, self.scale = 0.0, 1.0
        try:
            yield
        finally:
            self.threshold, self.scale = before

    def settle_unit(self, values: Tensor) -> None:
        """Take what the caller left open of threshold and scale from the mean and standard deviation of ``values [N]``.

        Raises:
            ConfigError: all values are equal.
        """
        found = values.double()
        spread = float(found.std(correction=0)) if len(found) else 0.0
        if self.scale is None and not spread > 0:
            raise ConfigError(
                f"{type(self.model).__name__} gives the same value for all {len(found)} rows that were looked at, so they do "
                "not tell which values are low and high. Give threshold=... and scale=..., or other rows."
            )
        self.threshold = float(found.mean()) if self.threshold is None else self.threshold
        self.scale = spread if self.scale is None else self.scale

    def remember(self, options: Mapping[str, Any]) -> None:
        """Take what the caller left open of threshold and scale from the ``options`` of a saved scorer."""
        if self.needs_unit and options.get("output") == "value":
            self.threshold = options.get("threshold") if self.threshold is None else self.threshold
            self.scale = options.get("scale") if self.scale is None else self.scale

    def value_of(self, logits: Tensor) -> Tensor | None:
        """Return the regression values ``[B]`` behind ``logits [B, 2]``, or ``None`` if the model gives none."""
        if self.reading != "value":
            return None
        threshold, scale = self._unit()
        return threshold + scale * logits[:, 1]

    # -- checks -------------------------------------------------------------------------------

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
        if values.shape[1] == 1 and self.reading in (None, "logits") and not self._similarity:
            low, high = values.detach().min(), values.detach().max()
            why = " (one label, which means regression)" if _outputs(self.model) == 1 else ""
            raise UnsupportedTargetError(
                f"{name} gives one number a sample (here {float(low):.3g} to {float(high):.3g}), not classes{why}. "
                + ONE_VALUE
            )
        if values.shape[1] > 1 and self.reading == "sigmoid":
            raise ConfigError(
                f"output='sigmoid' is for one logit a sample; {name} gives {values.shape[1]}. Leave it out for classes "
                "of which one is true. For independent labels say output='labels'."
            )
        if values.shape[1] > 1 and self.reading == "value":
            raise ConfigError(
                f"output='value' is for one number a sample; {name} gives {values.shape[1]}. {SEVERAL_VALUES}"
            )
        return values

    def _check_once(self, values: Tensor) -> None:
        if self._checked:
            return
        self._checked = True
        found = values.detach()
        if self.reading not in ("probabilities", "label_probabilities"):
            return
        exclusive = self.reading == "probabilities" and found.shape[1] > 1
        right = sums_to_one(found) if exclusive else _in_unit_range(found).all(1)
        if not bool((right | ~torch.isfinite(found).all(1)).all()):
            raise ConfigError(
                f"output={self.reading!r} was said of {type(self.model).__name__}, but it returned "
                f"{found[int((~right).nonzero()[0])].tolist()[:8]}: values outside [0, 1]"
                f"{', or a sum other than 1' if self.reading == 'probabilities' else ''}."
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


def names_of_one(name: str | None) -> dict[int, str]:
    """Names of the two classes of one yes-or-no output, which the model's configuration calls ``name``."""
    return dict(enumerate(NO_YES if name in (None, "LABEL_0") else (f"not {name}", str(name))))


def configured_names(model: Any) -> dict[int, str]:
    """Return the class names in a model's configuration by index. It may hold a mapping or a list."""
    own = _config(model, "id2label") or {}
    if isinstance(own, (list, tuple)):
        own = dict(enumerate(own))
    found = {str(k).strip(): str(v) for k, v in own.items()} if hasattr(own, "items") else {}
    return {int(k): v for k, v in found.items() if k.isdecimal()}


def independent_labels(what: str, output: str) -> UnsupportedTargetError:
    """Return the error for a model or data with independent labels, if nobody said so.

    Args:
        output: the reading that the caller should name.
    """
    return UnsupportedTargetError(
        f"{what}. If the model decides each label by itself, say output={output!r}, and the maps are of each label. If "
        "exactly one class is true, say output='logits' and give labels as class numbers."
    )


def _configured(model: Any) -> str | None:
    """Return the reading that the model's configuration names, if it names one."""
    kind = _config(model, "problem_type")
    if kind == "multi_label_classification":
        return "labels"
    return "value" if kind == "regression" and _outputs(model) == 1 else None


def _config(model: Any, key: str) -> Any:
    return getattr(getattr(model, "config", None), key, None)


def _outputs(model: Any) -> int | None:
    count = _config(model, "num_labels") if is_hugging_face(model) else None
    return count if isinstance(count, int) else None


def _precise(p: Tensor) -> Tensor:
    return p if p.dtype == torch.float64 else p.float()


def _log(p: Tensor) -> Tensor:
    return _precise(p).clamp(min=TINY).log()


def _half_log_odds(p: Tensor) -> Tensor:
    return (_log(p) - _log(1 - _precise(p))) / 2


def _in_unit_range(p: Tensor, tolerance: float = ROUNDING) -> Tensor:
    return (p >= -tolerance) & (p <= 1 + tolerance)


def _meaning(raw: Tensor) -> str:
    """Return a clause that explains the usual meaning of an output of another shape."""
    if raw.ndim > 2 and raw.shape[1:].numel() == max(raw.shape[1:]):  # [B, K, 1, 1] and [B, 1, K] alike
        return "; if axes of length 1 are left from pooling, flatten them: torch.nn.Sequential(model, torch.nn.Flatten())"
    if raw.ndim == 4:
        return (
            "; four axes are a decision for each pixel, as of segmentation, which sidelight does not explain"
        )
    if raw.ndim == 3:
        return "; three axes are a decision for each token, which sidelight does not explain"
    if raw.ndim <= 1:
        return "; the batch axis seems to be lost on the way (squeeze?)"
    return ""
