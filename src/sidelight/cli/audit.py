"""``sidelight audit``: checks whether a scorer's maps depend on what they should."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sidelight.cli.common import (
    JsonOption,
    RunArgument,
    SetOption,
    changed_run,
    say,
    with_settings,
    write_rows,
)
from sidelight.cli.stopping import resumes
from sidelight.core.quiet import quiet_libraries

if TYPE_CHECKING:
    from sidelight.lab.config.sections import RunConfig

NAME = "audit"


CheckOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Check to make: parameters, retraining, encoding, stability or classes. Repeatable (default: all)."
    ),
]
OtherOption = Annotated[
    Path | None,
    typer.Option(
        help="Run folder with another classifier of the same data: do the masks keep its prediction?",
        file_okay=False,
    ),
]


def run(
    folder: RunArgument,
    check: CheckOption = None,
    other: OtherOption = None,
    set_: SetOption = None,
    json: JsonOption = None,
) -> None:
    """Check whether the maps of RUN's scorer and of some other methods depend on what they should.

    parameters: do maps change if the classifier's weights are drawn anew?

    retraining: is a scorer beside a random classifier any different?

    encoding: does another classifier read the masked inputs too?

    stability: do maps stay if the input changes a little?

    classes: do maps show more than the class?

    Answers go to RUN/audit/. Finished checks are not repeated.
    """
    quiet_libraries()
    resumes()
    from sidelight.core.terminal import print_table
    from sidelight.lab.audit import CHECKS, run_audit
    from sidelight.lab.runs.run import Run
    from sidelight.lab.tables.terminal import terminal

    def settings(config: RunConfig) -> RunConfig:
        return with_settings(config, set_ or [], folder)

    with changed_run(folder, settings, NAME) as current:
        found = run_audit(current, check or [], Run.open(other) if other is not None else None)
    for name, findings in found.items():
        say(f"\n{CHECKS[name].title}: {CHECKS[name].question}")
        for table in CHECKS[name].tables(findings):
            print_table(terminal(table))
    write_rows([{"check": name, **row} for name, f in found.items() for row in f["rows"]], json)
    say(f"audit: {folder}/audit/audit.md, a JSON file and pictures for each check")
