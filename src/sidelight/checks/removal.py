"""What the removal of features does to a target under each fill: sometimes nothing, or nothing for one class, or for any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from sidelight.core.tensors import predictable, probabilities
from sidelight.core.types import Encoding, Inputs
from sidelight.targets.base import TargetModel

#: a fill is blind if a score of FAINT everywhere costs less confidence than STAYS, but a score of 0 more than GOES
FAINT, STAYS, GOES = 0.1, 0.01, 0.1
#: a class is granted if it has probability SURE with everything removed, and a share COMMON of the predictions
SURE, COMMON = 0.9, 0.2
#: a target is unmoved if no probability differs by more, neither between samples nor with everything removed
UNMOVED = 0.01


class Granted(NamedTuple):
    """A class that the target predicts if everything is removed.

    Attributes:
        fill: name of the fill.
        label: of the class.
        probability: of the class with every feature removed, mean over samples.
        share: of the samples that are predicted to be of it.
    """

    fill: str
    label: str
    probability: float
    share: float


@torch.no_grad()
def granted_classes(
    target: TargetModel, inputs: Inputs, fills: Sequence[str], encoding: Encoding | None = None
) -> list[Granted]:
    """The fills under which a common class needs no evidence.

    Samples of this class keep their prediction under any map. So a scorer learns nothing from them, its maps of them are
    arbitrary, and average drop says nothing about them.

    Args:
        inputs: a prepared batch of ordinary samples. Some 64 tell how common a class is.
        encoding: the clean pass of ``inputs``, if it was made already.
    """
    encoding = target.encode(inputs) if encoding is None else encoding
    found = []
    for fill in fills:
        scores = {m: torch.zeros_like(mask, dtype=torch.float) for m, mask in encoding.feature_mask.items()}
        p = probabilities(target.classify(inputs, scores, fill), encoding.independent)
        mean = predictable(p, encoding.independent).mean(0)
        index = int(mean.argmax())
        share = float((encoding.prediction == index).float().mean())
        if float(mean[index]) >= SURE and share >= COMMON:
            found.append(Granted(fill, str(target.id2label.get(index, index)), float(mean[index]), share))
    return found


@torch.no_grad()
def blind_fills(
    target: TargetModel, inputs: Inputs, fills: Sequence[str], encoding: Encoding | None = None
) -> list[str]:
    """The fills under which only scores of exactly 0 remove anything from ``inputs``.

    If a model first normalises its input, a tenth of the input looks like all of it. In DeBERTa, for example, a layer norm
    follows the word embedding. So under the zero fill every positive score shows the word in full. A scorer then learns
    little, and average drop is good for any map without zeros.

    Args:
        inputs: a prepared batch of ordinary samples. 16 are enough.
        encoding: the clean pass of ``inputs``, if it was made already.
    """
    encoding = target.encode(inputs) if encoding is None else encoding
    sure, classes = predictable(encoding.probabilities, encoding.independent).max(-1)

    def drop(level: float, fill: str) -> float:
        scores = {
            m: torch.full_like(mask, level, dtype=sure.dtype) for m, mask in encoding.feature_mask.items()
        }
        p = probabilities(target.classify(inputs, scores, fill), encoding.independent)
        return float((sure - p.gather(1, classes[:, None]).squeeze(1)).clamp(min=0).mean())

    return [f for f in fills if drop(FAINT, f) < STAYS and drop(0.0, f) > GOES]


@torch.no_grad()
def unmoved(
    target: TargetModel, inputs: Inputs, fills: Sequence[str], encoding: Encoding | None = None
) -> float | None:
    """By how much probabilities differ at most, if the target says nearly the same of every input. ``None`` if it does not.

    Such a target was often not trained, or decides for the largest class whatever it sees. Maps of it are arbitrary, at any
    level of its probabilities.

    Args:
        inputs: a prepared batch of ordinary samples. Samples of one class alone may be all alike.
        encoding: the clean pass of ``inputs``, if it was made already.
    """
    encoding = target.encode(inputs) if encoding is None else encoding
    clean = encoding.probabilities
    most = float((clean.amax(0) - clean.amin(0)).max())
    scores = {m: torch.zeros_like(mask, dtype=torch.float) for m, mask in encoding.feature_mask.items()}
    for fill in fills:
        if most > UNMOVED:
            return None
        p = probabilities(target.classify(inputs, scores, fill), encoding.independent)
        most = max(most, float((p - clean).abs().max()))
    return most if most <= UNMOVED else None
