"""``sidelight benchmark``: several runs from configuration to tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sidelight.cli.common import SetOption, ShardOption, say, tell_publication
from sidelight.cli.stopping import resumes
from sidelight.core.quiet import quiet_libraries

NAME = "benchmark"


ConfigsArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="CONFIG", help="YAML of a benchmark, as configs/benchmark.yaml, or configurations of runs."
    ),
]


def run(
    configs: ConfigsArgument,
    out: Annotated[Path, typer.Option(help="Folder of the run folders.")] = Path("runs"),
    set_: SetOption = None,
    shard: ShardOption = None,
) -> None:
    """Fit and evaluate every run that is not finished, then write the tables and figures of all runs.

    If the command is killed, call it again, and it continues. If a run
    fails, the others go on. Several GPUs share the work with:
    accelerate launch -m sidelight.cli benchmark CONFIG
    """
    quiet_libraries()
    resumes()
    from sidelight.core.processes import Share, is_main
    from sidelight.lab.benchmark.plan import load_benchmark
    from sidelight.lab.benchmark.suite import run_benchmark
    from sidelight.lab.report.publication import FIGURES

    plan = load_benchmark(configs, set_ or [])
    found = run_benchmark(plan, out, Share.parse(shard), say)
    say(f"{sum(o.evaluated for o in found.outcomes)} of {len(found.outcomes)} runs are evaluated")
    for outcome in found.outcomes:
        if outcome.error is not None:
            say(f"failed: {outcome.run.config.name}: {outcome.error}")
    if found.tables is not None:
        tell_publication(found.tables)
        drawn = f"   figures: {found.folder}/{FIGURES}" if plan.tables.figures else ""
        say(f"results: {found.folder}/tables.md, tables.csv, tables.tex, statistics.csv, ranks.csv{drawn}")
    elif found.error is not None:
        say(f"failed: no tables: {found.error}")
    elif any(o.waiting for o in found.outcomes):
        say("tables: written by the shard that finishes last")
    if found.failed and is_main():  # a launcher ends all processes with the first that fails
        raise typer.Exit(1)
