"""The command line, one file a command; imports are late so that ``--help`` is instant."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of ``sidelight``; errors a user can act on are printed without a traceback."""
    from sidelight.cli.app import app
    from sidelight.errors import SidelightError

    try:
        app()
    except SidelightError as error:
        from rich.console import Console

        from sidelight.safe_output import for_lines

        Console(stderr=True, soft_wrap=True).print(
            "error:", for_lines(error), style="bold red", markup=False, highlight=False
        )
        sys.exit(2)
