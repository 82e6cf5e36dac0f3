"""What is known of a training, as plain values. They are saved with the scorer, and its model card shows them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sidelight.core.files import read_json
from sidelight.errors import CheckpointError
from sidelight.rows.hub import hub_id
from sidelight.scorers import ScorerConfig
from sidelight.training.folder import IDENTITY
from sidelight.training.presets import objective_of
from sidelight.training.settings import ObjectiveConfig, TrainingConfig

#: Settings that do not change the result, or may hold what is nobody's business, such as tokens and paths.
_NOT_TOLD = ("extra", "resume", "checkpoints", "report_to")
#: Endings of metrics that differ from one training to the next: durations, costs, and the epoch that a Trainer counts from 0
#: again where a kill came between training and saving.
NOT_REPEATABLE = ("_runtime", "_per_second", "_time", "_cost", "epoch")
_HUB_FILE = re.compile(r"hf://datasets/([\w.-]+(?:/[\w.-]+)?)@([0-9a-f]{7,64})/")


def training_facts(
    given: Any,
    counts: Mapping[str, int],
    place: Path,
    settings: tuple[ScorerConfig, ObjectiveConfig, TrainingConfig],
    metrics: Mapping[str, float],
) -> dict[str, Any]:
    """Rows, settings and validation metrics of a training that is finished.

    Args:
        given: the argument ``train`` of ``fit``.
        counts: number of rows by ``"train"`` and ``"validation"``.
        place: folder of the training.
        settings: of the scorer, the objective and the training.
        metrics: of the last validation.

    Returns:
        ``rows``, ``data`` (name, revision and digest, as far as they are known), ``options`` (those that are not the
        defaults) and ``metrics``. Durations and paths are left out.
    """
    record: Any = {}
    with suppress(CheckpointError):  # damaged meanwhile: the training is not lost for the digest of its rows
        record = read_json(place / IDENTITY)
    rows = record.get("train") if isinstance(record, dict) else None
    digest = rows.get("digest") if isinstance(rows, dict) else None
    return {
        "rows": dict(counts),
        "data": {**data_name(given), **({"digest": digest} if digest else {})},
        "options": told_options(*settings),
        "metrics": {
            k: round(float(v), 6) for k, v in sorted(metrics.items()) if not k.endswith(NOT_REPEATABLE)
        },
    }


def data_name(given: Any) -> dict[str, str]:
    """The name of data and, of the hub's, the id and revision, as far as the data know them.

    Example:
        >>> data_name("/data/photos")
        {'name': 'photos'}
    """
    if isinstance(given, (str, os.PathLike)):
        place = hub_id(given) if isinstance(given, str) else None
        if place is None:
            return {"name": Path(given).name}
        return {"name": place[0], "hub": place[0], **({"revision": place[1]} if place[1] else {})}
    info = getattr(given, "info", None) or getattr(next(_splits(given), None), "info", None)
    if info is None:
        return {}
    for url in getattr(info, "download_checksums", None) or {}:
        found = _HUB_FILE.match(str(url))
        if found:
            return {"name": found[1], "hub": found[1], "revision": found[2]}
    name = getattr(info, "dataset_name", None)
    return {"name": str(name)} if name else {}


def _splits(given: Any) -> Any:
    return iter(given.values()) if isinstance(given, Mapping) else iter(())


def told_options(
    scorer: ScorerConfig, objective: ObjectiveConfig, training: TrainingConfig
) -> dict[str, Any]:
    """The options of ``fit`` that are not its defaults. ``objective`` is the preset's name, or its changed fields."""
    preset = asdict(objective_of(objective.preset))
    changed = {k: v for k, v in asdict(objective).items() if v != preset[k]}
    plain = {k: v for k, v in asdict(training).items() if v != asdict(TrainingConfig())[k]}
    of_scorer = {k: v for k, v in scorer.to_dict().items() if v != ScorerConfig().to_dict()[k]}
    # the preset decides these two
    of_scorer = {k: v for k, v in of_scorer.items() if k not in ("by_class", "ranked")}
    told: dict[str, Any] = {k: v for k, v in plain.items() if k not in _NOT_TOLD}
    told |= {"objective": {"preset": objective.preset, **changed} if changed else objective.preset}
    return told | ({"scorer": of_scorer} if of_scorer else {})
