"""Rows of a stored part as answers, the inverse of :mod:`sidelight.explanations.packing`."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sidelight.explanations.blocks import Answer, ExplainFailure
from sidelight.explanations.explanation import Explanation
from sidelight.explanations.score_types import read_scores


def rows_of(batch: Any) -> Iterator[dict[str, Any]]:
    """The rows of a ``pyarrow.RecordBatch`` as plain values. Lists of numbers are arrays of the stored type."""
    cells = {name: _cells(batch.column(name)) for name in batch.schema.names}
    for number in range(batch.num_rows):
        yield {name: column[number] for name, column in cells.items()}


def _cells(column: Any) -> Sequence[Any]:
    import pyarrow as pa

    kind = column.type
    if not pa.types.is_list(kind) or not (
        pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)
    ):
        return list(column.to_pylist())
    offsets, values = column.offsets.to_numpy(), column.values.to_numpy(zero_copy_only=False)
    known = column.is_valid().to_pylist()
    return [values[offsets[i] : offsets[i + 1]] if there else None for i, there in enumerate(known)]


def unpacked(row: Mapping[str, Any]) -> Answer:
    """The answer in a row, as :func:`rows_of` gives it."""
    meta, exact = json.loads(row["meta"]), json.loads(row["exact"] or "{}")
    row = {**row, **exact}
    if row["error"] is not None:
        return ExplainFailure(row["row"], row["error"], meta["columns"])
    names = [k.removesuffix("_shape") for k, v in row.items() if k.endswith("_shape") and v is not None]
    return Explanation(
        scores={n: read_scores(row[f"{n}_scores"]).reshape(row[f"{n}_shape"]) for n in names},
        inputs={n: _shown(row, n) for n in names},
        prediction=row["prediction"],
        label=row["label"],
        probability=row["probability"],
        probabilities=None if row["probabilities"] is None else np.array(row["probabilities"]),
        method=row["method"],
        target=row["target"],
        meta=meta,
        explained=row["explained"],
        versus=row["versus"],
        ranking=_further(row, names, "ranking"),
        effects=_further(row, names, "effects"),
        independent=bool(row["independent"]),
    )


def _further(row: Mapping[str, Any], names: Sequence[str], kind: str) -> dict[str, np.ndarray] | None:
    if any(row.get(f"{name}_{kind}") is None for name in names):
        return None
    return {n: np.asarray(row[f"{n}_{kind}"], dtype=np.float32).reshape(row[f"{n}_shape"]) for n in names}


def _shown(row: Mapping[str, Any], name: str) -> Any:
    words = row.get(f"{name}_words")
    return picture_of(row[f"{name}_picture"]) if words is None else list(words)


def picture_of(png: bytes) -> np.ndarray:
    """Inverse of :func:`png_of`: ``[H, W, C]`` in [0, 1]."""
    from PIL import Image

    picture = np.asarray(Image.open(io.BytesIO(png)), dtype=np.float32) / 255
    return picture[..., None] if picture.ndim == 2 else picture
