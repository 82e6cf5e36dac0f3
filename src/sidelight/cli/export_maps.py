"""``sidelight export-maps``: the maps of one method, for another benchmark or for this one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sidelight.cli.common import OverwriteOption, RunArgument, say
from sidelight.core.quiet import quiet_libraries

NAME = "export-maps"


def run(
    folder: RunArgument,
    out: Annotated[Path, typer.Option(help="File to write, .npz or .parquet.", dir_okay=False)],
    method: Annotated[
        str, typer.Option(help="sidelight, or a baseline method of `sidelight list`.")
    ] = "sidelight",
    seed: Annotated[int | None, typer.Option(help="Seed of the scorer (default: the first).")] = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="Number of test samples (default: as in the evaluation).")
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Write the maps of one method on RUN's test split to a file, as `sidelight evaluate --maps` reads it."""
    quiet_libraries()
    from sidelight.core.files import file_path
    from sidelight.core.ownership import overwriting, require_free
    from sidelight.lab.evaluation.export import export_maps
    from sidelight.lab.runs.run import Run

    with overwriting(overwrite):
        require_free([file_path(out)], "Choose another --out, or replace this file with --overwrite.")
        say(f"maps: {export_maps(Run.open(folder), out, method, seed, count)}")
