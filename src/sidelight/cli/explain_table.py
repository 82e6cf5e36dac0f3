"""Every row of a table, or every picture of a folder, explained in blocks, and what is printed about it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidelight.cli.common import say
from sidelight.core.counted import counted
from sidelight.explanations.job import Job, open_job, run_job

if TYPE_CHECKING:
    from sidelight.explainer import Explainer
    from sidelight.explanations.stored import StoredExplanations
    from sidelight.explanations.table_lines import Tables


def explain_table(
    job: Job, open_explainer: Callable[[], Explainer], wants_rows: bool = False
) -> list[dict[str, Any]]:
    """Explain every row of a table or picture of a folder, and say what was written.

    Args:
        job: the table or folder, and how it is explained.
        open_explainer: called after the table was found.
        wants_rows: whether the lines are returned. They are all in memory then.

    Returns:
        The lines of ``explanations.csv``, with the user's columns apart, or none.

    Raises:
        InputError: the table or a column is missing, no row can be explained, or with ``strict`` one cannot.
        ConfigError: the folder holds the answers of another job.
        BusyFolderError: another process writes there.
    """
    from sidelight.explanations.table_lines import lines_of

    opened = open_job(job)
    explainer = open_explainer()
    engine = explainer.engine_of(job)
    stored, tables = run_job(job, opened, explainer.target, explainer.scorer, engine)
    _tell(explainer, stored, tables)
    if not wants_rows:
        return []
    lines = (line for line in lines_of(stored) if "error" not in line.own)
    return [{**line.own, "columns": dict(line.columns)} for line in lines]


def _tell(explainer: Explainer, stored: StoredExplanations, tables: Tables) -> None:
    out = stored.folder
    texts_only = set(explainer.target.modalities) == {"text"}
    if texts_only:
        _write_json(out / "explanations.json", stored)
    written = "explanations.csv, explanations.json" if texts_only else "explanations.csv, parts/"
    say(
        f"{counted(tables.good, 'row')} explained: {out}/{written} (sidelight.read_explanations reads all maps)"
    )
    if tables.renamed:
        say(f"your table has columns with names of ours, so ours are called {', '.join(tables.renamed)}")
    if tables.bad:
        say(f"{counted(tables.bad, 'row')} could not be explained: {out}/errors.csv says why")


def _write_json(path: Path, stored: StoredExplanations) -> None:
    """All explanations as one JSON array, one in memory at a time."""
    from sidelight.core.files import as_utf8, replace_file
    from sidelight.explanations.explanation import Explanation

    with replace_file(path) as tmp, tmp.open("wb") as file:
        begin = b"["
        for answer in stored:
            if isinstance(answer, Explanation):
                text = json.dumps(answer.to_dict(), ensure_ascii=False, allow_nan=False)
                file.write(begin + b"\n" + as_utf8(text))
                begin = b","
        file.write(b"\n]\n" if begin == b"," else b"[]\n")
