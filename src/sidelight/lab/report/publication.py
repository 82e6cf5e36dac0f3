"""Tables, figures and tests for a paper, from the stored values of one or several runs. No model is run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sidelight.core.files import as_utf8
from sidelight.core.folders import folder_path, require_folder_place
from sidelight.core.names import OURS
from sidelight.core.ownership import own_folder, require_free
from sidelight.core.safe_output import csv_of
from sidelight.errors import InputError
from sidelight.lab.evaluation.run import plain_rows
from sidelight.lab.metrics.base import METRICS
from sidelight.lab.metrics.rank_tests import RANKED, case_means
from sidelight.lab.metrics.statistics import better_reduction, paired_tests, select_reductions, summarise
from sidelight.lab.report.figures import Picture, curves_of, radar_of, tradeoff_of
from sidelight.lab.report.paper import beside, markdown_beside, read_published
from sidelight.lab.report.rankings import CAUTION, Ranking, case_table, rank_table, ranked_rows, rankings_of
from sidelight.lab.report.stored import StoredRun, read_runs
from sidelight.lab.tables.comparison import LEGEND, Comparison, build_comparisons, csv_text, slug
from sidelight.lab.tables.latex import latex_document, latex_figures, latex_table
from sidelight.lab.tables.markdown import escape, markdown
from sidelight.lab.tables.table import Table
from sidelight.viz.export import to_pdf, to_png, write_atomic

#: folder of the pictures inside the output folder
FIGURES = "figures"
#: files that may be written beside them
TEXTS = (
    *(f"tables.{kind}" for kind in ("md", "csv", "tex")),
    *(f"{name}.csv" for name in ("statistics", "ranks", "cases", "published")),
    *("document.tex", "figures.tex", "published.md"),
)
TESTS = (
    "Paired tests are in statistics.csv: Wilcoxon's signed-rank test of ours against every other method on the "
    "samples both were measured on, Holm-corrected over the methods of one data set, fill, granularity and "
    "metric; effect is the matched-pairs rank-biserial correlation, above zero where it favours ours."
)


#: kinds of picture files and their writers
FORMATS = {"png": to_png, "pdf": to_pdf}


@dataclass(frozen=True)
class Publication:
    """The files that were written, and the rankings and notes for the terminal."""

    files: tuple[Path, ...]
    rankings: tuple[Ranking, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Study:
    """Several runs with everything computed from their rows.

    Attributes:
        runs: as stored.
        summaries: of each run, :func:`~sidelight.lab.metrics.statistics.summarise`.
        comparisons, tables: of :func:`~sidelight.lab.tables.comparison.build_comparisons`.
        means: of :func:`~sidelight.lab.metrics.rank_tests.case_means`.
        rankings: average ranks.
        notes: sentences on anything left out.
    """

    runs: list[StoredRun]
    summaries: list[pd.DataFrame]
    comparisons: list[Comparison]
    tables: list[Table]
    means: pd.DataFrame
    rankings: list[Ranking]
    notes: list[str]


def write_publication(
    folders: Sequence[str | Path],
    out: str | Path,
    *,
    metrics: Sequence[str] = (),
    ranked: Sequence[str] = (),
    alpha: float = 0.05,
    figures: bool = True,
    published: Sequence[str | Path] = (),
) -> Publication:
    """Write tables (Markdown, CSV, LaTeX), figures and tests of evaluated runs into ``out``.

    All files are first written beside their places and then moved, so earlier files survive a failure.

    Args:
        folders: run folders after ``sidelight evaluate``. Each is a block of the tables.
        out: folder, made if it is not there.
        metrics: columns (default: those of :data:`~sidelight.lab.tables.comparison.COLUMNS` that are stored).
        ranked: metrics whose cases are ranked (default: :data:`~sidelight.lab.metrics.rank_tests.RANKED`).
        alpha: level of the critical difference.
        published: CSV files of published numbers of the method, to stand beside ours in ``published.md`` and
            ``.csv`` (see :mod:`sidelight.lab.report.paper`).

    Raises:
        CheckpointError: a run is not evaluated, a file is corrupt or could not be written.
        ForeignFileError: a file in ``out`` that sidelight did not write has the name of one of ours.
        InputError: no run, two of one name, none of ``metrics`` stored, ``alpha`` outside (0, 1), or a
            published file that cannot be read.
        UnknownNameError: a metric is unknown.
    """
    _check([*metrics, *ranked], alpha)
    runs, out = read_runs(folders), folder_path(out)
    require_folder_place(out)
    require_free(
        (out / name for name in TEXTS), "Choose another --out, or replace these files with --overwrite."
    )
    study = _study(runs, metrics, ranked, alpha)
    beside_ours, unknown = _beside(study, published)
    study.notes.extend(unknown)
    pictures = _pictures_by_name(_pictures(study)) if figures else {}
    texts = _texts(study, {name: picture.caption for name, picture in pictures.items()}) | beside_ours
    files = {out / name: as_utf8(text) for name, text in texts.items()}
    for name, picture in pictures.items():
        files |= {out / FIGURES / f"{name}.{kind}": draw(picture.figure) for kind, draw in FORMATS.items()}
    own_folder(out)
    write_atomic(files)
    return Publication(tuple(files), tuple(study.rankings), tuple(study.notes))


def _study(runs: list[StoredRun], metrics: Sequence[str], ranked: Sequence[str], alpha: float) -> Study:
    summaries = [summarise(run.rows, dataset=run.dataset) for run in runs]
    comparisons, tables = build_comparisons([r for s in summaries for r in plain_rows(s)], metrics)
    if not comparisons:
        raise InputError(f"the runs hold no values of {', '.join(metrics) or 'any metric'}.")
    means = case_means(pd.concat([ranked_rows(run) for run in runs]), ranked or RANKED)
    return Study(runs, summaries, comparisons, tables, means, *rankings_of(means, alpha))


def _texts(study: Study, captions: dict[str, str]) -> dict[str, str]:
    """Contents of the text files by name."""
    texts = {
        "tables.md": _markdown(study, captions),
        "tables.csv": csv_text(study.comparisons),
        "tables.tex": "\n".join(latex_table(c.table, c.name) for c in study.comparisons),
        "statistics.csv": csv_of(_tests(study)),
        "ranks.csv": csv_of(rank_table(study.rankings)),
        "cases.csv": csv_of(case_table(study.means)),
        "document.tex": latex_document(["tables", "figures"] if captions else ["tables"]),
    }
    return texts | ({"figures.tex": latex_figures(captions, FIGURES)} if captions else {})


def _check(metrics: Sequence[str], alpha: float) -> None:
    for name in metrics:
        METRICS[name]
    if not 0 < alpha < 1:
        raise InputError(f"a level lies between 0 and 1, e.g. 0.05; got {alpha}.")


def _pictures_by_name(drawn: Iterable[tuple[str, Picture]]) -> dict[str, Picture]:
    pictures: dict[str, Picture] = {}
    for name, picture in drawn:
        # names that differ by a dot or a space only are one file name
        pictures[f"{name}-{len(pictures)}" if name in pictures else name] = picture
    return pictures


def _beside(study: Study, published: Sequence[str | Path]) -> tuple[dict[str, str], list[str]]:
    """Files that put ours beside published numbers, and sentences on those without a counterpart."""
    numbers, notes = [], []
    for path in published:
        own, unknown = read_published(path)
        numbers += own
        notes += unknown
    lines = beside(study.runs, study.summaries, numbers)
    if len(lines):
        return {"published.md": markdown_beside(lines), "published.csv": csv_of(lines)}, notes
    if published:
        notes.append("The runs and the published numbers have no cell in common.")
    return {}, notes


def _tests(study: Study) -> pd.DataFrame:
    """Ours against every other method; a line a comparison."""
    frames = []
    for run, summary in zip(study.runs, study.summaries, strict=True):
        chosen = select_reductions(run.rows, better_reduction(summary))
        tests = paired_tests(chosen, OURS)
        tests.insert(0, "dataset", run.dataset)
        frames.append(tests)
    return pd.concat(frames, ignore_index=True)


def _pictures(study: Study) -> Iterator[tuple[str, Picture]]:
    """File name without ending, and figure."""
    curves = {run.dataset: run.curves for run in study.runs}
    for table in study.tables:
        at = table.setting
        key = slug(at.dataset, at.modality, at.granularity, at.fill)
        about = f"{at.dataset}, {at.modality}, {at.name}, n = {table.n}. "
        for kind, picture in (
            ("radar", radar_of(table)),
            ("tradeoff", tradeoff_of(table)),
            ("curves", curves_of(table, curves[at.dataset])),
        ):
            if picture is not None:
                yield f"{kind}-{key}", Picture(picture.figure, about + picture.caption)
    for ranking in study.rankings:
        yield f"ranks-{slug(ranking.scope)}", ranking.picture


def _markdown(study: Study, captions: dict[str, str]) -> str:
    parts = [f"### {escape(c.title)}\n\n{markdown(c.table)}\n" for c in study.comparisons]
    parts.append(f"{escape(LEGEND)}\n\n{TESTS}\n")
    if study.rankings:
        parts.append(f"### Average ranks\n\n{_list(r.sentence for r in study.rankings)}\n\n{CAUTION}\n")
    notes = [*(f"{run.dataset}: {note}" for run in study.runs for note in run.notes), *study.notes]
    if notes:
        parts.append(f"### Notes\n\n{_list(notes)}\n")
    if captions:
        parts.append("### Figures\n")
        parts += [f"![{name}]({FIGURES}/{name}.png)\n\n*{escape(text)}*\n" for name, text in captions.items()]
    return "\n".join(parts)


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"* {escape(item)}" for item in items)
