"""A sample with the maps of several methods, as pages and figures show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sidelight.viz.base import RENDERERS, colours_of, unit_range
from sidelight.viz.direction import among_words


@dataclass
class GridSample:
    """One row of a qualitative figure.

    Args:
        display: of an image floats ``[H, W, 1]`` or ``[H, W, 3]`` in [0, 1], of a text a list of strings.
        maps: method name -> scores of the input's features; any range, shown min-max as the metrics see them.
        label: predicted class; ``probability``: its probability.
        truth_label: the true class, if known (a wrong prediction is marked).
        truth: boolean array of the scores' shape, true at the evidence.
        modality: name in :data:`~sidelight.viz.base.RENDERERS`.
        caption: a remark of a few words, e.g. why this sample is a failure.
    """

    display: Any
    maps: Mapping[str, np.ndarray]
    label: str = ""
    probability: float | None = None
    truth_label: str | None = None
    truth: np.ndarray | None = None
    modality: str = "image"
    caption: str = ""

    @property
    def wrong(self) -> bool:
        """Whether the prediction is known to be wrong."""
        return self.truth_label is not None and self.truth_label != self.label

    @property
    def decision(self) -> str:
        """``"cat 97.1%"``, or just the label without a probability."""
        name = among_words(self.label)
        return name if self.probability is None else f"{name} {self.probability:.1%}"

    def scores(self, method: str) -> np.ndarray:
        """The map of ``method`` in [0, 1], checked against the input."""
        return RENDERERS[self.modality].check(unit_range(self.maps[method]), self.display)[0]


def how_drawn(samples: Sequence[GridSample], signed: bool) -> str:
    """What the colours of maps say, in a sentence or two for a page.

    Args:
        samples: whose maps are shown.
        signed: whether the scores of some methods have a sign.
    """
    colours = colours_of(sample.modality for sample in samples)
    told = "Each map is drawn from its lowest score (0) to its highest (1)" + (
        f"; {colours}." if colours else "."
    )
    return told + (" Of a method with signs the positive part is drawn." if signed else "")
