"""Tables, figures and tests for a paper, from the stored values of one or several runs; runs no model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sidelight.core.files import as_utf8
from sidelight.core.folders import folder_path, require_folder_place
from sidelight.core.ownership import own_folder, require_free
from sidelight.core.safe_output import csv_of
from sidelight.errors import InputError
from sidelight.lab.evaluation.methods import OURS
from sidelight.lab.evaluation.run import plain_rows
from sidelight.lab.figures.critical_difference import plot_critical_difference
from sidelight.lab.figures.curves import plot_curves
from sidelight.lab.metrics.base import METRICS
from sidelight.lab.metrics.protocols import PROTOCOLS
from sidelight.lab.metrics.rank_tests import RANKED, AverageRanks, average_ranks, case_means, case_ranks
from sidelight.lab.metrics.statistics import better_reduction, paired_tests, select_reductions, summarise
from sidelight.lab.report.figures import Picture, radar_of, tradeoff_of
from sidelight.lab.report.paper import beside, markdown_beside, read_published
from sidelight.lab.report.reading import setting_name
from sidelight.lab.report.stored import StoredRun, read_runs
from sidelight.lab.tables.comparison import LEGEND, Comparison, build_comparisons, csv_text, markdown, slug
from sidelight.lab.tables.latex import latex_document, latex_figures, latex_table
from sidelight.lab.tables.summary import Table
from sidelight.lab.tables.table import escape
from sidelight.viz import style
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
CAUTION = "Cases of one data set share its samples and are not independent, so the critical difference is optimistic."


@dataclass(frozen=True)
class Ranking:
    """Average ranks over the cases of one ``scope``, e.g. ``"all cases"`` or ``"image+text"``."""

    scope: str
    found: AverageRanks

    @property
    def sentence(self) -> str:
        """Ranks and test in words."""
        ranks = ", ".join(f"{style.method_label(m)} {r:.2f}" for m, r in self.found.ranks.items())
        few, many = self.found.samples
        n = f"n = {few}" if few == many else f"n = {few}–{many}"
        return (
            f"{self.scope} ({self.found.cases} cases, {n}): {ranks}. Friedman χ² = {self.found.statistic:.1f}, "
            f"p = {self.found.p:.2g}; critical difference {self.found.critical_difference:.2f} "
            f"at level {self.found.alpha:g}."
        )


#: kinds of picture files, and what draws them
FORMATS = {"png": to_png, "pdf": to_pdf}


@dataclass(frozen=True)
class Publication:
    """What was written: the files, and the rankings for a word in the terminal."""

    files: tuple[Path, ...]
    rankings: tuple[Ranking, ...]
    notes: tuple[str, ...]


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

    All files are written beside their places first and then moved, so a failure leaves what was there.

    Args:
        folders: run folders after ``sidelight evaluate``; each is a block of the tables.
        out: folder, made where it is not there.
        metrics: columns (default: those of :data:`~sidelight.lab.tables.comparison.COLUMNS` that are stored).
        ranked: metrics whose cases are ranked (default: :data:`~sidelight.lab.metrics.rank_tests.RANKED`).
        alpha: level of the critical difference.
        figures: draw them too.
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
    summaries = [summarise(run.rows, dataset=run.dataset) for run in runs]
    comparisons, tables = build_comparisons([r for s in summaries for r in plain_rows(s)], metrics, OURS)
    if not comparisons:
        raise InputError(f"the runs hold no values of {', '.join(metrics) or 'any metric'}.")
    means = case_means(pd.concat([_ranked_rows(run) for run in runs]), ranked or RANKED)
    rankings, notes = _rankings(means, alpha)
    side_by_side, found = _beside(runs, summaries, published)
    notes += found
    pictures = _pictures_by_name(_pictures(runs, tables, rankings)) if figures else {}
    captions = {name: picture.caption for name, picture in pictures.items()}
    texts = {
        "tables.md": _markdown(comparisons, captions, rankings, [*_run_notes(runs), *notes]),
        "tables.csv": csv_text(comparisons),
        "tables.tex": "\n".join(latex_table(c) for c in comparisons),
        "statistics.csv": csv_of(_tests(runs, summaries)),
        "ranks.csv": csv_of(_rank_table(rankings)),
        "cases.csv": csv_of(_case_table(means)),
        "document.tex": latex_document(["tables", "figures"] if pictures else ["tables"]),
    }
    texts |= side_by_side
    if pictures:
        texts["figures.tex"] = latex_figures(captions, FIGURES)
    files = {out / name: as_utf8(text) for name, text in texts.items()}
    for name, picture in pictures.items():
        files |= {out / FIGURES / f"{name}.{kind}": draw(picture.figure) for kind, draw in FORMATS.items()}
    own_folder(out)
    write_atomic(files)
    return Publication(tuple(files), tuple(rankings), tuple(notes))


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


def _beside(
    runs: Sequence[StoredRun], summaries: Sequence[pd.DataFrame], published: Sequence[str | Path]
) -> tuple[dict[str, str], list[str]]:
    """Files that put ours beside published numbers, and sentences on what found no counterpart."""
    numbers, notes = [], []
    for path in published:
        own, unknown = read_published(path)
        numbers += own
        notes += unknown
    lines = beside(runs, summaries, numbers)
    if lines.empty:
        return {}, [
            *notes,
            "The runs and the published numbers have no cell in common.",
        ] if published else notes
    return {"published.md": markdown_beside(lines), "published.csv": csv_of(lines)}, notes


def _ranked_rows(run: StoredRun) -> pd.DataFrame:
    """Trivial maps are not ranked: one that keeps everything would be first in average drop; nor is what a
    protocol scores by units that do not compare.
    """
    comparable = run.rows["modality"].str.split("+").map(PROTOCOLS[run.protocol].comparable)
    return run.rows[~run.rows["method"].map(style.is_control).astype(bool) & comparable.astype(bool)]


def _tests(runs: Sequence[StoredRun], summaries: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Ours against every other method; a line a comparison."""
    frames = []
    for run, summary in zip(runs, summaries, strict=True):
        chosen = select_reductions(run.rows, better_reduction(summary))
        tests = paired_tests(chosen, OURS)
        tests.insert(0, "dataset", run.dataset)
        frames.append(tests)
    return pd.concat(frames, ignore_index=True)


