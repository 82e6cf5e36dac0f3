"""Parts of several commands: options, tables in the terminal and as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from sidelight.lab.config.sections import RunConfig
    from sidelight.lab.report.publication import Publication
    from sidelight.lab.runs.run import Run

#: columns of the rows in ``--json`` files, by command: such a file is known by them
ROW_COLUMNS = (
    {"method", "metric", "mean", "n"},
    {"check"},
    {"name", "input", "label", "probability"},
    {"row", "label", "probability"},
    {"method", "batch", "classify_ms", "explain_ms"},
    {"method", "milliseconds", "passes", "kept"},
)


def free_for_rows(path: Path | None) -> Path | None:
    """``path``, if it is free or holds rows that an earlier ``--json`` wrote.

    Raises:
        CheckpointError: no file can be made there.
        ForeignFileError: it is another file, also one of ours, a folder or a link.
    """
    from sidelight.core.files import file_path
    from sidelight.core.ownership import foreign, is_ours
    from sidelight.core.refusals import require_writable
    from sidelight.errors import ForeignFileError

    if path is None:
        return None
    if not os.path.lexists(file_path(path)) or is_rows_file(path):
        require_writable(path)
        return path
    advice = "Choose another name for --json."
    if is_ours(path):  # e.g. the configuration of a scorer, or the page that this command wrote just now
        raise ForeignFileError(
            f"could not write {path}: it is a file of sidelight that holds something else, and stays as it is. {advice}"
        )
    raise foreign(path, advice)


def is_rows_file(path: Path) -> bool:
    """Whether ``path`` holds a JSON list of rows as ``--json`` writes it."""
    if path.is_symlink() or not path.is_file():
        return False
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if not isinstance(rows, list):
        return False
    return all(isinstance(r, dict) and any(known <= set(r) for known in ROW_COLUMNS) for r in rows)


JsonOption = Annotated[
    Path | None,
    typer.Option(
        "--json",
        help="Also write the printed table to this file, as JSON.",
        dir_okay=False,
        callback=free_for_rows,
    ),
]
OverwriteOption = Annotated[
    bool,
    typer.Option(
        "--overwrite", help="Replace files that sidelight did not write, if they have names that it needs."
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Change a value of the configuration, e.g. --set training.epochs=1. Repeatable."
    ),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        metavar="I/N",
        help="Measure only the I-th of N parts of the batches, so that N machines can share the work in one folder. The "
        "last one writes the results.",
    ),
]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder, made by `sidelight fit`.")]

#: the columns of ``evaluate --json`` and ``demo --json``
ROW_KEYS = (
    "dataset",
    "modality",
    "method",
    "reduction",
    "granularity",
    "fill",
    "metric",
    "mean",
    "sd",
    "ci95",
    "n",
)


@contextmanager
def changed_run(
    folder: Path, change: Callable[[RunConfig], RunConfig], purpose: str, share: str = ""
) -> Iterator[Run]:
    """The run of ``folder`` with other settings, which are written there. No other command works there meanwhile.

    If the work fails, the folder has its earlier settings again: those that its results were made with.

    Args:
        change: gives the settings, and refuses those that are not possible.
        purpose: of the work, for the message that others get.
        share: of a job that several machines divide.
    """
    from sidelight.core.locks import hold
    from sidelight.core.processes import wait
    from sidelight.lab.runs.run import Run

    place = Run.open(folder).folder  # what is no run is refused before anything is written
    with hold(place, purpose, share):
        before = Run.open(place)
        wait()  # all have read the settings before one of them changes them
        config = change(before.config)
        current = before if config == before.config else Run.create(place, config)
        with _settings_kept_on_error(before):
            yield current


def with_settings(config: RunConfig, overrides: Sequence[str], folder: Path) -> RunConfig:
    """``config`` with the changes of ``--set``. Raises :class:`ConfigError` if the run of ``folder`` cannot have them."""
    from sidelight.lab.config.files import changed
    from sidelight.lab.evaluation.preflight import check_run

    if not overrides:
        return config
    found = changed(config, overrides)
    check_run(found, folder)
    return found


@contextmanager
def _settings_kept_on_error(before: Run) -> Iterator[None]:
    from sidelight.errors import SidelightError

    try:
        yield
    except SidelightError:
        if before.open(before.folder).config != before.config:
            before.create(before.folder, before.config)
        raise


def say(text: str) -> None:
    """Print to the terminal. Characters that it would act on are written out."""
    from sidelight.core.terminal import SafeConsole
    from sidelight.errors import for_lines

    SafeConsole().print(for_lines(text), soft_wrap=True)


def write_rows(rows: Sequence[Mapping[str, Any]], path: Path | None) -> None:
    """Write the rows of a printed table to ``path`` as a JSON list, if ``--json`` names one."""
    if path is None:
        return
    from sidelight.core.files import write_json
    from sidelight.core.ownership import overwriting

    free_for_rows(path)
    with overwriting():
        write_json(path, [dict(r) for r in rows])
    say(f"rows: {path}")


def evaluation_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Summary lines with the columns of ``--json``."""
    return [{k: r.get(k) for k in ROW_KEYS} for r in rows]


def print_summary(rows: Sequence[Mapping[str, Any]], brief: bool = False) -> None:
    """Print the headline tables of an evaluation. With ``brief`` it is the first setting of each data set."""
    from sidelight.core.terminal import print_table
    from sidelight.lab.report import terminal_tables

    tables = []
    for dataset in dict.fromkeys(r.get("dataset", "") for r in rows):
        found = terminal_tables([r for r in rows if r.get("dataset", "") == dataset])
        tables += found[:1] if brief else found
    for table in tables:
        print_table(table)
    if brief:
        say("The report has the tables of other fills and granularities.")


def tell_publication(found: Publication) -> None:
    """Print the first ranking and the notes of published tables."""
    for ranking in found.rankings[:1]:
        say(f"average ranks over {ranking.sentence}")
    tell_notes(found.notes)


def tell_notes(notes: Sequence[str]) -> None:
    """Print notes, a line for each."""
    for note in notes:
        say(f"note: {note}")


def tell_error(message: str) -> None:
    """Print an error to the terminal's error stream."""
    from sidelight.core.terminal import ErrorConsole

    ErrorConsole(soft_wrap=True).print("error:", message, style="bold red")
