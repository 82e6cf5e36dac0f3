"""``sidelight evaluate``: measure a run's scorers and their rivals."""

from __future__ import annotations

from sidelight.cli.common import (
    JsonOption,
    RunArgument,
    SetOption,
    evaluation_rows,
    print_summary,
    quiet_libraries,
    say,
    write_rows,
)

NAME = "evaluate"


def run(folder: RunArgument, set_: SetOption = None, json: JsonOption = None) -> None:
    """Measure every method of RUN on its test split; an interrupted evaluation continues."""
    quiet_libraries()
    from sidelight.benchmark.run import evaluate_run
    from sidelight.config import dump_config, parse_config
    from sidelight.experiment import Run

    current = Run.open(folder)
    if set_:
        import yaml

        config = parse_config(yaml.safe_load(dump_config(current.config)), set_)
        current = Run.create(folder, config)
    results = evaluate_run(current)
    print_summary(results["rows"])
    for note in results["notes"]:
        say(f"note: {note}")
    write_rows(evaluation_rows(results["rows"]), json)
    say(f"results: {folder}/results.json, table.md, scores.parquet   next: sidelight report {folder}")