def _rankings(means: pd.DataFrame, alpha: float) -> tuple[list[Ranking], list[str]]:
    """Over all cases, and over those of each data set, modality and granularity where there are several."""
    if means.empty:
        return [], ["No average ranks: the runs hold none of the metrics that are ranked."]
    rankings, notes = [], []
    for scope, part in _scopes(means):
        try:
            found = average_ranks(part.dropna(axis="columns", how="all"), alpha)
        except InputError as error:
            notes.append(f"No average ranks over {scope}: {error}")
            continue
        rankings.append(Ranking(scope, found))
        if found.left_out:
            names = ", ".join(style.method_label(m) for m in found.left_out)
            notes.append(f"Not ranked over {scope}, because some case lacks them: {names}.")
    return rankings, notes


def _scopes(means: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    yield "all cases", means
    for level, words in (("dataset", "{}"), ("modality", "{}"), ("granularity", "by {}")):
        values = means.index.get_level_values(level)
        names = list(dict.fromkeys(values))
        for name in names if len(names) > 1 else []:
            yield words.format(name), means[values == name]


def _rank_table(rankings: Sequence[Ranking]) -> pd.DataFrame:
    columns = ["scope", "method", "average_rank", "methods", "cases", "n_min", "n_max"]
    columns += ["friedman_chi2", "friedman_p", "critical_difference", "alpha"]
    lines = []
    for ranking in rankings:
        f = ranking.found
        about = (len(f.ranks), f.cases, *f.samples, f.statistic, f.p, f.critical_difference, f.alpha)
        lines += [(ranking.scope, method, rank, *about) for method, rank in f.ranks.items()]
    return pd.DataFrame(lines, columns=columns)


def _case_table(means: pd.DataFrame) -> pd.DataFrame:
    """What the ranks were made from: mean and rank of every method in every case."""
    if means.empty:
        return pd.DataFrame(columns=["dataset", "method", "mean", "rank"])
    found = pd.DataFrame({"mean": means.stack(), "rank": case_ranks(means).stack()}).dropna()
    return found.rename_axis([*means.index.names, "method"]).reset_index()


def _pictures(
    runs: Sequence[StoredRun], tables: Sequence[Table], rankings: Sequence[Ranking]
) -> Iterator[tuple[str, Picture]]:
    """File name without ending, and figure."""
    curves = {run.dataset: run.curves for run in runs}
    for table in tables:
        key = slug(table.dataset, table.modality, table.granularity, table.fill)
        about = f"{table.dataset}, {table.modality}, {setting_name(table)}, n = {table.n}. "
        for kind, picture in (
            ("radar", radar_of(table)),
            ("tradeoff", tradeoff_of(table)),
            ("curves", curves_of(table, curves[table.dataset])),
        ):
            if picture is not None:
                yield f"{kind}-{key}", Picture(picture.figure, about + picture.caption)
    for ranking in rankings:
        found = ranking.found
        figure = plot_critical_difference(found.ranks, found.critical_difference, found.groups)
        few, many = found.samples
        caption = (
            f"Average ranks over {ranking.scope}: {found.cases} cases, each a data set, modality, granularity, "
            f"fill and metric, n = {few if few == many else f'{few}–{many}'} samples each. A bar joins methods that "
            f"Nemenyi's test does not tell apart at level {found.alpha:g}. {CAUTION}"
        )
        yield f"ranks-{slug(ranking.scope)}", Picture(figure, caption)


def curves_of(table: Table, curves: pd.DataFrame) -> Picture | None:
    """Deletion and insertion curves of one table's setting; ``None`` where none were stored."""
    if curves.empty:
        return None
    keep = np.ones(len(curves), dtype=bool)
    for column in ("modality", "granularity", "fill"):
        keep &= (curves[column].astype(str) == getattr(table, column)).to_numpy()
    if not keep.any():
        return None
    caption = (
        f"Mean {table.axes.get('ylabel', 'probability of the predicted class')} as features are removed or inserted, "
        "most relevant first; bands are 95 % bootstrap intervals of the mean over samples. Signed methods in their better reduction."
    )
    return Picture(plot_curves(curves[keep], ours=OURS, **table.axes), caption)


def _run_notes(runs: Sequence[StoredRun]) -> list[str]:
    return [f"{run.dataset}: {note}" for run in runs for note in run.notes]


def _markdown(
    comparisons: Sequence[Comparison],
    captions: dict[str, str],
    rankings: Sequence[Ranking],
    notes: Sequence[str],
) -> str:
    parts = [markdown(c) for c in comparisons]
    parts.append(escape(LEGEND) + "\n\n" + TESTS + "\n")
    if rankings:
        lines = [f"* {escape(r.sentence)}" for r in rankings]
        parts.append("### Average ranks\n\n" + "\n".join(lines) + f"\n\n{CAUTION}\n")
    if notes:
        parts.append("### Notes\n\n" + "\n".join(f"* {escape(note)}" for note in notes) + "\n")
    if captions:
        parts.append("### Figures\n")
        parts += [f"![{name}]({FIGURES}/{name}.png)\n\n*{escape(text)}*\n" for name, text in captions.items()]
    return "\n".join(parts)
