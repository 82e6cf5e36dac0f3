"""Finished parts become a run's files, a few parts or a few methods at a time.

What is held in memory does not grow with the product of samples, methods and metrics: the file of scores is
written part by part, means are taken over some methods at a time. The order of rows is that of the batches,
whoever measured them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sidelight.core.files import replace_file
from sidelight.errors import CheckpointError
from sidelight.lab.metrics.statistics import mean_curves, summarise

#: rows held at a time; a row of curves is a list
ROWS, CURVES = 2_000_000, 200_000
#: rows of a row group
GROUP = 250_000


def split_seed(frame: pd.DataFrame) -> pd.DataFrame:
    """``sidelight#1`` becomes method ``sidelight`` with seed 1; rivals have no seed (NaN)."""
    names = frame["method"].str.split("#", n=1, expand=True)
    seeds = pd.to_numeric(names[1]).astype(float) if 1 in names else np.nan
    return frame.assign(method=names[0], seed=seeds)


def merge_seeds(curves: pd.DataFrame) -> pd.DataFrame:
    """Mean curves of the scorers of several seeds become one."""
    if curves.empty:  # no metric asked for needs a curve
        return curves
    frame = split_seed(curves)
    keys = [c for c in frame.columns if c not in ("mean", "lo", "hi", "seed")]
    return frame.groupby(keys, sort=False, as_index=False)[["mean", "lo", "hi"]].mean()


def write_scores(parts: Sequence[Path], path: Path, group: int = GROUP) -> None:
    """Write the rows of all parts to one parquet file: text as categories, values as float32.

    Args:
        parts: files of rows, none empty, in the order wanted.
        path: written atomically.
        group: rows a row group has, at least.

    Raises:
        CheckpointError: a part cannot be read, or the file not written.
    """
    names = categories(parts)
    with replace_file(path) as tmp:
        writer, waiting, count = None, [], 0
        try:
            for number, part in enumerate(parts):
                waiting.append(split_seed(_read(part)))
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
        parts: files of rows, none empty.
        dataset: name for the column.
        limit: rows held at a time, as far as whole methods allow.
    """
    frames = [summarise(split_seed(rows), dataset=dataset) for rows in _by_methods(parts, limit)]
    return pd.concat(frames, ignore_index=True)


def mean_curves_of(parts: Sequence[Path], seed: int, limit: int = CURVES) -> pd.DataFrame:
    """:func:`~sidelight.lab.metrics.statistics.mean_curves` over the curves of all parts; empty where there are none."""
    frames = [mean_curves(curves, seed=seed) for curves in _by_methods(filled(parts), limit)]
    return pd.concat(frames, ignore_index=True) if frames else mean_curves(_no_curves(), seed=seed)


def filled(parts: Sequence[Path]) -> list[Path]:
    """The parts that hold any row.

    Raises:
        CheckpointError: a part cannot be read.
    """
    return [part for part in parts if _metadata(part).num_rows]


def categories(parts: Sequence[Path]) -> dict[str, list[str]]:
    """The values of every text column over all parts, sorted; methods without their seed."""
    found: dict[str, set[str]] = {}
    for part in parts:
        schema = _metadata(part).schema.to_arrow_schema()
        columns = [f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
        table = _columns(part, columns)
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
    """The rows of as many methods at a time as ``limit`` allows; scorers of several seeds stay together."""
    methods: dict[str, list[str]] = {}
    for part in parts:
        for name in pc.unique(_columns(part, ["method"])["method"]).to_pylist():
            same = methods.setdefault(name.split("#", 1)[0], [])
            same += [] if name in same else [name]
    total = sum(_metadata(part).num_rows for part in parts)
    size = max(1, int(len(methods) * limit / total)) if total > limit else len(methods)
    groups = list(methods.values())
    for start in range(0, len(groups), size or 1):
        chosen = [name for same in groups[start : start + size] for name in same]
        wanted = None if size >= len(groups) else [("method", "in", chosen)]
        yield pd.concat([_read(part, wanted) for part in parts], ignore_index=True)


def _no_curves() -> pd.DataFrame:
    return pd.DataFrame(columns=["modality", "method", "reduction", "fill", "granularity", "kind", "p"])


def _read(part: Path, filters: list[tuple[str, str, list[str]]] | None = None) -> pd.DataFrame:
    try:
        return pd.read_parquet(part, filters=filters)
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise _unreadable(part, error) from error


def _columns(part: Path, names: list[str]) -> pa.Table:
    try:
        return pq.read_table(part, columns=names)
    except (OSError, ValueError) as error:
        raise _unreadable(part, error) from error


def _metadata(part: Path) -> pq.FileMetaData:
    try:
        return pq.read_metadata(part)
    except (OSError, ValueError) as error:
        raise _unreadable(part, error) from error


def _unreadable(part: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"cannot read {str(part)!r}: {error}. Delete it and its curves; the batch is then evaluated again."
    )
