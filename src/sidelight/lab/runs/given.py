"""What stands in the place of a run: many give its folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sidelight.errors import InputTypeError
from sidelight.lab.runs.run import Run


def require_run(run: Any) -> None:
    """Refuse what is no run. Raises :class:`InputTypeError`."""
    if not isinstance(run, Run):
        raise InputTypeError(f"expected a run: give Run.open(folder); got {type(run).__name__}.")


def require_runs(runs: Any) -> None:
    """Refuse what is no list of runs. Raises :class:`InputTypeError`."""
    if isinstance(runs, (str, bytes)) or not isinstance(runs, Sequence):
        raise InputTypeError(
            f"expected a list of runs: give [Run.open(folder), ...]; got {type(runs).__name__}."
        )
    for run in runs:
        require_run(run)
