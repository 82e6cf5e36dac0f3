"""Makes one explanation for each sample of a batch, from its clean pass and its scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from sidelight.checks.quality import Quality, clues_of
from sidelight.core.places import name_elsewhere
from sidelight.core.tensors import predictable
from sidelight.core.types import Encoding, Reading
from sidelight.explanations.classes import NO_CLASSES, Classes
from sidelight.explanations.explanation import Explanation
from sidelight.inputs.base import Batch
from sidelight.scorers.head import is_constant
from sidelight.targets.base import TargetModel


@dataclass(frozen=True)
class Answered:
    """A batch, and what passes tell of it.

    Attributes:
        batch: ``B`` samples.
        encoding: their clean pass.
        reading: of one class for each sample.
        classes: that the reading is of. Default: the predicted ones.
        measured: per sample more entries of ``Explanation.meta``.
        quality: what the scorer's training learnt of its own maps, those of the predicted class that one pass made.
    """

    batch: Batch
    encoding: Encoding
    reading: Reading
    classes: Classes = NO_CLASSES
    measured: Sequence[Mapping[str, Any]] = ()
    quality: Quality | None = None

    def foretold(self) -> list[dict[str, float]]:
        """Per sample the entry ``quality`` of ``Explanation.meta``, if the maps are of the predicted class."""
        if self.quality is None or self.classes.explained is not None:
            return [{} for _ in self.encoding.logits]
        clues = clues_of(self.encoding, self.reading, self.encoding.prediction)
        return [{"quality": round(value, 4)} for value in self.quality.foretell(clues).tolist()]

    def without_states(self) -> Answered:
        """The same without activations, which take most of the memory and are no part of an explanation."""
        return replace(self, encoding=replace(self.encoding, states={}, fusion=None, encoded={}))


@dataclass
class Decided:
    """What an explanation says beside its maps (see :class:`Explanation`)."""

    prediction: int
    label: str
    probability: float
    probabilities: np.ndarray
    target: str
    meta: dict[str, Any]
    explained: int
    versus: int | None = None
    independent: bool = False
    method: str = "sidelight"

    @property
    def explained_label(self) -> str:
        """Name of the class of the map."""
        own = self.explained == self.prediction
        return self.label if own else str(self.meta.get("explained_label", self.explained))


@dataclass(frozen=True)
class ShownMaps:
    """Per sample and modality the input as people see it, and three arrays that fit it."""

    inputs: Sequence[Mapping[str, Any]]
    scores: Sequence[Mapping[str, np.ndarray]]
    ranking: Sequence[Mapping[str, np.ndarray]]
    effects: Sequence[Mapping[str, np.ndarray]] | None


def explanations_of(target: TargetModel, answered: Answered) -> list[Explanation]:
    """One explanation for each sample of a batch."""
    maps = shown_maps(target, answered)
    return [
        Explanation(
            scores=maps.scores[i],
            inputs=maps.inputs[i],
            ranking=maps.ranking[i],
            effects=None if maps.effects is None else maps.effects[i],
            **vars(one),
        )
        for i, one in enumerate(decided(target, answered))
    ]


def shown_maps(target: TargetModel, answered: Answered) -> ShownMaps:
    """What people see of each sample."""
    batch, reading, real = answered.batch, answered.reading, answered.encoding.feature_mask
    show = target.reader.show_scores
    # a word ranks as its best piece, and its effect is the sum of its pieces' effects
    return ShownMaps(
        target.reader.show(batch, real),
        show(batch, reading.scores, real),
        show(batch, reading.ranking, real, "rank"),
        None if reading.effects is None else show(batch, reading.effects, real, "sum"),
    )


def decided(target: TargetModel, answered: Answered) -> list[Decided]:
    """What is said of each sample beside its maps."""
    batch, encoding = answered.batch, answered.encoding
    flags = {m: is_constant(s, encoding.feature_mask[m]).tolist() for m, s in answered.reading.scores.items()}
    names, values = target.id2label, target.verdict.value_of(encoding.logits)
    out, remarks, foretold = [], batch.remarks, answered.foretold()
    p = predictable(encoding.probabilities, encoding.independent).cpu()
    # pages and files go to others, whom the folders of this machine do not concern
    shared: dict[str, Any] = {"target": name_elsewhere(target.name), "independent": encoding.independent}
    for i, told in enumerate(verdicts(p, names)):
        flat = [m for m, constant in flags.items() if constant[i]]
        about = answered.classes.of(i, names)
        meta = {
            **remarks[i],
            **({"constant_map": flat} if flat else {}),
            **({} if values is None else {"value": float(values[i])}),
            **about.pop("meta"),
            **foretold[i],
            **(answered.measured[i] if answered.measured else {}),
        }
        out.append(Decided(**told, **shared, meta=meta, **{"explained": told["prediction"], **about}))
    return out


def verdicts(p: Tensor, names: Mapping[int, str]) -> Iterator[dict[str, Any]]:
    """The prediction of each sample that the probabilities ``p [B, K]`` give."""
    for predicted, each in zip(p.argmax(-1).tolist(), p.numpy(), strict=True):
        yield {
            "prediction": predicted,
            "label": str(names.get(predicted, predicted)),
            "probability": float(each[predicted]),
            "probabilities": each,
        }
