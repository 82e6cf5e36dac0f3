"""The code of a user's own parts that the numbers of an evaluation depend on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from sidelight.core.own_code import own_code
from sidelight.lab.metrics.base import METRICS
from sidelight.lab.metrics.granularity import resolve
from sidelight.lab.metrics.layout import READINGS
from sidelight.lab.metrics.probe import CONFIDENCES
from sidelight.lab.metrics.protocols import PROTOCOLS, SHIPPED
from sidelight.lab.metrics.ranking import STEPPINGS
from sidelight.rows.content import value_digest
from sidelight.targets import TargetModel
from sidelight.training.identity import own_parts


def code_of(
    target: TargetModel,
    fills: Iterable[str],
    metrics: Iterable[str],
    granularities: Sequence[str],
    protocol_name: str,
) -> dict[str, str]:
    """A digest of each part that is named, or belongs to the scorers of ``target``, and that is a user's own."""
    protocol, modalities = PROTOCOLS[protocol_name], list(target.modalities)
    plans = resolve(granularities, modalities).values()
    parts: dict[str, Any] = {f"metric {name}": METRICS[name].compute for name in metrics}
    parts |= {f"granularity {g.name}": g.cells for plan in plans for g in plan.values()}
    parts["reading"], parts["stepping"] = READINGS[protocol.reading], STEPPINGS[protocol.stepping]
    parts["confidence"] = CONFIDENCES[protocol.confidence_of(modalities)]
    own = {} if protocol_name in SHIPPED else {f"protocol {protocol_name}": value_digest(asdict(protocol))}
    return {**own_code(parts), **own_parts(target, fills), **own}
