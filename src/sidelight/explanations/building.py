"""From a batch, its clean pass and its scores to one explanation a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sidelight.core.types import Encoding, Scores
from sidelight.explanations.explanation import Explanation
from sidelight.inputs.base import Batch
from sidelight.scorers.head import is_constant
from sidelight.targets.base import TargetModel


def explanations_of(
    target: TargetModel,
    batch: Batch,
    encoding: Encoding,
    scores: Scores,
    measured: Sequence[Mapping[str, Any]] = (),
) -> list[Explanation]:
    """One explanation of the predicted class for each sample of ``batch``.

    Args:
        encoding: their clean pass.
        scores: per modality, in [0, 1]. Image ``[B, 1, H, W]``, text ``[B, T]``.
        measured: per sample more entries of ``Explanation.meta``.
    """
    probabilities, real = encoding.probabilities.cpu(), encoding.feature_mask
    shown = target.reader.show(batch, real)
    maps = target.reader.show_scores(batch, scores, real)
    constant = {m: is_constant(s, real[m]) for m, s in scores.items()}
    labels, remarks = target.id2label, batch.remarks
    out = []
    for i, p in enumerate(probabilities):
        predicted = int(p.argmax())
        flat = [m for m, c in constant.items() if bool(c[i])]
        meta = {**remarks[i], **({"constant_map": flat} if flat else {}), **(measured[i] if measured else {})}
        out.append(
            Explanation(
                scores=maps[i],
                inputs=shown[i],
                prediction=predicted,
                label=str(labels.get(predicted, predicted)),
                probability=float(p[predicted]),
                probabilities=p.numpy(),
                method="sidelight",
                target=target.name,
                meta=meta,
            )
        )
    return out
