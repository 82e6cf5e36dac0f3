"""Rows of parts that versions before 0.2 wrote, as answers. This version writes others (:mod:`sidelight.explanations.packing`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from sidelight.explanations.blocks import Answer, ExplainFailure
from sidelight.explanations.explanation import Explanation
from sidelight.explanations.unpacking import picture_of


def unpacked_v1(row: Mapping[str, Any]) -> Answer:
    """The answer in a row of a part of the first format."""
    meta = json.loads(row["meta"])
    if row["error"] is not None:
        return ExplainFailure(row["row"], _text(row["error"]), meta["columns"])
    maps = {m["modality"]: m for m in row["maps"]}
    return Explanation(
        scores={n: _scores(m) for n, m in maps.items()},
        inputs={n: _shown(m) for n, m in maps.items()},
        prediction=row["prediction"],
        label=_text(row["label"]),
        probability=row["probability"],
        probabilities=None if row["probabilities"] is None else np.array(row["probabilities"]),
        method=_text(row["method"]),
        target=_text(row["target"]),
        meta=meta,
        # parts of earlier versions lack these
        explained=row.get("explained"),
        versus=row.get("versus"),
        ranking=_further("ranking", maps),
        effects=_further("effects", maps),
        independent=bool(row.get("independent")),
    )


def _further(name: str, maps: Mapping[str, Mapping[str, Any]]) -> dict[str, np.ndarray] | None:
    if any(stored.get(name) is None for stored in maps.values()):
        return None
    return {m: np.frombuffer(s[name], np.float32).reshape(s["shape"]) for m, s in maps.items()}


def _text(stored: str) -> str:
    return str(json.loads(stored))


def _scores(stored: Mapping[str, Any]) -> np.ndarray:
    return np.frombuffer(stored["scores"], np.float32 if stored["words"] is not None else np.float16).reshape(
        stored["shape"]
    )


def _shown(stored: Mapping[str, Any]) -> Any:
    if stored["words"] is not None:
        return [_text(w) for w in stored["words"]]
    return picture_of(stored["picture"])
