"""``sidelight ablate``: variants of the scorer, trained and measured side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sidelight.cli.common import SetOption, say, tell_notes
from sidelight.cli.stopping import resumes
from sidelight.core.quiet import quiet_libraries

NAME = "ablate"


def run(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG", help="YAML configuration. Its section `ablation` is optional.")
    ],
    out: Annotated[Path | None, typer.Option(help="Run folder (default: runs/<name>).")] = None,
    set_: SetOption = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Name of a variant to train. Repeatable (default: all).")
    ] = None,
    table_only: Annotated[
        bool, typer.Option("--table-only", help="Only make the tables again, from stored numbers.")
    ] = False,
) -> None:
    """Train and measure variants of CONFIG's scorer beside one classifier.

    If the command is killed, call it again, and it continues.
    """
    quiet_libraries()
    resumes()
    from sidelight.core.files import read_json
    from sidelight.core.locks import hold
    from sidelight.core.terminal import print_table
    from sidelight.lab.ablation.cells import FOLDER, cells_of
    from sidelight.lab.ablation.run import run_ablation
    from sidelight.lab.ablation.table import for_terminal, write_tables
    from sidelight.lab.config.files import load_config
    from sidelight.lab.evaluation.preflight import check_run
    from sidelight.lab.runs.folder import folder_name
    from sidelight.lab.runs.run import Run

    settings = load_config(config, set_ or [])
    folder = out or Path("runs") / folder_name(settings.name, config)
    cells_of(Run(folder, settings), only or [])  # refuses unknown names before anything is written
    if table_only:
        tables = write_tables(Run(folder, settings))
    else:
        check_run(settings, folder)
        with hold(folder, NAME):  # the settings of a run are not changed while it works
            tables = run_ablation(Run.create(folder, settings), only or [])
    for table in tables:
        print_table(for_terminal(table))
    tell_notes(read_json(folder / FOLDER / "table.json")["notes"])
    say(f"tables: {folder / FOLDER}/table.md, .csv, .json   rows: scores.parquet   picture: maps.png")
