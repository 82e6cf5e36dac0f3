"""Every row of a source explained in blocks, into a folder of finished parts. A job that was killed continues."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from sidelight.checks.answers import answers_to_first
from sidelight.core.folders import folder_path
from sidelight.core.freed_memory import freed_memory_kept
from sidelight.core.locks import hold
from sidelight.core.overlap import overlapped
from sidelight.core.terminal import row_bar
from sidelight.errors import CheckpointError, ConfigError, InputError, SidelightError
from sidelight.explanations.block_tables import BlockOptions
from sidelight.explanations.blocks import numbered, require_columns_once, require_size, total_of
from sidelight.explanations.engines import Engine, require_engine
from sidelight.explanations.score_types import require_score_type
from sidelight.explanations.sorted_blocks import blocks_of
from sidelight.explanations.stored import StoredExplanations
from sidelight.explanations.table_lines import Tables, write_tables
from sidelight.rows.beside import PicturesBeside
from sidelight.rows.content import content_of as content_of_rows
from sidelight.rows.content import value_digest
from sidelight.rows.hub import is_hub_folder
from sidelight.rows.row import Rows
from sidelight.rows.sources import open_data
from sidelight.rows.stream import SourceError, Stream, TakenStream
from sidelight.rows.table_files import first_row, suffix, tables_and_pictures
from sidelight.rows.table_source import (
    Row,
    content_of,
    folder_of,
    open_source,
    require_column_each,
    require_columns,
    require_sample,
    with_columns_chosen,
)
from sidelight.scorers import Scorer
from sidelight.targets import TargetModel
from sidelight.targets.options import options_of
from sidelight.targets.verdict import configured_names
from sidelight.targets.weights import hash_of

#: tables whose bad lines are errors of their rows only, by the ending of their names
KINDS = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}


@dataclass(frozen=True)
class Job:
    """One source and how it is explained.

    Attributes:
        source: anything that ``explain`` takes several samples as, or a path.
        out: folder of the answers.
        columns: of a table, with the samples. Default: the names of the modalities.
        block_rows, batch_size: rows in a part, and rows in a pass.
        strict: stop at the first row that cannot be explained.
        options: of ``explain`` for every row, plain values.
        progress: show a bar.
        kind: of a path: "csv", "parquet", "jsonl" or "folder". Default: what its name says.
        scores: type in which scores are stored (:mod:`sidelight.explanations.score_types`).
        engine, workers: where blocks are explained (:mod:`sidelight.explanations.engines`), and by how many workers of Ray.
        tell: takes sentences about the job.
    """

    source: Any
    out: Path
    columns: Sequence[str] = ()
    block_rows: int = 256
    batch_size: int = 32
    strict: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    progress: bool = False
    kind: str | None = None
    scores: str | None = None
    engine: str = "local"
    workers: int | None = None
    tell: Callable[[str], None] = lambda text: None

    def __post_init__(self) -> None:
        for name in ("batch_size", "block_rows"):
            object.__setattr__(self, name, require_size(getattr(self, name), name))
        object.__setattr__(self, "out", folder_path(self.out))
        require_score_type(self.scores)
        if require_engine(self.engine) == "local" and self.workers is not None:
            raise ConfigError(
                "workers goes with engine='ray' (as options of the command: --workers with --engine ray). This process is the "
                "only worker of the local engine."
            )
        if self.workers is not None:
            object.__setattr__(self, "workers", require_size(self.workers, "workers"))
        require_columns_once(self.columns)
        for name, value in self.options.items():
            if isinstance(value, bool) or not isinstance(value, (str, int)):
                raise ConfigError(f"{name} must be the name or number of one class; got {value!r:.60}.")


@dataclass(frozen=True)
class Opened:
    """The rows of a job, not yet those of a model.

    Attributes:
        rows: by number, or one after another.
        path: of the table or folder, if there is one.
    """

    rows: Rows | Stream
    path: Path | None = None


def open_job(job: Job) -> Opened:
    """Find the rows of a job, and refuse a folder of answers that would overwrite them.

    Raises:
        InputError: there are none, or a column is missing.
        CheckpointError: the answers would overwrite the source.
    """
    path, kind = _path_of(job)
    if path is None or kind is None:
        opened = Opened(open_data(job.source, "source"))
        if isinstance(opened.rows, Rows) and len(opened.rows) == 0:
            raise InputError("the source has no rows: give at least one.")
        if isinstance(opened.rows, Rows):
            require_columns("source", first_row(opened.rows), job.columns)
        return opened
    rows = open_source(path, kind, job.out)
    _require_apart(path, job.out)
    require_columns(path, first_row(rows), job.columns)
    return Opened(rows, path)


def _path_of(job: Job) -> tuple[Path | None, str | None]:
    if not isinstance(job.source, (str, os.PathLike)):
        return None, None
    path = Path(os.fspath(job.source))
    if job.kind is not None:
        return path, job.kind
    if path.is_dir():
        pictures = not is_hub_folder(str(path)) and bool(tables_and_pictures(path)[1])
        return path, "folder" if pictures else None
    return path, KINDS.get(suffix(path.name)) if path.is_file() else None


def _require_apart(source: Path, out: Path) -> None:
    """Refuse a source that would be overwritten."""
    written = [out / n for n in ("explanations.csv", "explanations.json", "errors.csv", "manifest.json")]
    same = [p for p in written if p.exists() and p.samefile(source)]
    if same or (source.is_dir() and out.exists() and source.samefile(out)):
        raise CheckpointError(
            f"{source} would be overwritten by what is written to {out}; choose another folder for the answers."
        )


def run_job(
    job: Job, opened: Opened, target: TargetModel, scorer: Scorer, engine: Engine
) -> tuple[StoredExplanations, Tables]:
    """Explain the rows that are not explained yet, and write the tables.

    Args:
        job: what to do.
        opened: its rows (:func:`open_job`).
        target: the classifier.
        scorer: beside it.
        engine: explains blocks of rows.

    Raises:
        InputError: no row can be explained, or with ``strict`` one cannot.
        ConfigError: the folder holds the answers of another job.
        BusyFolderError: another process writes there.
    """
    rows, path = opened.rows, opened.path
    if isinstance(rows, Rows):
        _require_samples(path or "source", rows, job.columns, target)
    with hold(job.out, "explain"):
        folder = _folder_of(job) if "image" in target.modalities else None
        rows, content = _identified(opened, job, folder)
        if job.columns:
            rows = _chosen(rows, job.columns, folder)
        rows, head = _begun(rows)
        about = {**_about(job, opened, content, target, scorer), **job.options}
        about |= {} if job.scores is None else {"scores": job.scores}
        about |= answers_to_first(target, head)
        stored = StoredExplanations.open(job.out, about)
        total = total_of(rows)
        if stored.finished:
            of = f" of {total}" if total is not None else ""
            job.tell(f"{job.out}: {stored.finished}{of} rows are explained already")
        with freed_memory_kept():
            _explain_rest(job, rows, stored, engine, "text" in target.modalities)
        tables = write_tables(stored)
    if not tables.bad and not tables.good:
        raise InputError("the source has no rows: give at least one.")
    if not tables.good:
        none = "the only row could not" if tables.bad == 1 else f"none of the {tables.bad} rows could"
        raise InputError(
            f"{none} be explained{_from_columns(job)}: {job.out}/errors.csv says why. The first: {tables.first_error}"
        )
    if job.strict and tables.bad:  # of an earlier call that was not strict
        raise InputError(
            f"rows that an earlier call left out: {tables.bad}. {job.out}/errors.csv says why. The first: {tables.first_error}"
        )
    return stored, tables


def _from_columns(job: Job) -> str:
    """Where the samples came from, if the caller said so: it may be the wrong column."""
    if not job.columns:
        return ""
    named = " and ".join(map(repr, job.columns))
    return f" from the column{'s' * (len(job.columns) > 1)} {named}, as columns (--column) says"


def _require_samples(source: Path | str, rows: Rows, columns: Sequence[str], target: TargetModel) -> None:
    """Refuse rows without a column that holds samples, before a folder is begun for them."""
    head = first_row(rows)
    if columns:
        require_column_each(head, columns, target.reader.samples, target.modalities)
    elif head is None or not target.reader.holds_inputs(head):
        require_sample(source, head, target.reader.samples, target.modalities)


def _chosen(rows: Rows | Stream, columns: Sequence[str], beside: Path | None) -> Rows | Stream:
    if isinstance(rows, Rows):
        return with_columns_chosen(rows, columns, beside)
    return TakenStream(_rows_of_columns(rows, columns), rows.name, rows.label_names)


def _rows_of_columns(rows: Stream, columns: Sequence[str]) -> Iterator[Any]:
    for number, row in enumerate(rows.attempts()):
        if isinstance(row, SidelightError):
            yield row
            continue
        missing = [c for c in columns if not isinstance(row, Mapping) or c not in row]
        values = () if missing else tuple(row[c] for c in columns)
        error = InputError(f"row {number} of {rows.name} has no column {missing[0]!r}.") if missing else None
        yield error or Row(row, values if len(values) > 1 else values[0])


def _folder_of(job: Job) -> Path | None:
    """The folder from which names of pictures may count, if the source is a path."""
    path, _ = _path_of(job)
    return folder_of(path) if path is not None and path.exists() else None


def _identified(opened: Opened, job: Job, folder: Path | None) -> tuple[Rows | Stream, Any]:
    """The rows, and a record that changes if they do. Of a stream it holds the first row only."""
    rows = opened.rows
    if isinstance(rows, Rows):
        if opened.path is not None:
            return rows, content_of(opened.path, rows, job.columns[0] if job.columns else "image")
        named: Rows = rows
        if job.columns and folder is not None and os.path.isfile(job.source):  # a table that is read at once
            named = Rows(
                PicturesBeside(rows, folder, job.columns[0]), rows.name, rows.label_names, cheap=True
            )
        return rows, content_of_rows(named).to_dict()
    flow = rows.attempts()
    head = list(islice(flow, 1))
    for first in head:
        if isinstance(first, SourceError):
            raise first
    known = [str(row) if isinstance(row, SidelightError) else row for row in head]
    digest = value_digest(known[0]) if known else None
    return TakenStream(chain(head, flow), rows.name, rows.label_names), {"first row of a stream": digest}


def _begun(rows: Rows | Stream) -> tuple[Rows | Stream, Iterator[Any]]:
    """The rows, and the samples of the first ones, of a stream that of the very first alone."""
    if isinstance(rows, Rows):
        first: Iterable[Any] = (row for _, row in numbered(rows, 0))
    else:
        flow = rows.attempts()
        first = list(islice(flow, 1))
        rows = TakenStream(chain(first, flow), rows.name, rows.label_names)
    return rows, (row.sample if isinstance(row, Row) else row for row in first)


def _about(job: Job, opened: Opened, content: Any, target: TargetModel, scorer: Scorer) -> dict[str, Any]:
    named = str(job.source) if isinstance(job.source, str) else type(job.source).__name__
    return {
        "source": named if opened.path is None else str(opened.path.absolute()),
        "content of the source": content,
        "columns": list(job.columns),
        "classifier": target.fingerprint(),
        "preprocessing": target.reader.state(),
        "options": options_of(target),
        "labels": target.class_names or configured_names(target.model),
        "scorer": hash_of({k: v.detach().cpu() for k, v in scorer.state_dict().items()}),
    }


def _explain_rest(
    job: Job, rows: Rows | Stream, stored: StoredExplanations, engine: Engine, by_length: bool
) -> None:
    how = BlockOptions(job.batch_size, "raise" if job.strict else "skip", by_length, job.scores)
    with row_bar(disable=not job.progress) as bar:
        task = bar.add_task("explaining", total=total_of(rows), completed=stored.finished)
        blocks = blocks_of(rows, job.block_rows, stored.finished)
        with (  # an error gives the model back at once
            closing(engine.tables(blocks, how)) as tables,
            closing(overlapped(tables, stored.add_table)) as parts,
        ):
            for _, written in parts:
                written.result()
                bar.update(task, completed=stored.finished)
