"""Every row of a table, or every picture of a folder, explained in blocks; a killed call goes on where it was."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidelight.cli.common import say
from sidelight.errors import CheckpointError, InputError
from sidelight.registry import nearest
from sidelight.safe_output import for_csv

if TYPE_CHECKING:
    from sidelight.data.rows import Rows
    from sidelight.explainer import Explainer
    from sidelight.explaining import Answer
    from sidelight.explanation import Explanation
    from sidelight.stored import StoredExplanations

#: batches a part: what a kill loses at the most
BATCHES = 4
#: the table is written anew whenever so many times as many rows are finished
GROWTH = 1.5
#: words of a text that the table names
TOP_WORDS = 5


def explain_table(
    open_explainer: Callable[[], Explainer],
    source: Path,
    columns: Sequence[str],
    out: Path,
    batch_size: int,
    strict: bool,
) -> list[dict[str, Any]]:
    """Explain every row of ``source`` and write the answers to ``out``.

    Args:
        open_explainer: called when the table is known to be there.
        source: a table, or a folder of pictures.
        columns: of the table; default: those named after the modalities.
        out: folder of the answers; that of an earlier call on the same rows is gone on with.
        batch_size: rows a pass.
        strict: stop at the first row that cannot be explained.

    Returns:
        The lines of ``explanations.csv``.

    Raises:
        InputError: the table or a column is missing, or, with ``strict``, a row cannot be explained.
        ConfigError: ``out`` holds the answers of another job.
    """
    from sidelight.data.sources import rows_of
    from sidelight.stored import StoredExplanations

    _require_apart(source, out)
    rows = rows_of(source, "the table" if source.is_file() else "the folder")
    if len(rows) == 0:
        raise InputError(f"{source} has no rows.")
    _check_columns(source, rows, columns)
    explainer = open_explainer()
    stored = StoredExplanations.open(out, _about(explainer, source, columns, len(rows)))
    if stored.finished:
        say(f"{out}: {stored.finished} of {len(rows)} rows are explained already")
    _explain_rest(explainer, _samples(rows, columns), stored, batch_size, strict)
    texts_only = set(explainer.target.modalities) == {"text"}
    if texts_only:
        _write_json(out / "explanations.json", stored)
    lines = _write_csv(out, stored)
    failed = sum("error" in line for line in lines)
    written = "explanations.csv, explanations.json" if texts_only else "explanations.csv, parts/"
    say(f"{len(lines) - failed} rows explained: {out}/{written} (read_explanations reads them)")
    if failed:
        say(f"{failed} row(s) could not be explained: {out}/errors.csv says why")
    return [line for line in lines if "error" not in line]


def _require_apart(source: Path, out: Path) -> None:
    """Inputs are never outputs."""
    written = [out / n for n in ("explanations.csv", "explanations.json", "errors.csv", "manifest.json")]
    same = [p for p in written if p.exists() and source.exists() and p.samefile(source)]
    if same or (source.is_dir() and out.exists() and source.samefile(out)):
        raise CheckpointError(
            f"{source} would be overwritten by what is written to {out}; choose another --out."
        )


def _about(explainer: Explainer, source: Path, columns: Sequence[str], count: int) -> dict[str, Any]:
    from sidelight.weights import hash_of

    return {
        "source": str(source.absolute()),
        "content": _content_hash(source),
        "rows": count,
        "columns": list(columns),
        "classifier": explainer.target.fingerprint(),
        "preprocessing": explainer.target.processor_state(),
        "scorer": hash_of({k: v.detach().cpu() for k, v in explainer.scorer.state_dict().items()}),
    }


def _content_hash(source: Path) -> str:
    import hashlib

    from sidelight.ownership import feed_file, files_below

    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(files_below(source)) if source.is_dir() else [source]:
        digest.update(str(path.relative_to(source)).encode("utf-8", "surrogateescape") + b"\0")
        if path.is_file():
            feed_file(digest.update, path)
    return digest.hexdigest()


def _check_columns(source: Path, rows: Rows, columns: Sequence[str]) -> None:
    try:
        head = rows[0]
    except InputError:
        return
    known = list(head) if isinstance(head, Mapping) else []
    for name in columns:
        if name not in known:
            raise InputError(
                f"{source} has no column {name!r}; it has {', '.join(map(str, known))}."
                f"{nearest(name, map(str, known))} Name it: --column ..."
            )


class _Chosen:
    """Rows whose named columns stand under the names that the model's target looks for."""

    def __init__(self, rows: Rows, columns: Sequence[str]) -> None:
        self.rows, self.columns = rows, list(columns)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> Any:
        row = self.rows[number]
        values = tuple(row[c] for c in self.columns)
        return _Row(row, values if len(values) > 1 else values[0])


