"""How one modality is drawn: the protocol that figures, grids and pages rely on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from sidelight.core.registry import Registry, nearest
from sidelight.errors import InputError, UnknownNameError

_NO_EFFECTS = "effects of this modality have no picture, because its renderer has no draw_effects. Choose reading='scores'."


class Renderer(ABC):
    """Draws scores of one modality on the input they belong to.

    ``scores`` are in [0, 1]. ``display`` is the input as a person sees it: an image
    ``[H, W, 3]`` or ``[H, W, 1]`` of floats in [0, 1], or a text as a list of strings.
    ``truth`` is a boolean array of the scores' shape, if the evidence is known.
    :data:`RENDERERS` has one for each modality. ``docs/extend/modality.md`` says when you need your own.

    Example:
        >>> page = RENDERERS["text"].html(np.array([0.0, 1.0]), ["dull", "film"])
        >>> page.count("<span"), 'title="1.00">film' in page  # one mark a word, with its score
        (2, True)
    """

    #: Names accepted as ``style``. The first is the default.
    styles: tuple[str, ...]
    #: Whether a map hides the input, so that a page shows the input beside it.
    input_apart: bool = True
    #: Widest that one panel gets on a page, in CSS pixels.
    panel_width: int = 320
    #: What the colours of scores say, for pages, which have no legend of values. It may be empty.
    colours: str = ""

    @abstractmethod
    def check(self, scores: Any, display: Any) -> tuple[np.ndarray, Any]:
        """Scores and display input in canonical form. Raises :class:`InputError` if they do not fit."""

    @abstractmethod
    def size(self, display: Any) -> tuple[float, float]:
        """Width and height in inches that :meth:`draw` needs."""

    @abstractmethod
    def cell_size(self, display: Any) -> tuple[float, float]:
        """Width and height in inches of one panel in a grid."""

    @abstractmethod
    def draw(
        self, figure: FigureBase, scores: np.ndarray, display: Any, truth: np.ndarray | None = None
    ) -> None:
        """The full view of one explanation: every style side by side, with a legend of values."""

    @abstractmethod
    def draw_input(self, ax: Axes, display: Any, truth: np.ndarray | None = None) -> None:
        """The input alone."""

    @abstractmethod
    def draw_map(
        self,
        ax: Axes,
        scores: np.ndarray,
        display: Any,
        style: str | None = None,
        truth: np.ndarray | None = None,
    ) -> None:
        """One map on its input."""

    def effects_size(self, display: Any) -> tuple[float, float]:
        """Width and height in inches that :meth:`draw_effects` needs."""
        return self.size(display)

    def draw_effects(self, figure: FigureBase, effects: np.ndarray, display: Any) -> None:
        """The full view of values with a sign, with a legend of their size.

        Raises:
            InputError: this modality has no such view.
        """
        raise InputError(_NO_EFFECTS)

    def draw_effect_map(self, ax: Axes, effects: np.ndarray, display: Any) -> None:
        """Values with a sign on their input. Raises as :meth:`draw_effects`."""
        raise InputError(_NO_EFFECTS)

    def effects_html(self, effects: np.ndarray, display: Any, alt: str = "") -> str:
        """Self-contained, escaped HTML of values with a sign. Raises as :meth:`draw_effects`."""
        raise InputError(_NO_EFFECTS)

    def list_html(self, values: np.ndarray, display: Any, order: np.ndarray, signed: bool = False) -> str:
        """Escaped HTML that stands below a map and says its values in words. Empty if the map needs none.

        Args:
            values: scores, or with ``signed`` effects.
            order: a number for each value. The highest comes first.
        """
        return ""

    @abstractmethod
    def html(
        self,
        scores: np.ndarray | None,
        display: Any,
        style: str | None = None,
        truth: np.ndarray | None = None,
        alt: str = "",
    ) -> str:
        """Self-contained, escaped HTML of one panel, or of the input alone if ``scores`` is ``None``."""


class _Renderers(Registry[Renderer]):
    def __getitem__(self, name: str) -> Renderer:
        if name not in self:  # most often the name of a modality of a user's own
            raise UnknownNameError(
                f"there is no renderer of {name!r}, so it cannot be drawn.{nearest(name, self)} Add one, "
                f"RENDERERS.add({name!r}, ...), as docs/extend/modality.md says, or take the numbers: the scores of an "
                "explanation are arrays."
            )
        return super().__getitem__(name)


#: Modality name -> renderer.
RENDERERS: Registry[Renderer] = _Renderers("renderer")


def colours_of(modalities: Iterable[str]) -> str:
    """What the colours of scores say, of several modalities with the name of each."""
    told = {name: RENDERERS[name].colours for name in modalities if RENDERERS[name].colours}
    return " · ".join(words if len(told) == 1 else f"{words} ({name})" for name, words in told.items())


def unit_range(scores: np.ndarray) -> np.ndarray:
    """Min-max of one map to [0, 1], as in the metrics. A constant map is clipped and kept."""
    values = np.asarray(scores, dtype=np.float32)
    low, high = float(values.min()), float(values.max())
    if high - low < 1e-12:
        return values.clip(0.0, 1.0)
    return (values - low) / (high - low)
