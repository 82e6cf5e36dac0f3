"""``sidelight demo``: the whole job on embedded data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sidelight.cli.common import (
    JsonOption,
    OverwriteOption,
    SetOption,
    evaluation_rows,
    print_summary,
    say,
    write_rows,
)
from sidelight.core.quiet import quiet_libraries

NAME = "demo"


def run(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path("demo-out"),
    part: Annotated[
        list[str] | None, typer.Option(help="Only this part: scenes, digits, planted_text. Repeatable.")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Parts at a time, in processes of their own (default: one a core)."),
    ] = None,
    set_: SetOption = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = None,
) -> None:
    """Train a classifier and its scorer on embedded data, explain, evaluate, report: minutes on two cores."""
    quiet_libraries()
    from sidelight.core.ownership import overwriting
    from sidelight.lab.demo.run import run_demo

    with overwriting(overwrite):
        results, page = run_demo(out, set_ or [], part or [], jobs)
    print_summary([row for r in results for row in r["rows"]], brief=True)
    for result in results:
        for note in result["notes"]:
            say(f"note: {note}")
    write_rows(evaluation_rows([row for r in results for row in r["rows"]]), json)
    say(f"pictures: {out}/explanations   report: {page}")
