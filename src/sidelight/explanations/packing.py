"""Answers as rows of a Parquet file that other tools read, too, and back.

Each row has an ``id``, the decision, and for each modality lists of numbers: ``text_scores`` and ``text_words``,
``image_scores`` (16-bit floats, row by row) with ``image_shape`` and ``image_picture`` (PNG). Text that UTF-8 cannot hold is
kept in ``exact``, as JSON.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from sidelight.explanations.blocks import Answer, ExplainFailure
from sidelight.explanations.explanation import Explanation, plain_value

#: number of a text's best words
TOP_WORDS = 5
#: columns of every part, with their types
_PLAIN = (
    ("row", "int64"),
    ("id", "string"),
    ("error", "string"),
    ("label", "string"),
    ("probability", "float"),
    ("prediction", "int32"),
    ("explained", "int32"),
    ("explained_label", "string"),
    ("versus", "int32"),
    ("versus_label", "string"),
    ("independent", "bool"),
    ("method", "string"),
    ("target", "string"),
    ("meta", "string"),
    ("exact", "string"),
)
#: texts that come back to the letter
_TEXTS = ("error", "label", "method", "target")


def schema_of(modalities: Mapping[str, bool]) -> Any:
    """The schema of a part.

    Args:
        modalities: names, and whether the modality has words (else it has pixels).
    """
    import pyarrow as pa

    fields = [(name, pa.type_for_alias(kind)) for name, kind in _PLAIN]
    fields += [("probabilities", pa.list_(pa.float32())), ("remarks", pa.list_(pa.string()))]
    for name, words in modalities.items():
        scores = pa.float32() if words else pa.float16()
        fields += [(f"{name}_scores", pa.list_(scores)), (f"{name}_shape", pa.list_(pa.int32()))]
        fields += [(f"{name}_{kind}", pa.list_(pa.float32())) for kind in ("ranking", "effects")]
        if words:
            fields += [(f"{name}_{kind}", pa.list_(pa.string())) for kind in ("words", "top")]
        else:
            fields += [(f"{name}_picture", pa.binary())]
    return pa.schema(fields)


def modalities_of(answers: Iterable[Answer]) -> dict[str, bool]:
    """The modalities of some answers, and whether each has words."""
    found: dict[str, bool] = {}
    for answer in answers:
        if isinstance(answer, Explanation):
            found |= {name: isinstance(answer.inputs[name], list) for name in answer.scores}
    return found


def packed(row: int, answer: Answer) -> dict[str, Any]:
    """One answer as plain values, by column."""
    if isinstance(answer, ExplainFailure):
        meta = {"columns": dict(answer.columns)}
        values: dict[str, Any] = {"error": answer.reason, "meta": json.dumps(meta)}
    else:
        values = _decision(answer)
        for name in answer.scores:
            values |= _map(name, answer)
    values |= {"row": row, "id": _id(row, answer)}
    exact = {k: v for k, v in values.items() if k in _TEXTS and not _is_utf8(v)}
    exact |= {k: v for k, v in values.items() if k.endswith("_words") and not all(map(_is_utf8, v))}
    return {k: _readable(v) for k, v in values.items()} | {"exact": json.dumps(exact) if exact else None}


def _id(row: int, answer: Answer) -> str:
    """The row's own ``id``, if the data have such a column, else its number."""
    columns = answer.columns if isinstance(answer, ExplainFailure) else answer.meta.get("columns", {})
    own = columns.get("id") if isinstance(columns, Mapping) else None
    return str(row if own is None or own == "" else own)


def _decision(answer: Explanation) -> dict[str, Any]:
    probabilities = answer.probabilities
    return {
        "label": answer.label,
        "probability": answer.probability,
        "prediction": answer.prediction,
        "explained": answer.explained,
        "explained_label": answer.explained_label,
        "versus": answer.versus,
        "versus_label": answer.meta.get("versus_label"),
        "independent": True if answer.independent else None,
        "method": answer.method,
        "target": answer.target,
        "meta": json.dumps(plain_value(answer.meta)),
        "probabilities": None if probabilities is None else probabilities.tolist(),
        "remarks": [name for name in ("truncated", "constant_map") if answer.meta.get(name)],
    }


