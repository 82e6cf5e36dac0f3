"""The parts of an input that a person keeps or removes: the pixels of a picture, the words of a text.

A word may be several tokens. It is kept or removed as a whole, so that what is shown and what the model reads agree.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sidelight.errors import UnsupportedTargetError
from sidelight.explanations.explanation import Explanation
from sidelight.inputs.base import Batch

#: stands for a word that is removed
GONE = "▢"
#: name of the modality whose parts are words
TEXT = "text"
#: name of the modality whose parts are pixels
IMAGE = "image"


def require_parts(modalities: Iterable[str]) -> None:
    """Raise :class:`UnsupportedTargetError` if a modality has no parts that a person could keep or remove here."""
    odd = [name for name in modalities if name not in (IMAGE, TEXT)]
    if odd:
        raise UnsupportedTargetError(
            f"live inputs, the widget and the page know images and texts only; this classifier reads {', '.join(odd)}. Use "
            "explainer.explain(...), whose scores are arrays."
        )


@dataclass(frozen=True, eq=False)
class Units:
    """The parts of one sample, in the order in which they are shown.

    Args:
        explanation: of the sample. Its ranking says which parts come first.
        real: per modality the target's feature mask, image ``[1, 1, H, W]``, text ``[1, T]``.
        tokens: for each string that is shown the places of its tokens, ``None`` if there is no text.
    """

    explanation: Explanation
    real: Mapping[str, Tensor]
    tokens: tuple[tuple[int, ...], ...] | None = None

    @classmethod
    def of(cls, batch: Batch, explanation: Explanation, real: Mapping[str, Tensor]) -> Units:
        """The parts of the only sample of ``batch``."""
        if TEXT not in explanation.inputs:
            return cls(explanation, real)
        if batch.texts is not None:
            return cls(explanation, real, tuple(batch.texts.views[0].shown_tokens()))
        places = real[TEXT][0].nonzero().flatten().tolist()  # ids came prepared: each token is shown
        return cls(explanation, real, tuple((place,) for place in places))

    @cached_property
    def read(self) -> dict[str, np.ndarray]:
        """Per modality a boolean array of the map's shape: the parts that the model read."""
        found = {name: np.ones(scores.shape, dtype=bool) for name, scores in self.explanation.scores.items()}
        if self.tokens is not None:
            found[TEXT] = np.array([bool(places) for places in self.tokens], dtype=bool)
        return found

    @cached_property
    def places(self) -> dict[str, np.ndarray]:
        """Per modality the place of each part, best first, from 0 on. Parts that the model did not read come last."""
        found = {}
        for name, scores in self.explanation.scores.items():
            ranking = self.explanation.ranking
            values = np.where(self.read[name], scores if ranking is None else ranking[name], -np.inf).ravel()
            order = np.argsort(-values, kind="stable")
            place = np.empty(len(order), dtype=np.int64)
            place[order] = np.arange(len(order))
            found[name] = place.reshape(scores.shape)
        return found

    def stay(self, share: float, removed: Collection[int]) -> dict[str, np.ndarray]:
        """Per modality a boolean array of the map's shape: the parts that stay.

        Args:
            share: of the parts of each modality, best first, in [0, 1]. Halves are rounded up.
            removed: numbers of words that go in any case.
        """
        found = {}
        for name, place in self.places.items():
            count = int(np.floor(share * self.read[name].sum() + 0.5))
            found[name] = (place < count) & self.read[name]
        if self.tokens is not None and removed:
            found[TEXT][sorted(removed)] = False
        return found

    def masks(self, stays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        """Per modality scores of 0 and 1 as the target takes them: 0 where a part is gone."""
        found = {}
        for name, real in self.real.items():
            mask = torch.ones(real.shape, dtype=torch.float32)
            if name == TEXT and self.tokens is not None:
                gone = [
                    t
                    for places, stay in zip(self.tokens, stays[name], strict=True)
                    if not stay
                    for t in places
                ]
                mask[0, gone] = 0.0
            else:
                mask[0, 0] = torch.from_numpy(stays[name]).float()
            found[name] = mask.to(real.device)
        return found

    def shown(self, stays: Mapping[str, np.ndarray]) -> list[str]:
        """The words, and :data:`GONE` in place of those that are removed, with the white space around them."""
        return [
            word if stay or not places else _replaced(word)
            for word, stay, places in zip(
                self.explanation.inputs[TEXT], stays[TEXT], self.tokens or (), strict=True
            )
        ]


def _replaced(word: str) -> str:
    body = word.strip()
    return word.replace(body, GONE, 1) if body else word


def as_words(value: Any) -> tuple[int, ...]:
    """``value`` as sorted numbers of words, without repetition."""
    return tuple(sorted({int(number) for number in value}))
