"""``sidelight evaluate``: measure a run's scorers and their rivals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sidelight.cli.common import (
    JsonOption,
    RunArgument,
    SetOption,
    ShardOption,
    evaluation_rows,
    print_summary,
    say,
    write_rows,
)
from sidelight.core.quiet import quiet_libraries

NAME = "evaluate"


def run(
    folder: RunArgument,
    maps: Annotated[
        list[Path] | None,
        typer.Option(
            help="Maps made elsewhere, .npz or .parquet: one more row, named after the file. Repeatable."
        ),
    ] = None,
    set_: SetOption = None,
    shard: ShardOption = None,
    json: JsonOption = None,
) -> None:
    """Measure every method of RUN on its test split; an interrupted evaluation continues.

    Several GPUs: accelerate launch -m sidelight.cli evaluate RUN.
    """
    quiet_libraries()
    from sidelight.core.processes import Share, wait
    from sidelight.errors import SidelightError
    from sidelight.lab.config.files import dump_config, parse_config
    from sidelight.lab.evaluation.foreign_maps import with_maps
    from sidelight.lab.evaluation.preflight import check_run
    from sidelight.lab.evaluation.run import evaluate_share
    from sidelight.lab.runs.run import Run

    share = Share.parse(shard)
    current = before = Run.open(folder)
    wait()  # all have read the configuration before one of them changes it
    if set_:
        import yaml

        config = parse_config(yaml.safe_load(dump_config(before.config)), set_)
        check_run(config, folder)
        current = Run.create(folder, config)
    if maps:
        current = Run.create(folder, with_maps(current.config, maps))
    try:
        results = evaluate_share(current, share)
    except SidelightError:  # the folder goes on saying what its results were made with
        Run.create(folder, before.config)
        raise
    if results is None:
        say(f"shard {shard} is done; the results are written by the shard that finishes last")
        return
    print_summary(results["rows"])
    for note in results["notes"]:
        say(f"note: {note}")
    write_rows(evaluation_rows(results["rows"]), json)
    say(
        f"results: {current.results_folder}/results.json, table.md, scores.parquet   next: sidelight report {folder}"
    )
