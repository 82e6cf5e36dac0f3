"""Many explanations on disk, in finished parts. A call that was killed continues after the last part.

A folder holds ``manifest.json`` and ``parts/part-00000.parquet`` and so on. The manifest names the rows and the scorer
that explains them. A part is written whole or not at all. Scores of pixels are kept as 16-bit floats, pictures as PNG.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sidelight.core.files import read_json, replace_file, write_json
from sidelight.core.ownership import own_folder
from sidelight.errors import CheckpointError, ConfigError, SidelightError
from sidelight.explanations.blocks import Answer, ExplainFailure
from sidelight.explanations.explanation import Explanation, plain_value

MANIFEST, PARTS = "manifest.json", "parts"
FORMAT, VERSION = "sidelight.explanations", 1


@dataclass
class StoredExplanations:
    """Explanations of the rows of one source, in a folder.

    Args:
        folder: made if it is missing.
        about: plain values that identify the job: source, scorer, options.
    """

    folder: Path
    about: Mapping[str, Any]
    _ends: list[int] = field(default_factory=list)

    @classmethod
    def open(cls, folder: Path, about: Mapping[str, Any]) -> StoredExplanations:
        """Begin in ``folder``, or go on with the same job there.

        Raises:
            ConfigError: the folder holds the explanations of another job.
            CheckpointError: it cannot be written, or holds a damaged manifest.
        """
        about = json.loads(json.dumps(about, default=str))
        path = folder / MANIFEST
        ends: list[int] = []
        if path.is_file():
            known = _read_manifest(folder)
            there = known["about"]  # an option that only one of the two jobs has is a difference too
            changed = [k for k in {**there, **about} if there.get(k) != about.get(k)]
            if changed and known["ends"]:  # a job that explained nothing leaves the folder free
                raise ConfigError(
                    f"{folder} holds the explanations of another job (different {', '.join(changed)}). "
                    "Choose another folder with --out, or remove this one."
                )
            ends = list(known["ends"])
        own_folder(folder)
        stored = cls(folder, about, ends)
        stored._keep()
        return stored

    @property
    def finished(self) -> int:
        """Rows that are explained already."""
        return self._ends[-1] if self._ends else 0

    def add(self, part: Iterable[Answer]) -> None:
        """Write the answers of the rows that follow as one more part. One of them is in memory as it was made."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        packed = [_packed(number, answer) for number, answer in enumerate(part, start=self.finished)]
        table = pa.Table.from_pylist(packed, _schema(any("independent" in row for row in packed)))
        with replace_file(_part(self.folder, len(self._ends))) as tmp:
            pq.write_table(table, tmp, compression="zstd")
        self._ends.append(self.finished + len(packed))
        self._keep()  # last: what the manifest names is there

    def _keep(self) -> None:
        values = {"format": FORMAT, "version": VERSION, "about": dict(self.about), "ends": self._ends}
        write_json(self.folder / MANIFEST, values)

    def __iter__(self) -> Iterator[Answer]:
        return _read_parts(self.folder, len(self._ends))


def read_explanations(folder: str | Path) -> Iterator[Answer]:
    """The explanations that ``sidelight explain`` wrote for a table or folder, one after another.

    Args:
        folder: the command's ``--out``. One part of it is in memory at a time.

    Yields:
        An :class:`Explanation` for each row, or an :class:`~sidelight.explanations.blocks.ExplainFailure`, in the order of the
        rows. Scores of pixels are exact to three digits.

    Raises:
        CheckpointError: there are none, or a file is damaged.

    Example:
        >>> worst = min(read_explanations("explanations"), key=lambda e: e.probability)  # doctest: +SKIP
    """
    place = Path(folder)
    return _read_parts(place, len(_read_manifest(place)["ends"]))


def _read_manifest(folder: Path) -> dict[str, Any]:
    found = read_json(folder / MANIFEST)
    whole = (
        isinstance(found, dict)
        and isinstance(found.get("about"), dict)
        and isinstance(found.get("ends"), list)
    )
    if not whole or found.get("format") != FORMAT:
        raise CheckpointError(
            f"{folder / MANIFEST} does not tell of explanations; it was not written by sidelight."
        )
    if found.get("version") != VERSION:
        raise CheckpointError(
            f"{folder} was written by a newer version of sidelight (format {found.get('version')}): update sidelight."
        )
    return found


