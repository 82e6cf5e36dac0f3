"""Measured values for a model card: the results of a run, or the validation of the training."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidelight.core.files import read_json
from sidelight.errors import CheckpointError, ConfigError

#: our method in stored results
OURS = "sidelight"
#: metrics of the table, in this order, and what each says
METRICS = {
    "srg": "insertion minus deletion, higher is better",
    "insertion_auc": "probability while the best features come, higher is better",
    "deletion_auc": "probability while the best features go, lower is better",
    "average_drop": "probability lost if only what the map shows is kept, lower is better",
    "flip_share": "share of features that must go until the prediction changes, lower is better",
    "mean_score": "mean of the map",
}


@dataclass(frozen=True)
class Measured:
    """One mean of a metric.

    Attributes:
        metric: its name.
        fill: what stood in for removed parts. ``""`` if it plays no part.
        value: the mean.
        n: number of samples.
        modality: what the map is of.
        unit: what was removed at once, e.g. ``"pixel"``.
    """

    metric: str
    fill: str
    value: float
    n: int
    modality: str = ""
    unit: str = ""


@dataclass(frozen=True)
class Results:
    """Means of our method on the data set ``dataset``, and what the evaluation remarked."""

    dataset: str
    rows: tuple[Measured, ...]
    notes: tuple[str, ...] = ()
    rivals: tuple[tuple[str, float], ...] = ()


def read_results(place: str | os.PathLike[str], fingerprint: str, parameters: int) -> Results:
    """The results of a run that ``sidelight evaluate`` measured.

    Args:
        place: the run folder, or its ``results.json``.
        fingerprint: hash of the weights of the card's classifier.
        parameters: their number.

    Raises:
        CheckpointError: there are none, or they are damaged.
        ConfigError: they were measured on another classifier.
    """
    given = Path(place)
    path = given / "results.json" if given.is_dir() else given
    if not path.is_file():
        raise CheckpointError(f"{given} holds no results.json: run `sidelight evaluate {given}` first.")
    found = read_json(path, remedy=f"Restore it, or delete it and run `sidelight evaluate {given}` again.")
    _require_same(given, found, fingerprint, parameters)
    try:
        rows = [row for row in found["rows"] if isinstance(row["mean"], (int, float))]
        ours = tuple(_measured(row) for row in rows if row["method"] == OURS and row["metric"] in METRICS)
        notes = tuple(str(note) for note in found.get("notes", ()))
        return Results(str(found["dataset"]), ours, notes, _mean_srg(rows))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{path} is no result of an evaluation ({error!r}): run `sidelight evaluate` again."
        ) from error


def _require_same(given: Path, found: Any, fingerprint: str, parameters: int) -> None:
    """Raise :class:`ConfigError` if the results are of another classifier, as far as run and results tell."""
    scorers = [read_json(path) for path in sorted(given.glob("scorer-*/scorer/config.json"))]
    hashes = {str((config.get("target") or {}).get("fingerprint")) for config in scorers}
    target = found.get("target") if isinstance(found, Mapping) else None
    count = target.get("parameters") if isinstance(target, Mapping) else None
    if (hashes and fingerprint not in hashes) or count not in (None, parameters):
        raise ConfigError(
            f"the results in {given} were measured on another classifier than the one of this scorer. Give the run of this "
            "classifier, or leave results out."
        )


def _measured(row: Mapping[str, Any]) -> Measured:
    fill = str(row.get("fill") or "")
    unit, modality = str(row.get("granularity") or ""), str(row.get("modality") or "")
    return Measured(
        str(row["metric"]),
        "" if fill in ("none", "-") else fill,
        float(row["mean"]),
        int(row["n"]),
        modality,
        unit,
    )


def _mean_srg(rows: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, float], ...]:
    """The mean over all settings of insertion minus deletion by method, the best first.

    Of a signed method's two readings the better one counts, as in the tables of the evaluation.
    """
    by: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if row["metric"] == "srg" and math.isfinite(row["mean"]):
            by.setdefault((str(row["method"]), str(row.get("reduction"))), []).append(float(row["mean"]))
    best: dict[str, float] = {}
    for (method, _), values in by.items():
        best[method] = max(best.get(method, -math.inf), sum(values) / len(values))
    return tuple(sorted(best.items(), key=lambda pair: -pair[1]))