def _map(name: str, answer: Explanation) -> dict[str, Any]:
    shown, scores = answer.inputs[name], answer.scores[name]
    words = shown if isinstance(shown, list) else None
    kept = scores.astype(score_type(words))
    values: dict[str, Any] = {f"{name}_scores": kept.reshape(-1), f"{name}_shape": list(scores.shape)}
    # float32 for both: half precision would tie ranks, and effects of single pixels are tiny
    further = {"ranking": answer.ranking, "effects": answer.effects}
    values |= {
        f"{name}_{k}": v[name].astype(np.float32).reshape(-1) for k, v in further.items() if v is not None
    }
    if words is None:
        return values | {f"{name}_picture": png_of(shown)}
    return values | {f"{name}_words": words, f"{name}_top": top_words(words, scores)}


def top_words(words: Sequence[str], scores: Any) -> list[str]:
    """The words with the highest scores above 0, each with its score: ``"great 0.91"``."""
    best = sorted(zip(scores.tolist(), words, strict=True), key=lambda pair: -pair[0])[:TOP_WORDS]
    return [f"{word.strip()} {score:.2f}" for score, word in best if score > 0]


def score_type(words: Any) -> Any:
    """The type in which scores are stored: 32 bits for words, and 16 bits for pixels, because there are many."""
    return np.float32 if words is not None else np.float16


def _is_utf8(text: Any) -> bool:
    if not isinstance(text, str) or text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _readable(value: Any) -> Any:
    """``value`` with U+FFFD in place of lone surrogates, which UTF-8 cannot hold."""
    if isinstance(value, list) and value and isinstance(value[0], str):
        return [_readable(v) for v in value]
    if _is_utf8(value):
        return value
    return "".join("\ufffd" if 0xD800 <= ord(c) <= 0xDFFF else c for c in value)


def unpacked(row: Mapping[str, Any]) -> Answer:
    """Inverse of :func:`packed`, of a row as pyarrow gives it."""
    meta, exact = json.loads(row["meta"]), json.loads(row["exact"] or "{}")
    row = {**row, **exact}
    if row["error"] is not None:
        return ExplainFailure(row["row"], row["error"], meta["columns"])
    names = [k.removesuffix("_shape") for k, v in row.items() if k.endswith("_shape") and v is not None]
    return Explanation(
        scores={n: _array(row, n, "scores") for n in names},
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


def _array(row: Mapping[str, Any], name: str, kind: str) -> np.ndarray:
    words = row.get(f"{name}_words")
    wanted = score_type(words) if kind == "scores" else np.float32
    return np.asarray(row[f"{name}_{kind}"], dtype=wanted).reshape(row[f"{name}_shape"])


def _further(row: Mapping[str, Any], names: Sequence[str], kind: str) -> dict[str, np.ndarray] | None:
    if any(row.get(f"{name}_{kind}") is None for name in names):
        return None
    return {name: _array(row, name, kind) for name in names}


def _shown(row: Mapping[str, Any], name: str) -> Any:
    words = row.get(f"{name}_words")
    return picture_of(row[f"{name}_picture"]) if words is None else list(words)


def png_of(picture: np.ndarray) -> bytes:
    """A picture of floats in [0, 1] as PNG."""
    from PIL import Image

    levels = np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels).save(buffer, "PNG")
    return buffer.getvalue()


def picture_of(png: bytes) -> np.ndarray:
    """Inverse of :func:`png_of`: ``[H, W, C]`` in [0, 1]."""
    from PIL import Image

    picture = np.asarray(Image.open(io.BytesIO(png)), dtype=np.float32) / 255
    return picture[..., None] if picture.ndim == 2 else picture
