"""Inputs and outputs of an evaluation."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import pandas as pd
from torch import Tensor

from sidelight.core.field_checks import (
    Count,
    NameLists,
    Names,
    Numbers,
    Seed,
    Share,
    check_fields,
    require_once,
)
from sidelight.core.types import Encoding, Inputs, Scores
from sidelight.errors import ConfigError
from sidelight.lab.metrics.base import METRICS, default_metrics
from sidelight.lab.metrics.granularity import resolve
from sidelight.lab.metrics.judging import JudgeSettings
from sidelight.lab.metrics.protocols import DEFAULT, PROTOCOLS
from sidelight.targets.base import TargetModel


class Method(Protocol):
    """A baseline method or a scorer: a callable that gives one raw score per feature.

    If its call takes ``ids``, it gets the sample ids, to seed its draws. If it takes ``encoding``, it gets the clean pass
    that all methods share, or ``None`` if there is none yet.
    """

    @property
    def name(self) -> str:
        """Registry name."""

    @property
    def signed(self) -> bool:
        """Whether scores below zero mean evidence against the class."""

    def __call__(self, target: TargetModel, inputs: Inputs, classes: Tensor) -> Scores:
        """Scores for the class of each sample, ``classes`` being ``[B]`` int64."""


def call_method(
    method: Method,
    target: TargetModel,
    inputs: Inputs,
    classes: Tensor,
    ids: Sequence[int],
    encoding: Encoding | None = None,
) -> Scores:
    """The scores of ``method``, which gets ``ids`` and ``encoding``, the clean pass, if its call takes them."""
    offered: dict[str, Any] = {"ids": list(ids), "encoding": encoding}
    taken = inspect.signature(method).parameters
    return method(target, inputs, classes, **{k: v for k, v in offered.items() if k in taken})


@dataclass(frozen=True)
class EvalSettings:
    """The settings of an evaluation.

    Attributes:
        fills: names of fills. At least one should be new to all methods.
        metrics: names in :data:`~sidelight.lab.metrics.METRICS` (default: all that need no judge). Those that need
            ground truth are left out if a batch has none.
        steps: K, equal steps of the deletion and insertion curves, counted in cells.
        granularities: names, see :func:`~sidelight.lab.metrics.granularity.resolve`.
        groups: modalities to mask and rank together, one evaluation each (default: all modalities of the target
            jointly). Modalities outside a group stay unmasked.
        shares: areas of sufficiency and comprehensiveness.
        tie_draws: random orders of tied features to average over.
        iou_threshold: level at which a soft map becomes a region.
        forward_batch: masked copies per pass. It changes time and memory, not results. A small number suits a
            CPU's caches, several hundred a GPU.
        seed: run seed. With the sample ids it is the only source of chance.
        protocol: a name in :data:`~sidelight.lab.metrics.protocols.PROTOCOLS`. It decides how maps are read, how
            confidence is measured and how curves step.
        judge: what is asked of a judge, if a metric needs one.

    Raises:
        ConfigError: a value is of another kind or out of range, or a name is unknown or given twice.
    """

    fills: Names = ("zero",)
    metrics: Names = field(default_factory=default_metrics)
    steps: Count = 20
    granularities: Names = ("pixel",)
    groups: NameLists = ()
    shares: Numbers = (0.01, 0.05, 0.1, 0.2, 0.5)
    tie_draws: Count = 1
    iou_threshold: Share = 0.5
    forward_batch: Count = 64
    seed: Seed = 0
    protocol: str = DEFAULT
    judge: JudgeSettings = field(default_factory=JudgeSettings)

    @property
    def judged(self) -> bool:
        """Whether a metric asks a judge."""
        return any(METRICS[name].judged for name in self.metrics)

    def __post_init__(self) -> None:
        check_fields(self, "evaluation")
        for name in self.metrics:
            METRICS[name]
        resolve(self.granularities, ())
        if not self.metrics:
            raise ConfigError(f"there are no metrics; choose from {', '.join(METRICS)}.")
        if not self.fills and any(METRICS[m].needs_fill for m in self.metrics):
            raise ConfigError("faithfulness metrics need at least one fill, e.g. fills=('zero',).")
        for name, values in self._counted().items():
            require_once(values, f"evaluation.{name}")
        PROTOCOLS[self.protocol].check(self.fills, self.metrics, self.granularities)
        if not self.shares or not all(0 < share <= 1 for share in self.shares):
            raise ConfigError(f"shares must lie in (0, 1], e.g. (0.05, 0.2); got {tuple(self.shares)}.")

    def _counted(self) -> dict[str, Sequence[Any]]:
        """What each sample is measured by once for each entry. Granularities that are named twice are one."""
        groups = [tuple(sorted(group)) for group in self.groups]
        return {"fills": self.fills, "metrics": self.metrics, "shares": self.shares, "groups": groups}


class BatchResult(NamedTuple):
    """Rows and curves of one batch.

    ``rows``: sample, modality, method, reduction, fill, granularity, metric, value, and protocol if it is not the
    default. ``curves``: the same keys without metric and value, and ``kind`` (``deletion`` or ``insertion``) and
    ``p``, a list of ``steps + 1`` confidences.
    """

    rows: list[dict[str, Any]]
    curves: list[dict[str, Any]]


class EvalResult(NamedTuple):
    """``rows``: one value per sample. ``curves``: their means with intervals (:func:`mean_curves`)."""

    rows: pd.DataFrame
    curves: pd.DataFrame
