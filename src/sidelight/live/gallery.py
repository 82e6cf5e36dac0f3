"""Stored examples of a page, which can be sorted by how much their maps matter: "kept minus removed".

That is measured on the example itself, by its certificate: the class's probability if the map's part alone is kept, minus
its probability if that part is removed, as the mean over the certificate's fills. 1 is the best value and -1 the worst. It
is another number than ``meta["quality"]``, which is foretold and not measured (:mod:`sidelight.checks.quality`).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from PIL import Image

from sidelight.core.digits import with_sign
from sidelight.errors import InputError
from sidelight.explanations.asking import is_one
from sidelight.explanations.explanation import Explanation
from sidelight.explanations.origins import origin_of
from sidelight.explanations.reading import StoredAnswers
from sidelight.live.session import Explains, Session
from sidelight.live.units import TEXT
from sidelight.rows.sources import rows_of
from sidelight.viz.safe_text import visible

#: characters of a text that name an example in a list
SHOWN = 60
#: orders, and whether the best comes first
ORDERS = {"worst first": False, "best first": True}


@dataclass(frozen=True)
class Example:
    """One example of a gallery.

    Attributes:
        number: its place in the list that was given, from 0 on.
        sample: the input, for a session.
        explanation: of it.
        difference: kept minus removed, in [-1, 1]. ``None`` if the explanation holds no certificate.
    """

    number: int
    sample: Any
    explanation: Explanation
    difference: float | None

    @property
    def caption(self) -> str:
        """Number, difference, verdict and the beginning of the text, in one line."""
        found = self.explanation
        measured = (
            "not measured" if self.difference is None else f"kept − removed {with_sign(self.difference)}"
        )
        parts = [f"#{self.number}", measured]
        parts.append(f"{visible(found.label)} {found.probability:.0%}")
        if TEXT in found.inputs:
            parts.append(" ".join(visible("".join(found.inputs[TEXT])).split())[:SHOWN])
        return " · ".join(parts)


class Gallery:
    """Examples of one explainer. Those that come without an explanation are explained and measured at the first look.

    Args:
        explainer: fitted or loaded.
        samples: samples or rows in any form that ``explain`` takes, or finished explanations.
    """

    def __init__(self, explainer: Explains, samples: Any = ()) -> None:
        self.explainer, self.samples = explainer, _one_by_one(explainer, samples)
        self._known: list[Example] | None = None
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.samples)

    def sorted(self, order: str = "worst first") -> list[Example]:
        """The examples by their difference. Those that were not measured come last, in the order in which they were given.

        Args:
            order: a key of :data:`ORDERS`.
        """
        with self._lock:  # so that two people who look at the same time do not measure twice
            if self._known is None:
                self._known = [self._example(i, sample) for i, sample in enumerate(self.samples)]
        sign = -1 if ORDERS.get(order, False) else 1
        return sorted(
            self._known, key=lambda e: (e.difference is None, sign * (e.difference or 0.0), e.number)
        )

    def __getitem__(self, number: int) -> Example:
        """The example of this number. Raises :class:`InputError` if there is none."""
        found = next((e for e in self.sorted() if e.number == number), None)
        if found is None:
            raise InputError(f"there is no example {number}; this run has {len(self)}.")
        return found

    def _example(self, number: int, sample: Any) -> Example:
        if isinstance(sample, Explanation):
            return Example(number, sample_of(sample), sample, kept_minus_removed(sample))
        session = Session(self.explainer, sample)
        found = session.certify()
        return Example(number, session.sample, found, kept_minus_removed(found))


def _one_by_one(explainer: Explains, given: Any) -> Sequence[Any]:
    """``given`` as a sequence: a mapping or data frame would give its columns' names, and a text its letters."""
    if isinstance(given, (list, tuple, StoredAnswers)):
        return cast(Sequence[Any], given)
    if is_one(explainer.target, given):
        return [given]
    return rows_of(given, "examples")


def kept_minus_removed(explanation: Explanation) -> float | None:
    """The class's probability with the map's part alone, minus that without it (see the module).

    ``None`` if the explanation holds no certificate.

    Example:
        >>> found = Explanation({"text": [1.0]}, {"text": ["so"]}, 0, "yes", 0.9)
        >>> found.meta["certificate"] = [{"kept": 0.9, "lost": 0.5}, {"kept": 0.8, "lost": 0.2}]
        >>> round(kept_minus_removed(found), 2)
        0.5
    """
    measured = explanation.meta.get("certificate")
    return float(np.mean([c["kept"] - c["lost"] for c in measured])) if measured else None


def sample_of(explanation: Explanation) -> Any:
    """The input of an explanation: the original if it is in memory, else :func:`shown_sample`."""
    try:
        return origin_of(explanation).sample()
    except InputError:
        return shown_sample(explanation)


def shown_sample(explanation: Explanation) -> Any:
    """The input of a stored explanation, from what is shown of it. Pictures have the model's size, and two texts are one."""
    parts: list[Any] = []
    for name, shown in explanation.inputs.items():
        if name == TEXT:
            parts.append("".join(shown))
        else:
            pixels = (np.asarray(shown) * 255).round().astype(np.uint8)
            parts.append(Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels))
    return parts[0] if len(parts) == 1 else tuple(parts)
