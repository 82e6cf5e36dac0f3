"""Finished batches of an evaluation on disk, and the tables that they make together.

A batch is written whole or not at all, and read back only if it fits. The tables are made from a few parts or a
few methods at a time, so memory does not grow with the product of samples, methods and metrics. The order of
rows is that of the batches, whichever process measured them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sidelight.checks.answers import ANSWERS, other_answers
from sidelight.core.files import replace_file, write_text
from sidelight.core.refusals import not_written
from sidelight.errors import CheckpointError, ConfigError
from sidelight.lab.metrics.statistics import CURVE_KEYS, mean_curves, summarise

T = TypeVar("T")
#: rows held at a time, of values and of curves (whose rows are lists)
ROWS, CURVES = 2_000_000, 200_000
#: key of what tells the first rows that are measured, in their order
FIRST = "first"
#: key of what tells the training rows from which fills and methods draw
REFERENCE = "reference"
#: least number of rows in a row group
GROUP = 250_000
#: what to do about results of something else. No option names their folder, so another one cannot be chosen
REMEDY = "Go back to what was measured there, or remove this folder, and everything is measured anew."


def require_same(directory: Path, identity: Mapping[str, Any]) -> None:
    """Refuse a folder that holds results of another evaluation, as far as ``identity`` tells. Nothing is written.

    Raises:
        ConfigError: see above. What is wrong with a manifest is told when the store is opened.
    """
    known: Any = None
    with suppress(OSError, ValueError):
        known = json.loads((directory / "evaluation.json").read_text())
    changed = _changed(identity, known) if isinstance(known, dict) else []
    if changed:
        raise _another(directory, changed)


def _changed(identity: Mapping[str, Any], known: Mapping[str, Any]) -> list[str]:
    own = json.loads(json.dumps(identity, default=str))
    return sorted(key for key, value in own.items() if known.get(key) != value)


def _another(directory: Path, changed: Sequence[str]) -> ConfigError:
    return ConfigError(
        f"{str(directory)!r} holds results of another evaluation (different {', '.join(changed)}). {REMEDY}"
    )


class PartStore:
    """One pair of parquet files per batch, beside a manifest of the settings, methods and target.

    Args:
        directory: created if missing.
        identity: JSON-able description of settings, methods and target.
        content: of the rows that are measured, :data:`FIRST`, :data:`REFERENCE` and what the target answers to the first rows
            (:data:`~sidelight.checks.answers.ANSWERS`), as far as they are known.

    Raises:
        ConfigError: the directory holds parts of another identity, or of rows with another content.
        CheckpointError: the directory or its manifest cannot be read or written.
    """

    def __init__(
        self, directory: str | Path, identity: dict[str, Any], content: Mapping[str, Any] | None = None
    ) -> None:
        self.directory = Path(directory)
        text = json.dumps(identity, sort_keys=True, default=str)
        self.digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        manifest = self.directory / "evaluation.json"
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            known = json.loads(manifest.read_text()) if manifest.exists() else None
            if known is not None and not isinstance(known, dict):
                raise ValueError(f"{manifest} is no manifest of an evaluation")
        except OSError as error:
            raise not_written(self.directory, error) from error
        except ValueError as error:
            raise CheckpointError(
                f"cannot use {str(self.directory)!r} for results: {error}. Remove its evaluation.json and "
                "parts, and everything is measured anew."
            ) from error
        if known is None:
            # several processes may come here at once. All write the same
            about = {} if content is None else {"content": dict(content)}
            write_text(manifest, json.dumps({"hash": self.digest, **about, **json.loads(text)}, indent=1))
        elif known.get("hash") != self.digest:
            raise _another(self.directory, _changed(identity, known) or ["hash"])
        else:
            self._require_content(content or {}, known.get("content", {}))

    def _require_content(self, content: Mapping[str, Any], known: Mapping[str, Any]) -> None:
        """Refuse rows, or answers to them, that differ from those that are measured here, as far as they were noted."""
        begin = zip(content.get(FIRST, ()), known.get(FIRST, ()), strict=False)
        both = content.keys() & known.keys()
        if any(content[k] != known[k] for k in both - {FIRST, REFERENCE, ANSWERS}):
            raise ConfigError(
                f"{str(self.directory)!r} holds results of other rows: the test data have changed since. {REMEDY}"
            )
        if any(one != other for one, other in begin):
            raise ConfigError(
                f"{str(self.directory)!r} holds results of other rows, or of the same rows in another order: evaluation.count "
                "draws rows if it is smaller than the split, and takes all in their own order if it is not. Measure with "
                "the earlier count, or remove this folder, and everything is measured anew."
            )
        if REFERENCE in both and content[REFERENCE] != known[REFERENCE]:
            raise ConfigError(
                f"{str(self.directory)!r} holds results with other training rows: fills and methods draw from the training "
                f"data, which have changed since. {REMEDY}"
            )
        answers = other_answers(known.get(ANSWERS), content.get(ANSWERS))
        if answers is not None:
            raise _another(self.directory, [answers])

    def paths(self, index: int) -> tuple[Path, Path]:
        """Files of batch ``index``: rows, curves."""
        return (
            self.directory / f"part-{index:05d}.parquet",
            self.directory / f"part-{index:05d}.curves.parquet",
        )

    def missing(self, count: int) -> list[int]:
        """Those of the batches 0 to ``count - 1`` that are not finished."""
        return [index for index in range(count) if not self.paths(index)[0].exists()]

    def holds(self, index: int, ids: Sequence[int]) -> bool:
        """Whether batch ``index`` is finished. The answer needs one column of it.

        Raises:
            ConfigError: the stored batch has other samples.
            CheckpointError: a file is damaged.
        """
        rows_path, curves_path = self.paths(index)
        if not rows_path.exists():
            return False
        found = set(_opened(rows_path, pq.read_table, columns=["sample"])["sample"].to_pylist())
        _opened(curves_path, pq.read_metadata)
        if found and found != set(ids):
            raise ConfigError(
                f"{str(rows_path)!r} holds other samples than batch {index} of this evaluation. Measure with the "
                f"earlier evaluation.count, curve_count and batch_size, or delete {str(self.directory)!r} first."
            )
        return True

    def read(self, count: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Rows and curves of the batches 0 to ``count - 1``, all of them finished.

        Raises:
            CheckpointError: a file is missing or damaged.
        """
        rows, curves = zip(*(self.paths(index) for index in range(count)), strict=True)
        return _joined(rows), _joined(curves)

    def write(self, index: int, rows: pd.DataFrame, curves: pd.DataFrame) -> None:
        """Store a finished batch. The rows are written last, so a file of rows means a whole batch."""
        rows_path, curves_path = self.paths(index)
        for path, table in ((curves_path, curves), (rows_path, rows)):
            with replace_file(path) as tmp:
                table.to_parquet(tmp, index=False)


