"""``sidelight tables``: tables, figures and tests for a paper from stored results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sidelight.cli.common import OverwriteOption, say, tell_publication
from sidelight.core.quiet import quiet_libraries

NAME = "tables"


RunsArgument = Annotated[
    list[Path],
    typer.Argument(metavar="RUN", help="Run folders that were evaluated. Each is a block of the tables."),
]
MetricOption = Annotated[
    list[str] | None, typer.Option(help="Metric to show as a column. Repeatable (default: the main metrics).")
]
RankOption = Annotated[
    list[str] | None,
    typer.Option(
        "--rank-by", help="Metric by which methods are ranked. Repeatable (default: those of faithfulness)."
    ),
]
ThesisOption = Annotated[
    list[Path] | None,
    typer.Option(help="CSV file of published numbers, to show beside ours. Repeatable."),
]


def run(
    folders: RunsArgument,
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("tables"),
    metric: MetricOption = None,
    rank_by: RankOption = None,
    alpha: Annotated[float, typer.Option(help="Significance level of the critical difference.")] = 0.05,
    overwrite: OverwriteOption = False,
    figures: Annotated[bool, typer.Option(help="Also draw the figures.")] = True,
    thesis: ThesisOption = None,
) -> None:
    """Write tables (Markdown, CSV, LaTeX), figures and paired tests of one or several runs, from stored results."""
    quiet_libraries()
    from sidelight.core.ownership import overwriting
    from sidelight.lab.report.publication import FIGURES, write_publication

    with overwriting(overwrite):
        found = write_publication(
            folders,
            out,
            metrics=metric or [],
            ranked=rank_by or [],
            alpha=alpha,
            figures=figures,
            published=thesis or [],
        )
    tell_publication(found)
    say(f"tables: {out}/tables.md, tables.csv, tables.tex   tests: statistics.csv, ranks.csv, cases.csv")
    if out / "published.md" in found.files:
        say(f"beside published numbers: {out}/published.md, published.csv")
    drawn = sum(path.suffix == ".pdf" for path in found.files)
    if drawn:
        say(
            f"figures: {drawn} in {out}/{FIGURES}, PNG and PDF   LaTeX: figures.tex, document.tex (all of it)"
        )
