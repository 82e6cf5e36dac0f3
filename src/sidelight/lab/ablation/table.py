"""The table of an ablation, from stored rows alone: a row a variant, best values marked."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from sidelight.core.files import replace_file, write_json, write_text
from sidelight.core.safe_output import for_csv
from sidelight.errors import CheckpointError
from sidelight.lab.ablation.cells import FOLDER, Cell, cells_of
from sidelight.lab.evaluation.run import as_categories, plain_rows
from sidelight.lab.metrics.statistics import summarise
from sidelight.lab.runs.run import Run
from sidelight.lab.tables.summary import ANY, Column, columns_of, short
from sidelight.lab.tables.table import SHORT

#: rows about a map as the scorer gives it: 1 where all its scores are equal; the mean of its scores
CONSTANT, GIVEN_MEAN = "constant_map", "mean_as_given"
#: columns of the terminal, under the first fill
HEADLINE = ("average_drop", "deletion_auc", "insertion_auc", "mean_score", "auprc", CONSTANT)
LEGEND = (
    "Means over the test samples and seeds; ± is the standard deviation of the seeds' means. ↓ lower is "
    "better, ↑ higher is better; best in bold, second underlined, among the variants that did not collapse "
    "with any seed. *constant map* is the share of samples whose scores are all equal (in every modality); a "
    "seed counts as collapsed where that is half of them or more. The metrics stretch every map to [0, 1]; *mean as given* is the mean "
    "score before that."
)


@dataclass(frozen=True)
class Entry:
    """One number: its ``place`` is 1 for the best, ``None`` where it is not ranked; ``sd`` is over seeds."""

    mean: float
    sd: float | None
    n: int
    seeds: int
    place: int | None = None


@dataclass(frozen=True)
class Line:
    """One variant; an entry per column, ``None`` where nothing was measured."""

    variant: str
    seeds: int
    collapsed: int
    entries: tuple[Entry | None, ...]

    @property
    def state(self) -> str:
        """``"1 of 3 collapsed"``, or nothing."""
        return f"{self.collapsed} of {self.seeds} collapsed" if self.collapsed else ""


@dataclass(frozen=True)
class AblationTable:
    """All variants for one modality (or group of them) at one granularity.

    A column is a metric and the fill it was measured under, or "" where there is none.
    """

    heading: str
    modality: str
    granularity: str
    columns: tuple[tuple[Column, str], ...]
    lines: tuple[Line, ...]

    def entry(self, variant: str, metric: str, fill: str = "") -> Entry | None:
        """One number of the table; ``None`` where there is none."""
        index = [(c.name, f) for c, f in self.columns].index((metric, fill))
        return next((line.entries[index] for line in self.lines if line.variant == variant), None)


def write_tables(run: Run) -> list[AblationTable]:
    """Write ``scores.parquet`` and ``table.md``, ``.csv``, ``.json`` from the finished cells; no model is run.

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
    notes = _notes(cells, done)
    folder = run.folder / FOLDER
    write_text(folder / "table.md", markdown(tables, notes))
    write_text(folder / "table.csv", csv_text(tables))
    about = {"name": run.config.name, "dataset": run.config.data.name, "notes": notes, "variants": variants}
    write_json(folder / "table.json", {**about, "rows": summary})
    return tables


def variant_facts(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """What is known of each variant over its finished seeds, as JSON values."""
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
) -> list[AblationTable]:
    """One table for each modality and granularity, lines in the order of ``variants``.

    Args:
        summary: lines of :func:`~sidelight.lab.metrics.statistics.summarise`, the variant as ``method``.
        variants: from :func:`variant_facts`.
    """
    # what is known of a map as it is given has no granularity and belongs to every table
    given = [r for r in summary if r["granularity"] in ANY]
    settings: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in summary:
        if row["granularity"] not in ANY:
            settings.setdefault((str(row["modality"]), str(row["granularity"])), []).append(row)
    if not settings:
        return [_table(given, "", "", variants)]
    return [_table([*rows, *given], *setting, variants) for setting, rows in settings.items()]


def _table(
    rows: Sequence[Mapping[str, Any]],
    modality: str,
    granularity: str,
    variants: Sequence[Mapping[str, Any]],
) -> AblationTable:
    fills = dict.fromkeys(_fill(r) for r in rows)
    cases = {(str(r["metric"]), _fill(r)) for r in rows}
    columns = tuple((c, fill) for c in columns_of(rows) for fill in fills if (c.name, fill) in cases)
    numbers = {(str(r["method"]), str(r["metric"]), _fill(r)): _entry(r) for r in rows}
    lines = [
        Line(
            variant=str(v["name"]),
            seeds=len(v["seeds"]),
            collapsed=len(v["collapsed"]),
            entries=tuple(numbers.get((str(v["name"]), c.name, fill)) for c, fill in columns),
        )
        for v in variants
    ]
    heading = _heading(rows, modality, granularity)
    return AblationTable(heading, modality, granularity, columns, tuple(_ranked(lines, columns)))


def _entry(row: Mapping[str, Any]) -> Entry:
    sd = row.get("seed_sd")
    return Entry(float(row["mean"]), None if sd is None else float(sd), int(row["n"]), int(row["seeds"]))


def _fill(row: Mapping[str, Any]) -> str:
    return "" if row["fill"] in ANY else str(row["fill"])


def _heading(rows: Sequence[Mapping[str, Any]], modality: str, granularity: str) -> str:
    if not rows:
        return "nothing measured"
    counts = sorted({int(r["n"]) for r in rows if r["granularity"] not in ANY})
    n = f"n = {counts[-1]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"
    return " · ".join([str(rows[0]["dataset"]), modality, f"by {granularity}", n])


