"""``sidelight demo``: the whole job on embedded data."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from time import monotonic
from typing import Annotated

import typer

from sidelight.cli.common import (
    JsonOption,
    OverwriteOption,
    SetOption,
    evaluation_rows,
    print_summary,
    say,
    tell_notes,
    write_rows,
)
from sidelight.cli.stopping import resumes
from sidelight.core.quiet import quiet_libraries

NAME = "demo"


def run(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path("demo-out"),
    part: Annotated[
        list[str] | None,
        typer.Option(help="Part to make: scenes, digits or planted_text. Repeatable (default: all)."),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="How many parts run side by side (default: one for each core)."),
    ] = None,
    set_: SetOption = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = None,
) -> None:
    """Train, explain and measure on embedded data, in five minutes on two cores. Nothing is downloaded.

    The first map is in the terminal within a minute. At the end a report page shows maps and tables.
    """
    quiet_libraries()
    resumes()
    from sidelight.core.ownership import overwriting
    from sidelight.lab.demo.run import run_demo

    with overwriting(overwrite):
        results, page = run_demo(out, set_ or [], part or [], jobs, partial(_tell, monotonic()))
    print_summary([row for r in results for row in r["rows"]], brief=True)
    tell_notes([note for r in results for note in r["notes"]])
    write_rows(evaluation_rows([row for r in results for row in r["rows"]]), json)
    say(f"pictures: {out}/explanations   report: {page}")


def _tell(begun: float, text: str, picture: Path | None) -> None:
    """A line with the seconds since the demo began, and a map, if the terminal can show it."""
    say(f"{monotonic() - begun:4.0f} s  {text}")
    from sidelight.core.terminal import SafeConsole

    console = SafeConsole()
    if picture is not None and console.is_terminal:
        from sidelight.lab.demo.terminal import show

        console.print(show(picture))
