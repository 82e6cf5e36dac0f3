"""Whether the rows of an evaluation bring the known evidence that its metrics need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from sidelight.errors import InputError
from sidelight.inputs.row_parts import EVIDENCE, brings_evidence
from sidelight.lab.evaluation.batches import TestRows
from sidelight.lab.metrics import METRICS

NOTHING_MEASURED = (
    "nothing was measured: evaluation.metrics or ablation.metrics names only metrics that need known evidence, which "
    "this data does not bring; add others, e.g. average_drop."
)
ALL_EVIDENCE_EMPTY = (
    "nothing was measured: evaluation.metrics names only metrics that compare a map with known evidence, and the evidence "
    "of every sample is empty, or lies beyond what the classifier reads; add others, e.g. average_drop."
)


def require_measurable(metrics: Iterable[str], rows: Any) -> None:
    """Refuse metrics of which none can be measured on ``rows``, so that nobody trains or measures for hours before.

    Args:
        metrics: names.
        rows: a sequence of rows. All are looked at only if none of them brings evidence.

    Raises:
        InputError: every metric needs evidence, and no row brings any.
    """
    if not all(METRICS[name].needs_truth for name in metrics):
        return
    if not any(brings_evidence(rows[i]) for i in range(len(rows))):
        raise InputError(NOTHING_MEASURED)


def unseen_evidence_notes(rows: TestRows, metrics: Iterable[str], batch_size: int) -> list[str]:
    """A sentence on each modality of which some samples have evidence that the classifier cannot see.

    It lies in the end of a text that is cut, or at a side of a picture that is cropped, or is smaller than a pixel.
    """
    if not any(METRICS[name].needs_truth for name in metrics) or not brings_evidence(rows.rows[0]):
        return []
    unseen: Counter[str] = Counter()
    for start in range(0, len(rows), batch_size):
        batch = rows.batch(range(start, min(start + batch_size, len(rows))))
        for modality, truth in (batch.truth or {}).items():
            for number, marked in zip(batch.ids, truth.flatten(1).any(1).tolist(), strict=True):
                unseen[modality] += not marked and _is_given(rows.rows[number][EVIDENCE][modality], modality)
    return [
        f"{count} of {len(rows)} samples have evidence in the {modality} that lies wholly beyond what the classifier reads "
        "(texts are cut, pictures are cropped or made smaller). Metrics that compare a map with known evidence leave these "
        "samples out."
        for modality, count in unseen.items()
        if count
    ]


def _is_given(evidence: Any, modality: str) -> bool:
    """Whether evidence of a sample marks anything: places in a text, or pixels of a mask."""
    return len(evidence) > 0 if modality == "text" else bool((np.asarray(evidence, dtype=float) > 0.5).any())