def _ranked(lines: Sequence[Line], columns: Sequence[tuple[Column, str]]) -> list[Line]:
    """Places 1, 2, ... of every column, equal values sharing one; collapsed variants have none."""
    entries = [list(line.entries) for line in lines]
    for i, (column, _) in enumerate(columns):
        sound = [e[i] for e, line in zip(entries, lines, strict=True) if not line.collapsed]
        values = sorted({column.key(e.mean) for e in sound if e is not None})
        for row, line in zip(entries, lines, strict=True):
            entry = row[i]
            if entry is not None and not line.collapsed and column.direction:
                row[i] = replace(entry, place=values.index(column.key(entry.mean)) + 1)
    return [replace(line, entries=tuple(row)) for line, row in zip(lines, entries, strict=True)]


def markdown(tables: Sequence[AblationTable], notes: Sequence[str] = ()) -> str:
    """The tables as Markdown, with a legend."""
    blocks = []
    for table in tables:
        head = ["variant", "seeds", *(f"{c.label} {c.arrow} {fill}".strip() for c, fill in table.columns), ""]
        lines = [head, ["---", *["---:"] * (len(head) - 2), "---"]]
        lines += [
            [
                line.variant.replace("|", "\\|"),
                str(line.seeds),
                *(_marked(e, c) for e, (c, _) in zip(line.entries, table.columns, strict=True)),
                line.state,
            ]
            for line in table.lines
        ]
        blocks.append(f"### {table.heading}\n\n" + "\n".join(f"| {' | '.join(x)} |" for x in lines) + "\n")
    return "\n".join([*blocks, LEGEND, *(f"\n{note}" for note in notes), ""])


def _marked(entry: Entry | None, column: Column) -> str:
    if entry is None:
        return ""
    text = f"{entry.mean:.{column.digits}f}"
    text = {1: f"**{text}**", 2: f"<u>{text}</u>"}.get(entry.place or 0, text)
    return text if entry.sd is None else f"{text} ±{short(entry.sd)}"


def csv_text(tables: Sequence[AblationTable]) -> str:
    """The tables as CSV: for each metric and fill its mean, the seeds' standard deviation, and n."""
    columns = dict.fromkeys((c.name, fill) for table in tables for c, fill in table.columns)
    keys = [f"{name}.{fill}" if fill else name for name, fill in columns]
    head = [f"{key}.{part}" for key in keys for part in ("mean", "sd", "n")]
    out = io.StringIO()
    writer = csv.DictWriter(
        out, ["modality", "granularity", "variant", "seeds", "collapsed", *head], lineterminator="\n"
    )
    writer.writeheader()
    for table in tables:
        for line in table.lines:
            row: dict[str, Any] = {"modality": table.modality, "granularity": table.granularity}
            row.update(variant=line.variant, seeds=line.seeds, collapsed=line.collapsed)
            for (column, fill), entry in zip(table.columns, line.entries, strict=True):
                key = f"{column.name}.{fill}" if fill else column.name
                if entry is not None:
                    row.update({f"{key}.mean": entry.mean, f"{key}.sd": entry.sd, f"{key}.n": entry.n})
            writer.writerow({k: for_csv(v) for k, v in row.items()})
    return out.getvalue()


def terminal(table: AblationTable) -> RichTable:
    """The main columns of a table for the terminal, under its first fill."""
    first = next((fill for _, fill in table.columns if fill), "")
    shown = [i for i, (c, fill) in enumerate(table.columns) if c.name in HEADLINE and fill in (first, "")]
    out = RichTable(
        title=Text(f"{table.heading}, {first} fill" if first else table.heading),
        title_justify="left",
        caption=Text("†: collapsed with at least one seed, and not ranked; flat: share of constant maps"),
        caption_justify="left",
        header_style="dim",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 0, 0, 1),
        collapse_padding=True,
    )
    out.add_column("variant", no_wrap=True)
    for column in (table.columns[i][0] for i in shown):
        label = "flat" if column.name == CONSTANT else SHORT.get(column.name, column.label)
        out.add_column(Text(f"{label} {column.arrow}".strip()), justify="right")
    for line in table.lines:
        cells = [_terminal_cell(line.entries[i], table.columns[i][0]) for i in shown]
        name = Text(line.variant + (" †" if line.collapsed else ""))
        out.add_row(name, *cells, style="dim" if line.collapsed else "")
    return out


def _terminal_cell(entry: Entry | None, column: Column) -> Text:
    if entry is None:
        return Text("")
    look = {1: "bold green", 2: "underline"}.get(entry.place or 0, "")
    return Text(f"{entry.mean:.{column.digits}f}", look)


def _notes(cells: Sequence[Cell], done: Sequence[Cell]) -> list[str]:
    """Which variants are not in the table, or not with every seed; why some have no numbers."""
    messages = [(*c.key, str((c.facts or {})["message"])) for c in done]
    notes = [f"{name}, seed {seed}: {message}" for name, seed, message in messages if message]
    finished = {c.key for c in done}
    missing: dict[str, list[str]] = {}
    for name, seed in (c.key for c in cells):
        if (name, seed) not in finished:
            missing.setdefault(name, []).append(str(seed))
    if missing:
        listed = "; ".join(f"{name} (seed {', '.join(seeds)})" for name, seeds in missing.items())
        notes.append(f"Not trained, or not measured as the configuration says now: {listed}.")
    return notes
