"""Checks of what an explanation holds: real numbers in their ranges, a class that exists, strings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from sidelight.errors import CheckpointError, InputError, UnknownNameError

#: how far the sum of stored probabilities may be from 1, beside 1e-6 for each class (they are rounded to six digits)
SUM = 1e-2
#: rounding by which a probability may lie outside [0, 1]
ROUNDING = 1e-4


def real_numbers(name: str, values: Any) -> np.ndarray:
    """``values`` as float32 numbers that are finite.

    Raises:
        InputError: they are complex, no numbers, NaN or infinite.
    """
    given = np.asarray(_without_graph(values))
    if given.dtype.kind not in "bifu":
        kind = "complex numbers" if given.dtype.kind == "c" else f"{given.dtype} values"
        raise InputError(f"{name} must be real numbers; got {kind}.")
    found = given.astype(np.float32)
    if not np.isfinite(found).all():
        raise InputError(f"{name} must be finite; got NaN or infinity.")
    return found


def _without_graph(value: Any) -> Any:
    """``value`` as NumPy takes it: it takes neither tensors that have a gradient nor those in bfloat16."""
    if not isinstance(value, Tensor):
        return value
    value = value.detach().cpu()
    return value.float() if value.is_floating_point() else value


class Maps(dict[str, np.ndarray]):
    """Values by modality. A modality that is not there is told with those that are."""

    def __missing__(self, name: str) -> np.ndarray:
        raise UnknownNameError(f"no modality {name!r} was explained, only {' and '.join(self)}.")


def unit_scores(name: str, values: Any) -> np.ndarray:
    """Scores in [0, 1] as float32.

    Raises:
        InputError: they are none, complex, not finite, or outside [0, 1].
    """
    scores = real_numbers(f"{name} scores", values)
    if scores.size == 0:
        raise InputError(f"{name} scores must be finite and not empty; got shape {scores.shape}.")
    low, high = float(scores.min()), float(scores.max())
    if low < -1e-5 or high > 1 + 1e-5:
        raise InputError(
            f"{name} scores must lie in [0, 1]; got {low:.4g} to {high:.4g}. "
            "Min-max a signed attribution first (sidelight.viz.base.unit_range)."
        )
    return scores.clip(0.0, 1.0)


def probability_of(value: Any) -> float:
    """A probability in [0, 1].

    Raises:
        InputError: it is no number, or outside [0, 1].
    """
    number, value = math.nan, _without_graph(value)
    if np.ndim(value) == 0 and np.asarray(value).dtype.kind in "ifu":
        number = float(value)
    if not -ROUNDING <= number <= 1 + ROUNDING:
        raise InputError(f"probability must be a number in [0, 1]; got {value!r:.60}.")
    return min(max(number, 0.0), 1.0)


def probabilities_of(values: Any, independent: bool = False) -> np.ndarray:
    """``[K]`` probabilities of classes of which one is true, or of independent labels, as float32.

    Raises:
        InputError: they have another shape, lie outside [0, 1], or do not sum to 1, unless they are independent.
    """
    found = real_numbers("probabilities", values)
    if found.ndim != 1 or found.size == 0:
        raise InputError(f"probabilities must be one number a class, [K]; got shape {found.shape}.")
    total = float(found.sum(dtype=np.float64))
    outside = found.min() < -ROUNDING or found.max() > 1 + ROUNDING
    if independent and outside:
        raise InputError(
            f"probabilities must lie in [0, 1]; got {float(found.min()):.4g} to {float(found.max()):.4g}."
        )
    if not independent and (outside or abs(total - 1) > SUM + 1e-6 * found.size):
        raise InputError(
            f"probabilities must lie in [0, 1] and sum to 1; got {float(found.min()):.4g} to "
            f"{float(found.max()):.4g} with sum {total:.4g}."
        )
    return found


def class_of(
    prediction: Any, probabilities: np.ndarray | None, name: str = "prediction", opposites: bool = False
) -> int:
    """The index of a class, one of those that have probabilities.

    Args:
        opposites: whether the opposites of independent labels count too. Their numbers follow those of the labels.

    Raises:
        InputError: it is no such index.
    """
    each = 1 + opposites
    count = math.inf if probabilities is None else each * len(probabilities)
    whole = np.ndim(prediction) == 0 and np.asarray(prediction).dtype.kind in "iu"
    if not whole or not 0 <= int(prediction) < count:
        known = "" if probabilities is None else f", 0 to {count - 1}"
        raise InputError(f"{name} must be the index of a class{known}; got {prediction!r:.60}.")
    return int(prediction)


def like_scores(name: str, values: Mapping[str, Any] | None, scores: Mapping[str, np.ndarray]) -> Maps | None:
    """Per modality real numbers of the scores' shape.

    Raises:
        InputError: they are not finite, or of other modalities or shapes than the scores.
    """
    if values is None:
        return None
    if not isinstance(values, Mapping):
        raise InputError(f"{name} must map modalities to arrays; got {type(values).__name__}.")
    found = Maps({m: real_numbers(f"{name} of {m}", v) for m, v in values.items()})
    if {m: v.shape for m, v in found.items()} != {m: v.shape for m, v in scores.items()}:
        shapes = {m: v.shape for m, v in found.items()}
        raise InputError(f"{name} must have the scores' modalities and shapes; got {shapes}.")
    return found


def require_words(name: str, scores: np.ndarray, shown: Any) -> None:
    """Refuse a text of which the words are not as many as its scores.

    Raises:
        InputError: see above.
    """
    if isinstance(shown, list) and scores.shape != (len(shown),):
        raise InputError(
            f"{name} scores must be [{len(shown)}] like the words shown; got shape {scores.shape}."
        )


def remarks(value: Any) -> dict[str, Any]:
    """``value`` as the ``meta`` of an explanation. Raises :class:`InputError` if it is no mapping."""
    if not isinstance(value, Mapping):
        raise InputError(f"meta must be a mapping of remarks; got {type(value).__name__}.")
    return value if isinstance(value, dict) else dict(value)


def words(name: str, value: Any) -> str:
    """``value``, which must be a string. Raises :class:`InputError` if it is none."""
    if not isinstance(value, str):
        raise InputError(f"{name} must be a string; got {type(value).__name__}.")
    return value


def require_known(values: Mapping[str, Any], form: str, version: int) -> None:
    """Refuse values that are no saved explanation, or that a newer version saved.

    Args:
        values: read from JSON.
        form: the ``format`` it must have.
        version: the newest that can be read.

    Raises:
        CheckpointError: see above.
    """
    if not isinstance(values, Mapping):
        raise CheckpointError(
            f"this is not a saved explanation: expected what to_dict() gives, got {type(values).__name__}."
        )
    if values.get("format") != form:
        raise CheckpointError(
            f"this is not a saved explanation: expected format {form!r}, got {values.get('format')!r:.60}."
        )
    found = values.get("version")
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise CheckpointError(f"the saved explanation is damaged: its version is {found!r:.60}.")
    if found > version:
        raise CheckpointError(
            f"the explanation was saved by a newer sidelight (version {found} of the format; this one reads up to "
            f"{version}). Update sidelight to read it."
        )


def require_parts(values: Mapping[str, Any]) -> None:
    """Refuse an answer of a service that sent no scores or no pixels, because nobody asked for them.

    Raises:
        CheckpointError: see above. Other parts that are missing or of another kind are left to the explanation.
    """
    if "scores" not in values and "inputs" in values:
        raise CheckpointError(
            "this explanation holds no scores, as a service sends it if 'maps' names other maps only. Ask again without "
            "'maps', or with 'scores' among them."
        )
    scores, inputs = values.get("scores"), values.get("inputs")
    if not isinstance(scores, Mapping) or not isinstance(inputs, Mapping):
        return
    missing = [name for name in scores if name not in inputs]
    if missing:
        raise CheckpointError(
            f"this explanation holds scores but no input of {', '.join(map(str, missing))}, as a service sends it unless it is "
            "asked for pixels. Ask again with 'inputs': true, or read the numbers of the answer themselves."
        )
