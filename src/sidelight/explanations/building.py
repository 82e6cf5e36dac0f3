"""Makes one explanation for each sample of a batch, from its clean pass and its scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from sidelight.core.tensors import predictable
from sidelight.core.types import Encoding, Reading
from sidelight.explanations.classes import NO_CLASSES, Classes
from sidelight.explanations.explanation import Explanation
from sidelight.inputs.base import Batch
from sidelight.scorers.head import is_constant
from sidelight.targets.base import TargetModel


def explanations_of(
    target: TargetModel,
    batch: Batch,
    encoding: Encoding,
    reading: Reading,
    classes: Classes = NO_CLASSES,
    measured: Sequence[Mapping[str, Any]] = (),
) -> list[Explanation]:
    """One explanation for each sample of ``batch``.

    Args:
        encoding: their clean pass.
        reading: of one class for each sample.
        classes: that the reading is of. Default: the predicted ones.
        measured: per sample more entries of ``Explanation.meta``.
    """
    real, show = encoding.feature_mask, target.reader.show_scores
    shown, maps = target.reader.show(batch, real), show(batch, reading.scores, real)
    # a word ranks as its best piece, and its effect is the sum of its pieces' effects
    ranking = show(batch, reading.ranking, real, "rank")
    effects = None if reading.effects is None else show(batch, reading.effects, real, "sum")
    constant = {m: is_constant(s, real[m]) for m, s in reading.scores.items()}
    values, independent, out = target.verdict.value_of(encoding.logits), encoding.independent, []
    for i, p in enumerate(predictable(encoding.probabilities, independent).cpu()):
        flat = [m for m, c in constant.items() if bool(c[i])]
        about = classes.of(i, target.id2label)
        meta = {
            **batch.remarks[i],
            **({"constant_map": flat} if flat else {}),
            **({} if values is None else {"value": float(values[i])}),
            **about.pop("meta"),
            **(measured[i] if measured else {}),
        }
        out.append(
            Explanation(
                scores=maps[i],
                inputs=shown[i],
                **verdict(p, target.id2label),
                method="sidelight",
                target=target.name,
                meta=meta,
                ranking=ranking[i],
                effects=None if effects is None else effects[i],
                independent=independent,
                **about,
            )
        )
    return out


def verdict(p: Tensor, names: Mapping[int, str]) -> dict[str, Any]:
    """The prediction that the probabilities ``p [K]`` give."""
    predicted = int(p.argmax())
    return {
        "prediction": predicted,
        "label": str(names.get(predicted, predicted)),
        "probability": float(p[predicted]),
        "probabilities": p.numpy(),
    }
