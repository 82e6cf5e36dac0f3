"""The parts of an explanation that its pictures and files read, so that neither must know the class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np


class Shown(Protocol):
    """The parts of an :class:`~sidelight.explanations.explanation.Explanation` that its picture needs.

    Attributes:
        scores: modality name -> scores in [0, 1].
        inputs: modality name -> the input as a person sees it.
        label: name of the predicted class. The map is of this class, unless ``meta`` holds ``explained_label``.
        probability: of that class, in [0, 1].
        method: name of the method that made the map.
        target: name of the model explained.
        meta: remarks, e.g. ``truncated``.
        independent: whether each label is decided by itself, so that the class of the map has a probability of its own.
    """

    scores: Mapping[str, np.ndarray]
    inputs: Mapping[str, Any]
    label: str
    probability: float
    method: str
    target: str
    meta: dict[str, Any]
    independent: bool

    @property
    def explained_probability(self) -> float | None:
        """Of the class that the map is of, in [0, 1], as far as it is known."""
