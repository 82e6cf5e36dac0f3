"""The tables of an ablation, from stored rows alone: a row a variant, best values marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
from rich.table import Table as RichTable

from sidelight.core.files import replace_file, write_json, write_text
from sidelight.core.safe_output import csv_of_records
from sidelight.errors import CheckpointError
from sidelight.lab.ablation.cells import FOLDER, cells_of
from sidelight.lab.ablation.cells import Cell as AblationCell
from sidelight.lab.evaluation.run import as_categories, plain_rows
from sidelight.lab.metrics.statistics import summarise
from sidelight.lab.runs.run import Run
from sidelight.lab.runs.stored_files import read_record
from sidelight.lab.tables.markdown import markdown
from sidelight.lab.tables.summary import ANY, cell_of, columns_of, fill_of
from sidelight.lab.tables.table import Cell, Column, Line, Setting, Table, ranked, short
from sidelight.lab.tables.terminal import terminal

#: metrics of a map as the scorer gives it: 1 if all its scores are equal, and the mean of its scores
CONSTANT, GIVEN_MEAN = "constant_map", "mean_as_given"
#: file of the default variants that the classifier does not allow, with the reasons
LEFT_OUT = "left-out.json"
#: columns of the terminal, under the first fill
HEADLINE = ("average_drop", "deletion_auc", "insertion_auc", "mean_score", "auprc", CONSTANT)
CAPTION = "†: collapsed with at least one seed, and not ranked; flat: share of constant maps"
LEGEND = (
    "Means over the test samples and seeds; ± is the standard deviation of the seeds' means. ↓ lower is "
    "better, ↑ higher is better; best in bold, second underlined, among the variants that did not collapse "
    "with any seed. *constant map* is the share of samples whose scores are all equal (in every modality); a "
    "seed counts as collapsed where that is half of them or more. The metrics stretch every map to [0, 1]; *mean as given* is the mean "
    "score before that."
)


def write_tables(run: Run) -> list[Table]:
    """Write ``scores.parquet`` and ``table.md``, ``.csv``, ``.json`` from the finished cells. No model is run.

    Returns:
        One table for each modality and granularity.

    Raises:
        CheckpointError: no cell is finished.
    """
    cells = cells_of(run)
    done = [c for c in cells if c.finished]
    if not done:
        raise CheckpointError(
            f"no variant in {run.folder / FOLDER} is finished: run `sidelight ablate` first."
        )
    frames = [c.scores() for c in done if (c.facts or {})["measured"]]
    rows, summary = pd.DataFrame(), []
    if frames:
        rows = pd.concat(frames, ignore_index=True)
        with replace_file(run.folder / FOLDER / "scores.parquet") as tmp:
            as_categories(rows).to_parquet(tmp, index=False)
        known = rows.rename(columns={"variant": "method"}).assign(reduction="none")
        summary = plain_rows(summarise(known, dataset=run.config.data.name))
    variants = variant_facts(done)
    tables = build_ablation_tables(summary, variants)
    folder = run.folder / FOLDER
    path = folder / LEFT_OUT
    notes = _notes(cells, done, read_record(path, "ablate") if path.is_file() else {})
    write_text(folder / "table.md", page(tables, notes))
    write_text(folder / "table.csv", csv_text(tables, variants))
    about = {"name": run.config.name, "dataset": run.config.data.name, "notes": notes, "variants": variants}
    write_json(folder / "table.json", {**about, "rows": summary})
    return tables


def variant_facts(cells: Sequence[AblationCell]) -> list[dict[str, Any]]:
    """Facts of each variant over its finished seeds, as JSON values."""
    found: dict[str, dict[str, Any]] = {}
    for cell in cells:
        facts = cell.facts or {}
        about = found.setdefault(
            cell.variant.name,
            {"name": cell.variant.name, "changes": dict(cell.variant.changes), "seeds": [], "collapsed": []},
        )
        about["seeds"].append(cell.seed)
        about["collapsed"] += [cell.seed] if facts["collapsed"] else []
        about.setdefault("training", {})[str(cell.seed)] = facts["training"]
        if facts["message"]:
            about.setdefault("messages", {})[str(cell.seed)] = facts["message"]
    return list(found.values())


def build_ablation_tables(
    summary: Sequence[Mapping[str, Any]], variants: Sequence[Mapping[str, Any]]
) -> list[Table]:
    """One table for each modality and granularity, lines in the order of ``variants``.

    A column is a metric and the fill it was measured under. Variants that collapsed are not ranked.

    Args:
        summary: lines of :func:`~sidelight.lab.metrics.statistics.summarise`, the variant as ``method``.
        variants: from :func:`variant_facts`.
    """
    # Values of a map as the scorer gives it have no granularity and belong to every table.
    given = [r for r in summary if r["granularity"] in ANY]
    settings: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in summary:
        if row["granularity"] not in ANY:
            settings.setdefault((str(row["modality"]), str(row["granularity"])), []).append(row)
    tables = [_table([*rows, *given], Setting("", *names), variants) for names, rows in settings.items()]
    return tables or [_table(given, Setting(), variants)]


def _table(
    rows: Sequence[Mapping[str, Any]], setting: Setting, variants: Sequence[Mapping[str, Any]]
) -> Table:
    numbers = {(str(r["method"]), str(r["metric"]), fill_of(r)): r for r in rows}
    fills = dict.fromkeys(fill_of(r) for r in rows)
    cases = {(metric, fill) for _, metric, fill in numbers}
    columns = [replace(c, fill=f) for c in columns_of(rows) for f in fills if (c.name, f) in cases]
    lines = [_line(variant, columns, numbers) for variant in variants]
    return Table(
        _title(rows, setting),
        (Column("seeds"), *columns, Column("", left=True)),
        tuple(
            replace(line, cells=(Cell(str(len(variant["seeds"]))), *line.cells, Cell(line.remark)))
            for line, variant in zip(ranked(lines, columns), variants, strict=True)
        ),
        first="variant",
        setting=setting,
    )


def _line(
    variant: Mapping[str, Any],
    columns: Sequence[Column],
    numbers: Mapping[tuple[str, str, str], Mapping[str, Any]],
) -> Line:
    name, collapsed = str(variant["name"]), len(variant["collapsed"])
    cells = tuple(_cell(numbers.get((name, c.name, c.fill)), c.digits) for c in columns)
    state = f"{collapsed} of {len(variant['seeds'])} collapsed" if collapsed else ""
    return Line(name, name, cells, "collapsed" if collapsed else "rival", state)


def _cell(row: Mapping[str, Any] | None, digits: int) -> Cell | None:
    if row is None:
        return None
    cell = cell_of(row, digits)
    return cell if cell.seed_sd is None else replace(cell, spread=f"±{short(cell.seed_sd, digits)}")


def _title(rows: Sequence[Mapping[str, Any]], setting: Setting) -> str:
    if not rows:
        return "nothing measured"
    measured = [r for r in rows if r["granularity"] not in ANY]
    counts = sorted({int(r["n"]) for r in measured or rows})
    n = f"n = {counts[-1]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"
    about = [setting.modality, f"by {setting.granularity}"] if measured else ["maps as given"]
    return " · ".join([str(rows[0]["dataset"]), *about, n])


def page(tables: Sequence[Table], notes: Sequence[str] = ()) -> str:
    """The tables as Markdown, with a legend."""
    blocks = [f"### {table.title}\n\n{markdown(table)}\n" for table in tables]
    return "\n".join([*blocks, LEGEND, *(f"\n{note}" for note in notes), ""])


def csv_text(tables: Sequence[Table], variants: Sequence[Mapping[str, Any]]) -> str:
    """The tables as CSV: for each metric and fill its mean, the seeds' standard deviation, and n."""
    names = dict.fromkeys(
        f"{_key(c)}.{part}" for t in tables for c in t.columns if c.name for part in ("mean", "sd", "n")
    )
    records = []
    for table in tables:
        for line, variant in zip(table.lines, variants, strict=True):
            record: dict[str, Any] = {
                "modality": table.setting.modality,
                "granularity": table.setting.granularity,
                "variant": line.name,
                **{k: len(variant[k]) for k in ("seeds", "collapsed")},
            }
            for column, cell in zip(table.columns, line.cells, strict=True):
                if column.name and cell is not None:
                    values = {"mean": cell.mean, "sd": cell.seed_sd, "n": cell.n}
                    record |= {f"{_key(column)}.{part}": value for part, value in values.items()}
            records.append(record)
    columns = ["modality", "granularity", "variant", "seeds", "collapsed", *names]
    return csv_of_records(columns, records)


