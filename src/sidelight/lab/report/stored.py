"""Stored results of an evaluation, read back without opening a model."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from sidelight.errors import CheckpointError, InputError
from sidelight.lab.metrics.protocols import DEFAULT
from sidelight.lab.metrics.statistics import KEYS
from sidelight.lab.runs.folder import require_results
from sidelight.lab.runs.stored_files import read_frame, read_record

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoredRun:
    """An evaluated run.

    Attributes:
        name: of the run.
        dataset: name of its data, or of the run if several runs share the data.
        data: name of its data, always.
        protocol: name of the protocol it was measured under.
        rows: per-sample values with a column ``dataset``.
        curves: mean deletion and insertion curves, empty if none were measured.
        notes: sentences on rivals that coincide and fills that remove nothing.
    """

    name: str
    dataset: str
    rows: pd.DataFrame
    curves: pd.DataFrame
    notes: tuple[str, ...] = ()
    data: str = ""
    protocol: str = DEFAULT


def read_run(folder: str | Path) -> StoredRun:
    """The stored results of a run folder.

    Raises:
        CheckpointError: a file is missing or corrupt.
    """
    folder = Path(folder)
    require_results(folder, ("scores.parquet", "results.json"))
    facts = read_record(folder / "results.json", "evaluate", finite=True)
    rows = _table(folder / "scores.parquet", (*KEYS, "sample", "value"))
    path = folder / "curves.parquet"
    curves = _table(path, ()) if path.is_file() else pd.DataFrame()
    dataset = str(facts["dataset"])
    require_defined(rows, folder / "scores.parquet")
    rows = rows.assign(dataset=dataset, value=rows["value"].astype(float))  # float32 on disk
    name, protocol = str(facts["name"]), str(facts.get("protocol", DEFAULT))
    name += "" if protocol == DEFAULT else f", {protocol}"  # one run may be measured under several
    return StoredRun(name, dataset, rows, curves, tuple(facts.get("notes", ())), dataset, protocol)


def read_runs(folders: Sequence[str | Path]) -> list[StoredRun]:
    """Several runs, each under a name of its own.

    Raises:
        CheckpointError: see :func:`read_run`.
        InputError: no folder, or two runs of one data set and one name.
    """
    if not folders:
        raise InputError("no run folder given; give one or more, each made by `sidelight evaluate`.")
    runs = [read_run(folder) for folder in folders]
    shared = {name for name, n in Counter(run.dataset for run in runs).items() if n > 1}
    runs = [
        replace(run, dataset=run.name, rows=run.rows.assign(dataset=run.name))
        if run.dataset in shared
        else run
        for run in runs
    ]
    doubled = [name for name, n in Counter(run.dataset for run in runs).items() if n > 1]
    if doubled:
        raise InputError(
            f"two runs are named {doubled[0]!r}; a table needs names that differ. Was a folder given twice?"
        )
    return runs


def require_defined(rows: pd.DataFrame, place: str | Path) -> None:
    """Refuse stored values that are infinite, and warn of NaN values, which no mean counts.

    Args:
        rows: with the columns ``metric`` and ``value``.
        place: of the file, for messages.

    Raises:
        CheckpointError: a value is infinite.
    """
    values = rows["value"].astype(float)
    bad = sorted(set(rows["metric"][np.isinf(values)].astype(str)))
    if bad:
        raise CheckpointError(
            f"{place} holds infinite values of {', '.join(bad)}, which no metric gives: it is damaged. Restore it, or "
            "run `sidelight evaluate` again."
        )
    undefined = rows["metric"][values.isna()].astype(str).value_counts()
    if len(undefined):
        told = ", ".join(f"{name} {count}" for name, count in undefined.items())
        log.warning("%s: values that are not defined (NaN) are left out: %s of %d.", place, told, len(rows))


def _table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    table = read_frame(path, "evaluate")
    missing = [c for c in columns if c not in table]
    if missing:
        raise CheckpointError(f"{path} lacks column(s) {', '.join(missing)}: it was not made by `evaluate`.")
    # categories would make groups of every combination of them
    return table.astype({c: str for c in table.columns if isinstance(table[c].dtype, pd.CategoricalDtype)})
