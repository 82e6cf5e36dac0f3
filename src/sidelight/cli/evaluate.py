"""``sidelight evaluate``: measure a run's scorers and the baseline methods."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sidelight.cli.common import (
    JsonOption,
    RunArgument,
    SetOption,
    ShardOption,
    changed_run,
    evaluation_rows,
    print_summary,
    say,
    tell_notes,
    with_settings,
    write_rows,
)
from sidelight.cli.stopping import resumes
from sidelight.core.quiet import quiet_libraries

if TYPE_CHECKING:
    from sidelight.lab.config.sections import RunConfig

NAME = "evaluate"


MapsOption = Annotated[
    list[Path] | None,
    typer.Option(
        help="File of maps from elsewhere (.npz or .parquet): one more method, named after the file. Repeatable."
    ),
]


def run(
    folder: RunArgument,
    maps: MapsOption = None,
    set_: SetOption = None,
    shard: ShardOption = None,
    json: JsonOption = None,
) -> None:
    """Measure every method of RUN on its test split.

    If the command is killed, call it again, and it continues. Several GPUs
    share the work with: accelerate launch -m sidelight.cli evaluate RUN
    """
    quiet_libraries()
    resumes()
    from sidelight.core.processes import Share
    from sidelight.lab.evaluation.foreign_maps import with_maps
    from sidelight.lab.evaluation.run import evaluate_share

    def settings(config: RunConfig) -> RunConfig:
        found = with_settings(config, set_ or [], folder)
        return with_maps(found, maps) if maps else found

    share = Share.parse(shard)
    with changed_run(folder, settings, NAME, "" if share is None else share.name) as current:
        results = evaluate_share(current, share)
    if results is None:
        say(f"shard {shard} is done; the results are written by the shard that finishes last")
        return
    print_summary(results["rows"])
    tell_notes(results["notes"])
    write_rows(evaluation_rows(results["rows"]), json)
    say(
        f"results: {current.results_folder}/results.json, table.md, scores.parquet   next: sidelight report {folder}"
    )
