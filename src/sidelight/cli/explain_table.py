"""Every row of a table, or every picture of a folder, explained in blocks. A killed call continues."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sidelight.cli.common import say
from sidelight.cli.table_source import (
    Row,
    content_of,
    first_row,
    open_source,
    require_columns,
    require_sample,
    with_columns_chosen,
)
from sidelight.errors import CheckpointError, InputError

if TYPE_CHECKING:
    from sidelight.cli.table_lines import Tables
    from sidelight.explainer import Explainer
    from sidelight.explanations.blocks import Answer
    from sidelight.explanations.explanation import Explanation
    from sidelight.explanations.stored import StoredExplanations
    from sidelight.rows.row import Rows

#: batches in each stored part; a kill loses at most one part
BATCHES = 4


def explain_table(
    open_explainer: Callable[[], Explainer],
    source: Path,
    kind: str,
    columns: Sequence[str],
    out: Path,
    batch_size: int,
    strict: bool,
    classes: Mapping[str, str | None] = MappingProxyType({}),
) -> list[dict[str, Any]]:
    """Explain every row of ``source`` and write the answers to ``out``.

    Args:
        open_explainer: called after the table was found.
        source: a table, or a folder of pictures.
        kind: "csv", "parquet", "jsonl" or "folder".
        columns: of the table (default: the names of the modalities).
        out: folder of the answers. An earlier call on the same rows is continued.
        batch_size: rows in each pass.
        strict: stop at the first row that cannot be explained.
        classes: ``target`` and ``versus`` of ``explain``, if they are given.

    Returns:
        The lines of ``explanations.csv``, with the user's columns apart.

    Raises:
        InputError: the table or a column is missing, no row can be explained, or with ``strict`` one cannot.
        ConfigError: ``out`` holds the answers of another job.
        BusyFolderError: another process writes to ``out``.
    """
    from sidelight.core.locks import hold
    from sidelight.explanations.stored import StoredExplanations

    rows = open_source(source, kind, out)
    _require_apart(source, out)
    head = first_row(rows)
    require_columns(source, head, columns)
    explainer = open_explainer()
    given = {name: wanted for name, wanted in classes.items() if wanted is not None}
    if not columns:
        require_sample(source, head, explainer)
    with hold(out, "explain"):
        stored = StoredExplanations.open(out, {**_about(explainer, source, rows, columns), **given})
        if stored.finished:
            say(f"{out}: {stored.finished} of {len(rows)} rows are explained already")
        pictures = source.parent if "image" in explainer.target.modalities else None
        chosen = with_columns_chosen(rows, columns, pictures)
        tables = _explain_rest(explainer, chosen, stored, batch_size, strict, given)
        return _finish(explainer, stored, tables)


def _require_apart(source: Path, out: Path) -> None:
    """Refuse a source that would be overwritten."""
    written = [out / n for n in ("explanations.csv", "explanations.json", "errors.csv", "manifest.json")]
    same = [p for p in written if p.exists() and p.samefile(source)]
    if same or (source.is_dir() and out.exists() and source.samefile(out)):
        raise CheckpointError(
            f"{source} would be overwritten by what is written to {out}; choose another --out."
        )


def _about(explainer: Explainer, source: Path, rows: Rows, columns: Sequence[str]) -> dict[str, Any]:
    from sidelight.targets.weights import hash_of

    picture = columns[0] if columns and "image" in explainer.target.modalities else "image"
    return {
        "source": str(source.absolute()),
        "content of the source": content_of(source, rows, picture),
        "columns": list(columns),
        "classifier": explainer.target.fingerprint(),
        "preprocessing": explainer.target.reader.state(),
        "scorer": hash_of({k: v.detach().cpu() for k, v in explainer.scorer.state_dict().items()}),
    }


def _explain_rest(
    explainer: Explainer,
    rows: Rows,
    stored: StoredExplanations,
    batch_size: int,
    strict: bool,
    classes: Mapping[str, str],
) -> Tables:
    from sidelight.cli.table_lines import Tables
    from sidelight.core.terminal import counting_bar

    tables = Tables(stored.folder)
    for number, answer in enumerate(stored):
        tables.add(number, answer)
    errors: Any = "raise" if strict else "skip"
    answered = _answers(explainer, rows, stored.finished, batch_size, errors, classes)
    found = _told(answered, tables, stored.finished)
    with counting_bar() as bar:
        task = bar.add_task("explaining", total=len(rows), completed=stored.finished)
        for _ in range(stored.finished, len(rows), BATCHES * batch_size):
            stored.add(islice(found, BATCHES * batch_size))
            bar.update(task, completed=stored.finished)
            tables.write_if_cheap()
    tables.write()
    return tables


def _told(found: Iterator[Answer], tables: Tables, first: int) -> Iterator[Answer]:
    """``found``, each added to the tables when it comes."""
    for number, answer in enumerate(found, start=first):
        tables.add(number, answer)
        yield answer


def _answers(
    explainer: Explainer, rows: Rows, first: int, batch_size: int, errors: Any, classes: Mapping[str, str]
) -> Iterator[Answer]:
    """As ``explain_stream``. If columns are chosen, the model gets them without the rest of the row."""
    from sidelight.explanations.blocks import answers, with_columns

    def explain(block: Sequence[Any], numbers: Sequence[int]) -> list[Explanation]:
        samples = [row.sample if isinstance(row, Row) else row for row in block]
        found: list[Explanation] = explainer.explain(
            samples, batch_size=len(samples), target=classes.get("target"), versus=classes.get("versus")
        )
        return [with_columns(e, row) for e, row in zip(found, block, strict=True)]

    return answers(rows, explain, batch_size, errors, first)


def _finish(explainer: Explainer, stored: StoredExplanations, tables: Tables) -> list[dict[str, Any]]:
    out, failed = stored.folder, len(tables.bad)
    if not tables.good:
        raise InputError(
            f"none of the {failed} rows could be explained: {out}/errors.csv says why. The first: "
            f"{tables.bad[0].own['error']}"
        )
    texts_only = set(explainer.target.modalities) == {"text"}
    if texts_only:
        _write_json(out / "explanations.json", stored)
    written = "explanations.csv, explanations.json" if texts_only else "explanations.csv, parts/"
    say(f"{len(tables.good)} rows explained: {out}/{written} (sidelight.read_explanations reads all maps)")
    if tables.renamed():
        ours = ", ".join(f"sidelight_{name}" for name in tables.renamed())
        say(f"your table has columns with names of ours, so ours are called {ours}")
    if failed:
        say(f"{failed} row(s) could not be explained: {out}/errors.csv says why")
    return tables.rows()


def _write_json(path: Path, stored: StoredExplanations) -> None:
    """All explanations as one JSON array, one in memory at a time."""
    import json

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
