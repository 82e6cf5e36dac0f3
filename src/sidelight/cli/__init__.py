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
        from sidelight.terminal import SafeConsole

        SafeConsole(stderr=True, soft_wrap=True).print("error:", str(error), style="bold red")
        sys.exit(2)
