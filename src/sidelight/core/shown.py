"""The parts of an explanation that its pictures and files read, so that neither must know the class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

import numpy as np

from sidelight.errors import InputError

#: what a picture of an explanation may show
Drawable = Literal["scores", "effects"]


def require_drawable(reading: Any) -> Drawable:
    """``reading`` if there are pictures of it. Raises :class:`InputError` otherwise."""
    if reading in ("scores", "effects"):
        found: Drawable = reading
        return found
    more = " A ranking is an order and has no picture." if reading == "ranking" else ""
    raise InputError(f"reading must be 'scores' or 'effects'; got {reading!r:.40}.{more}")


class Shown(Protocol):
    """The parts of an :class:`~sidelight.explanations.explanation.Explanation` that its picture needs.

    Attributes:
        scores: modality name -> scores in [0, 1].
        inputs: modality name -> the input as a person sees it.
        ranking: modality name -> numbers of which the highest is of the first feature, if they are known.
        effects: modality name -> changes of the probability, with a sign, if they are known.
        label: name of the predicted class.
        probability: of that class, in [0, 1].
        method: name of the method that made the map.
        target: name of the model explained.
        meta: remarks, e.g. ``truncated``.
        independent: whether each label is decided by itself, so that the class of the map has a probability of its own.
    """

    scores: Mapping[str, np.ndarray]
    inputs: Mapping[str, Any]
    ranking: Mapping[str, np.ndarray] | None
    effects: Mapping[str, np.ndarray] | None
    label: str
    probability: float
    method: str
    target: str
    meta: dict[str, Any]
    independent: bool

    @property
    def explained_label(self) -> str:
        """Name of the class that the map is of."""

    @property
    def versus_label(self) -> str | None:
        """Name of the class that it is compared with, if there is one."""

    @property
    def explained_probability(self) -> float | None:
        """Of the class that the map is of, in [0, 1], as far as it is known."""
