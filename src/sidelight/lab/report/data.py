"""The contents of a report. Parts that a run may lack are optional."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from sidelight.lab.figures.grid import GridSample


@dataclass
class ReportSection:
    """One data set or modality.

    Args:
        title: e.g. the data set's name.
        modality: ``"image"``, ``"text"`` or a group such as ``"image+text"``.
        rows: summary lines: dataset, modality, method, reduction, fill, granularity, metric,
            mean, sd, ci95 (``[lo, hi]``), n. ``fill`` is ``"none"`` if it plays no part.
        curves: columns modality, method, reduction, fill, granularity, kind, share, mean, lo, hi.
        samples: maps of randomly chosen samples.
        failures: maps of the samples on which our method did worst.
        notes: sentences beside the table, e.g. on methods that give the same map.
        timing: method, batch, classify_ms, explain_ms, ratio, peak_mb.
        target: facts of the model explained: name, accuracy, parameters, ...
        scorer: facts of the scorer: parameters, seeds, training time, objective, ...
        config: YAML text.
    """

    title: str
    modality: str = "image"
    rows: Sequence[Mapping[str, Any]] = ()
    curves: pd.DataFrame | None = None
    samples: Sequence[GridSample] = ()
    failures: Sequence[GridSample] = ()
    notes: Sequence[str] = ()
    timing: Sequence[Mapping[str, Any]] = ()
    target: Mapping[str, Any] = field(default_factory=dict)
    scorer: Mapping[str, Any] = field(default_factory=dict)
    config: str = ""


@dataclass
class ReportData:
    """One page.

    Args:
        title, subtitle: of the page.
        sections: one a data set or modality.
        footer: versions and date, shown small.
    """

    title: str
    subtitle: str = ""
    sections: Sequence[ReportSection] = ()
    footer: str = ""