def split_seed(frame: pd.DataFrame) -> pd.DataFrame:
    """``sidelight#1`` becomes method ``sidelight`` with seed 1. Baseline methods have no seed (NaN)."""
    names = frame["method"].str.split("#", n=1, expand=True)
    seeds = pd.to_numeric(names[1]).astype(float) if 1 in names else np.nan
    return frame.assign(method=names[0], seed=seeds)


def merge_seeds(curves: pd.DataFrame) -> pd.DataFrame:
    """Mean curves of the scorers of several seeds become one."""
    if curves.empty:  # no metric of the evaluation needs a curve
        return curves
    frame = split_seed(curves)
    keys = [c for c in frame.columns if c not in ("mean", "lo", "hi", "seed")]
    return frame.groupby(keys, sort=False, as_index=False)[["mean", "lo", "hi"]].mean()


def write_scores(parts: Sequence[Path], path: Path, group: int = GROUP) -> None:
    """Write the rows of all parts to one parquet file: text as categories, values as float32.

    Args:
        parts: files of rows, none empty, in the order of the output.
        path: written atomically.
        group: least number of rows in a row group.

    Raises:
        CheckpointError: a part cannot be read, or the file not written.
    """
    names = categories(parts)
    with replace_file(path) as tmp:
        writer, waiting, count = None, [], 0
        try:
            for number, part in enumerate(parts):
                waiting.append(split_seed(_opened(part, pd.read_parquet)))
                count += len(waiting[-1])
                if count < group and number < len(parts) - 1:
                    continue
                table = _compact(pd.concat(waiting, ignore_index=True), names)
                writer = writer or pq.ParquetWriter(tmp, table.schema)
                writer.write_table(table)
                waiting, count = [], 0
        finally:
            if writer is not None:
                writer.close()