def _part(folder: Path, number: int) -> Path:
    return folder / PARTS / f"part-{number:05d}.parquet"


def _read_parts(folder: Path, count: int) -> Iterator[Answer]:
    import pyarrow.parquet as pq

    for number in range(count):
        path = _part(folder, number)
        try:
            rows = pq.read_table(path).to_pylist()
        except Exception as error:
            raise _damaged(path, error) from error
        yield from (_checked(row, path) for row in rows)


def _checked(row: Mapping[str, Any], path: Path) -> Answer:
    try:
        return _unpacked(row)
    except SidelightError:
        raise
    except Exception as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path} is missing or damaged ({error}); explain the rows again.")


def _schema(independent: bool) -> Any:
    """Columns of a part. Labels that are independent have one that files of other models lack."""
    import pyarrow as pa

    array = pa.struct(
        [
            ("modality", pa.string()),
            ("shape", pa.list_(pa.int32())),
            ("scores", pa.binary()),
            ("words", pa.list_(pa.string())),
            ("picture", pa.binary()),
            ("ranking", pa.binary()),
            ("effects", pa.binary()),
        ]
    )
    return pa.schema(
        [
            ("row", pa.int64()),
            ("error", pa.string()),
            ("label", pa.string()),
            ("prediction", pa.int32()),
            ("probability", pa.float32()),
            ("probabilities", pa.list_(pa.float32())),
            ("maps", pa.list_(array)),
            ("method", pa.string()),
            ("target", pa.string()),
            ("meta", pa.string()),
            ("explained", pa.int32()),
            ("versus", pa.int32()),
            *([("independent", pa.bool_())] if independent else []),
        ]
    )


def _packed(row: int, answer: Answer) -> dict[str, Any]:
    if isinstance(answer, ExplainFailure):
        return {
            "row": row,
            "error": _whole(answer.reason),
            "meta": json.dumps({"columns": dict(answer.columns)}),
        }
    probabilities = answer.probabilities
    return {
        "row": row,
        "label": _whole(answer.label),
        "prediction": answer.prediction,
        "probability": answer.probability,
        "probabilities": None if probabilities is None else probabilities.tolist(),
        "maps": [_packed_map(name, answer) for name in answer.scores],
        "explained": answer.explained,
        "versus": answer.versus,
        "method": _whole(answer.method),
        "target": _whole(answer.target),
        "meta": json.dumps(plain_value(answer.meta)),
        **({"independent": True} if answer.independent else {}),
    }


def _packed_map(name: str, answer: Explanation) -> dict[str, Any]:
    shown, scores = answer.inputs[name], answer.scores[name]
    words = [_whole(w) for w in shown] if isinstance(shown, list) else None
    further = {"ranking": answer.ranking, "effects": answer.effects}
    return {
        "modality": name,
        "shape": list(scores.shape),
        "scores": scores.astype(score_type(words)).tobytes(),
        "words": words,
        "picture": None if words is not None else _png(shown),
        # float32 for both: half precision would tie ranks, and effects of single pixels are tiny
        **{k: v[name].astype(np.float32).tobytes() for k, v in further.items() if v is not None},
    }


def _whole(text: str) -> str:
    """``text`` as a JSON string. UTF-8 cannot hold a lone surrogate, and JSON can."""
    return json.dumps(text)


def _text(stored: str) -> str:
    return str(json.loads(stored))


def _png(picture: np.ndarray) -> bytes:
    from PIL import Image

    levels = np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels).save(buffer, "PNG")
    return buffer.getvalue()


def _unpacked(row: Mapping[str, Any]) -> Answer:
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


def score_type(words: Any) -> Any:
    """The type in which scores are stored: 32 bits for words, and 16 bits for pixels, because there are many."""
    return np.float32 if words is not None else np.float16


def _scores(stored: Mapping[str, Any]) -> np.ndarray:
    return np.frombuffer(stored["scores"], score_type(stored["words"])).reshape(stored["shape"])


def _shown(stored: Mapping[str, Any]) -> Any:
    if stored["words"] is not None:
        return [_text(w) for w in stored["words"]]
    from PIL import Image

    picture = np.asarray(Image.open(io.BytesIO(stored["picture"])), dtype=np.float32) / 255
    return picture[..., None] if picture.ndim == 2 else picture