def _key(column: Column) -> str:
    return f"{column.name}.{column.fill}" if column.fill else column.name


def for_terminal(table: Table) -> RichTable:
    """The main columns of a table for the terminal, under its first fill."""
    first = next((c.fill for c in table.columns if c.fill), "")
    shown = table.select(lambda c: c.name in HEADLINE and c.fill in (first, ""))
    if first:
        shown = replace(shown, title=f"{table.title}, {first} fill")
    return terminal(shown, CAPTION)


def _notes(
    cells: Sequence[AblationCell], done: Sequence[AblationCell], left_out: Mapping[str, str]
) -> list[str]:
    """Sentences on variants that lack numbers, a seed, or a line in the table.

    Args:
        left_out: variants that the classifier does not allow, and why.
    """
    messages = [(*c.key, str((c.facts or {})["message"])) for c in done]
    notes = [f"{name}, seed {seed}: {message}" for name, seed, message in messages if message]
    finished = {c.key for c in done}
    missing: dict[str, list[str]] = {}
    for name, seed in (c.key for c in cells):
        if (name, seed) not in finished:
            missing.setdefault(name, []).append(str(seed))
    notes += [f"{name} is left out: {left_out[name]}." for name in missing if name in left_out]
    missing = {name: seeds for name, seeds in missing.items() if name not in left_out}
    if missing:
        listed = "; ".join(f"{name} (seed {', '.join(seeds)})" for name, seeds in missing.items())
        notes.append(f"Not trained, or not measured as the configuration says now: {listed}.")
    return notes