def summarise_parts(parts: Sequence[Path], dataset: str, limit: int = ROWS) -> pd.DataFrame:
    """:func:`~sidelight.lab.metrics.statistics.summarise` over the rows of all parts.

    Args:
        limit: rows held at a time, unless one method alone has more.
    """
    frames = [summarise(split_seed(rows), dataset=dataset) for rows in _by_methods(parts, limit)]
    return pd.concat(frames, ignore_index=True)


def mean_curves_of(parts: Sequence[Path], seed: int, limit: int = CURVES) -> pd.DataFrame:
    """:func:`~sidelight.lab.metrics.statistics.mean_curves` over the curves of all parts."""
    frames = [mean_curves(curves, seed=seed) for curves in _by_methods(filled(parts), limit)]
    return pd.concat(frames, ignore_index=True) if frames else mean_curves(pd.DataFrame(columns=CURVE_KEYS))


def filled(parts: Sequence[Path]) -> list[Path]:
    """The parts that hold any row.

    Raises:
        CheckpointError: a part cannot be read.
    """
    return [part for part in parts if _opened(part, pq.read_metadata).num_rows]


def categories(parts: Sequence[Path]) -> dict[str, list[str]]:
    """The values of every text column over all parts, sorted. Methods come without their seed."""
    found: dict[str, set[str]] = {}
    for part in parts:
        schema = _opened(part, pq.read_metadata).schema.to_arrow_schema()
        columns = [f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
        table = _opened(part, pq.read_table, columns=columns)
        for name in columns:
            found.setdefault(name, set()).update(pc.unique(table[name]).to_pylist())
    if "method" in found:
        found["method"] = {name.split("#", 1)[0] for name in found["method"]}
    return {name: sorted(values) for name, values in found.items()}


def _compact(rows: pd.DataFrame, names: dict[str, list[str]]) -> pa.Table:
    columns = {name: pd.Categorical(rows[name], pd.Index(values)) for name, values in names.items()}
    small = rows.assign(**columns, value=rows["value"].astype(np.float32))
    return pa.Table.from_pandas(small, preserve_index=False)


def _by_methods(parts: Sequence[Path], limit: int) -> Iterator[pd.DataFrame]:
    """The rows of as many methods at a time as ``limit`` allows. Scorers of several seeds stay together."""
    methods: dict[str, dict[str, None]] = {}  # inner dicts serve as ordered sets
    for part in parts:
        for name in pc.unique(_opened(part, pq.read_table, columns=["method"])["method"]).to_pylist():
            methods.setdefault(name.split("#", 1)[0], {})[name] = None
    total = sum(_opened(part, pq.read_metadata).num_rows for part in parts)
    size = max(1, int(len(methods) * limit / total)) if total > limit else len(methods)
    groups = list(methods.values())
    for start in range(0, len(groups), size or 1):
        chosen = [name for same in groups[start : start + size] for name in same]
        wanted = None if size >= len(groups) else [("method", "in", chosen)]
        yield _joined(parts, wanted)


def _joined(parts: Sequence[Path], filters: list[tuple[str, str, list[str]]] | None = None) -> pd.DataFrame:
    return pd.concat([_opened(part, pd.read_parquet, filters=filters) for part in parts], ignore_index=True)


def _opened(part: Path, how: Callable[..., T], **options: Any) -> T:
    try:
        return how(part, **options)
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        rows = part.with_name(part.name.replace(".curves.", "."))
        raise CheckpointError(
            f"cannot read {str(rows)!r} or its curves: {error}. Delete both; the batch is then evaluated again."
        ) from error
