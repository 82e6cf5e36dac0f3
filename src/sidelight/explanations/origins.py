"""Where an explanation comes from: its explainer, its input and its classes, as long as all of them are in memory.

It is kept beside the explanation and not in it. So explanations are plain data, and copies and saved ones have no origin.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from sidelight.errors import InputError
from sidelight.inputs.whole_paths import with_whole_path, working_directory


class Plays(Protocol):
    """An explainer, as far as an explanation needs it."""

    def widget(self, sample: Any, *, target: Any = None, versus: Any = None) -> Any:
        """Show one input as a widget."""


@dataclass(frozen=True)
class Origin:
    """What made an explanation.

    Attributes:
        explainer: a weak reference, so that no explanation keeps a model in memory.
        sample: gives the input.
        target, versus: classes, as they were asked for.
    """

    explainer: Callable[[], Plays | None]
    sample: Callable[[], Any]
    target: Any = None
    versus: Any = None

    def widget(self) -> Any:
        """The widget of the same input and classes. Raises :class:`InputError` if the explainer is gone."""
        explainer = self.explainer()
        if explainer is None:
            raise InputError(
                "the explainer of this explanation is gone. Load it again and call explainer.widget(sample) instead."
            )
        return explainer.widget(self.sample(), target=self.target, versus=self.versus)


_ORIGINS: weakref.WeakKeyDictionary[Any, Origin] = weakref.WeakKeyDictionary()


def remembered(explanations: list[Any], explainer: Plays, samples: Any) -> list[Any]:
    """``explanations``, with a note of where each comes from. A note is forgotten with its explanation.

    Args:
        explanations: some may be failures, which have no origin.
        samples: gives the input of each by its place. Those of a stream are gone by now, so nothing is noted.
    """
    if isinstance(samples, Sequence):
        folder = working_directory()
        for i, found in enumerate(explanations):
            if hasattr(found, "prediction"):
                chosen = None if found.explained == found.prediction else found.explained
                sample = partial(_sample, samples, i, folder if "image" in found.scores else None)
                _ORIGINS[found] = Origin(weakref.ref(explainer), sample, chosen, found.versus)
    return explanations


def _sample(samples: Sequence[Any], number: int, folder: str | None) -> Any:
    return with_whole_path(samples[number], folder)


def origin_of(explanation: Any) -> Origin:
    """The origin of ``explanation``. Raises :class:`InputError` if nobody noted it."""
    found = _ORIGINS.get(explanation)
    if found is None:
        raise InputError(
            "this explanation does not know its input and its classifier, because it was loaded, copied, made by hand, or "
            "explained from a stream or from tensors. Call explainer.widget(sample) with the input itself."
        )
    return found
