"""``sidelight report``: one self-contained page of a run."""

from __future__ import annotations

from sidelight.cli.common import OverwriteOption, RunArgument, say
from sidelight.core.quiet import quiet_libraries

NAME = "report"


def run(folder: RunArgument, overwrite: OverwriteOption = False) -> None:
    """Write the page RUN/report.html from the stored results of `sidelight evaluate`."""
    quiet_libraries()
    from sidelight.core.ownership import overwriting
    from sidelight.lab.report.page import report_runs
    from sidelight.lab.runs.run import Run

    current = Run.open(folder)
    with overwriting(overwrite):
        path = report_runs([current], current.folder / "report.html", title=current.config.name)
    say(f"report: {path}")