class _Row(dict[str, Any]):
    """A row of a table, and the sample in it."""

    def __init__(self, row: Mapping[str, Any], sample: Any) -> None:
        super().__init__(row)
        self.sample = sample


def _samples(rows: Rows, columns: Sequence[str]) -> Any:
    from sidelight.data.rows import Rows as Numbered

    return Numbered(_Chosen(rows, columns), rows.name) if columns else rows


def _explain_rest(
    explainer: Explainer, rows: Rows, stored: StoredExplanations, batch_size: int, strict: bool
) -> None:
    from rich.progress import Progress

    errors: Any = "raise" if strict else "skip"
    found = _answers(explainer, rows, stored.finished, batch_size, errors)
    size, first, written = BATCHES * batch_size, stored.finished, stored.finished
    with Progress(transient=False) as bar:
        task = bar.add_task("explaining", total=len(rows), completed=first)
        while part := list(islice(found, size)):
            stored.add(first, part)
            first += len(part)
            bar.update(task, completed=first)
            if first >= GROWTH * max(written, size) and first < len(rows):
                written = first
                _write_csv(stored.folder, stored)


def _answers(explainer: Explainer, rows: Rows, first: int, batch_size: int, errors: Any) -> Iterator[Answer]:
    """As ``explain_stream``; a sample that was picked out of its row goes to the model alone."""
    from sidelight.explaining import answers, with_columns

    def explain(block: Sequence[Any]) -> list[Explanation]:
        samples = [row.sample if isinstance(row, _Row) else row for row in block]
        return [
            with_columns(e, row)
            for e, row in zip(explainer.explain(samples, batch_size=len(samples)), block, strict=True)
        ]

    return answers(rows, explain, batch_size, errors, first)


def _write_json(path: Path, stored: StoredExplanations) -> None:
    """All explanations as one JSON array, one in memory at a time."""
    import json

    from sidelight.explanation import Explanation
    from sidelight.files import as_utf8, replace_file

    with replace_file(path) as tmp, tmp.open("wb") as file:
        begin = b"["
        for answer in stored:
            if isinstance(answer, Explanation):
                file.write(begin + b"\n" + as_utf8(json.dumps(answer.to_dict(), ensure_ascii=False)))
                begin = b","
        file.write(b"\n]\n" if begin == b"," else b"[]\n")


def _write_csv(out: Path, stored: StoredExplanations) -> list[dict[str, Any]]:
    """Write ``explanations.csv`` and, if there are any, ``errors.csv``; returns all lines."""
    lines = [_line(number, answer) for number, answer in enumerate(stored)]
    good = [line for line in lines if "error" not in line]
    bad = [line for line in lines if "error" in line]
    _table(out / "explanations.csv", good or [{"row": ""}])
    if bad:
        _table(out / "errors.csv", bad)
    return lines


def _table(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    from sidelight.files import replace_file

    names = list(dict.fromkeys(key for line in lines for key in line))
    with replace_file(path) as tmp, tmp.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([for_csv(name) for name in names])
        writer.writerows([for_csv(line.get(name)) for name in names] for line in lines)


def _line(number: int, answer: Answer) -> dict[str, Any]:
    """One line of a table: the decision, for texts the words that counted most, and the user's own columns."""
    from sidelight.explaining import ExplainFailure

    if isinstance(answer, ExplainFailure):
        return _joined({"row": number, "error": answer.reason}, answer.columns)
    line: dict[str, Any] = {
        "row": number,
        "label": answer.label,
        "probability": round(answer.probability, 6),
        "truncated": bool(answer.meta.get("truncated")),
    }
    for name, scores in answer.scores.items():
        shown = answer.inputs[name]
        if isinstance(shown, list):
            line[f"{name}_top"] = _top(shown, scores)
        line[f"{name}_mean_score"] = round(float(scores.astype(float).mean()), 6)
    return _joined(line, answer.meta.get("columns", {}))


def _joined(line: dict[str, Any], columns: Mapping[str, Any]) -> dict[str, Any]:
    """Our cells and the user's; of two with one name the user's is called ``<name>_given``."""
    taken = {*line, "error"}
    return {**line, **{f"{k}_given" if k in taken else k: v for k, v in columns.items()}}


def _top(words: Sequence[str], scores: Any) -> str:
    best = sorted(zip(scores.tolist(), words, strict=True), key=lambda pair: -pair[0])[:TOP_WORDS]
    return " | ".join(f"{word.strip()} {score:.2f}" for score, word in best if score > 0)
