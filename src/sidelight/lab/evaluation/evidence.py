"""Whether the rows of an evaluation bring the known evidence that its metrics need."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sidelight.errors import InputError
from sidelight.inputs.row_parts import brings_evidence
from sidelight.lab.metrics import METRICS

NOTHING_MEASURED = (
    "nothing was measured: evaluation.metrics or ablation.metrics names only metrics that need known evidence, which "
    "this data does not bring; add others, e.g. average_drop."
)
ALL_EVIDENCE_EMPTY = (
    "nothing was measured: evaluation.metrics names only metrics that compare a map with known evidence, and the evidence "
    "of every sample is empty; add others, e.g. average_drop."
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
