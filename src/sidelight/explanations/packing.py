"""Answers as rows of a Parquet file that other tools read, too. :mod:`sidelight.explanations.unpacking` reads them.

Each row has an ``id``, the decision, and for each modality lists of numbers: ``text_scores`` and ``text_words``,
``image_scores`` (row by row) with ``image_shape`` and ``image_picture`` (PNG). Text that UTF-8 cannot hold is kept in
``exact``, as JSON.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from sidelight.core.safe_output import encodable, is_utf8
from sidelight.explanations.blocks import Answer, ExplainFailure
from sidelight.explanations.explanation import Explanation
from sidelight.explanations.plain import plain_value
from sidelight.explanations.score_types import SCORE_TYPES, stored_scores, type_name

#: number of a text's best words
TOP_WORDS = 5
#: Z_RLE of zlib
RUN_LENGTHS = 3
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


def schema_of(modalities: Mapping[str, bool], scores: str | None = None) -> Any:
    """The schema of a part.

    Args:
        modalities: names, and whether the modality has words (else it has pixels).
        scores: type of the scores (:mod:`sidelight.explanations.score_types`). Default: that of the modality.
    """
    import pyarrow as pa

    fields = [(name, pa.type_for_alias(kind)) for name, kind in _PLAIN]
    fields += [("probabilities", pa.list_(pa.float32())), ("remarks", pa.list_(pa.string()))]
    for name, words in modalities.items():
        number = pa.from_numpy_dtype(SCORE_TYPES[type_name(words, scores)][0])
        fields += [(f"{name}_scores", pa.list_(number)), (f"{name}_shape", pa.list_(pa.int32()))]
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


def packed_table(answers: Iterable[tuple[int, Answer]], scores: str | None = None) -> Any:
    """A ``pyarrow.Table`` of answers with the numbers of their rows, in the order of the rows."""
    import pyarrow as pa

    whole, found = [], dict[str, bool]()
    for number, answer in answers:
        found |= modalities_of([answer])
        whole.append(packed(number, answer, scores))
    whole.sort(key=lambda row: row["row"])
    return pa.Table.from_pylist(whole, schema_of(found, scores))


def joined(tables: Sequence[Any]) -> Any:
    """Tables of the rows of one block as one, in the order of the rows. Parts of it lie together in memory."""
    import pyarrow as pa

    widest = max(tables, key=lambda table: len(table.schema))
    whole = pa.concat_tables([widest.slice(0, 0), *tables], promote_options="default")
    numbers = whole["row"].to_pylist()
    if numbers != sorted(numbers):
        whole = whole.take(pa.array(sorted(range(len(numbers)), key=numbers.__getitem__)))
    return whole.combine_chunks()


def packed(row: int, answer: Answer, scores: str | None = None) -> dict[str, Any]:
    """One answer as plain values, by column. The type of ``scores`` is as in :func:`schema_of`."""
    if isinstance(answer, ExplainFailure):
        columns = answer.columns
        values: dict[str, Any] = {
            "error": answer.reason,
            "meta": json.dumps(plain_value({"columns": columns})),
        }
    else:
        columns = answer.meta.get("columns", {})
        values = decision(answer)
        for name in answer.scores:
            values |= _map(name, answer, scores)
    values |= {"row": row, "id": id_of(row, columns)}
    exact = {k: v for k, v in values.items() if k in _TEXTS and not _is_utf8(v)}
    exact |= {k: v for k, v in values.items() if k.endswith("_words") and not all(map(_is_utf8, v))}
    return {k: _readable(v) for k, v in values.items()} | {"exact": json.dumps(exact) if exact else None}


class Decision(Protocol):
    """What an explanation says beside its maps (see :class:`Explanation`)."""

    prediction: int
    label: str
    probability: float
    method: str
    target: str
    meta: dict[str, Any]
    versus: int | None
    independent: bool

    @property
    def explained(self) -> int | None: ...
    @property
    def explained_label(self) -> str: ...
    @property
    def probabilities(self) -> np.ndarray | None: ...


def id_of(row: int, columns: Any) -> str:
    """The row's own ``id``, if the data have such a column, else its number."""
    own = columns.get("id") if isinstance(columns, Mapping) else None
    missing = own is None or own == "" or own != own  # NaN
    return str(row if missing else own)


def decision(answer: Decision) -> dict[str, Any]:
    """The cells of an answer that are of no modality."""
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


def _map(name: str, answer: Explanation, kind: str | None) -> dict[str, Any]:
    shown, scores = answer.inputs[name], answer.scores[name]
    words = shown if isinstance(shown, list) else None
    kept = stored_scores(scores, type_name(words is not None, kind))
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
    return [top_word(word, score) for score, word in best if score > 0]


def top_word(word: str, score: float) -> str:
    """A word with its score."""
    return f"{word.strip()} {score:.2f}"


def _is_utf8(value: Any) -> bool:
    return not isinstance(value, str) or is_utf8(value)


def _readable(value: Any) -> Any:
    """``value`` with U+FFFD in place of lone surrogates, which UTF-8 cannot hold."""
    if isinstance(value, list) and value and isinstance(value[0], str):
        return [_readable(v) for v in value]
    return encodable(value) if isinstance(value, str) else value


def png_of(picture: np.ndarray) -> bytes:
    """A picture of floats in [0, 1] as PNG."""
    from PIL import Image

    levels = np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    buffer = io.BytesIO()
    shown = Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels)
    # run lengths take a fifth of the default's time, and the files are hardly larger
    shown.save(buffer, "PNG", compress_level=1, compress_type=RUN_LENGTHS)
    return buffer.getvalue()
