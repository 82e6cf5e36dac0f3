"""The command line, a file for each command. Imports are late so that ``--help`` is instant."""

from __future__ import annotations

import sys

from sidelight.cli.common import tell_error


def main() -> None:
    """Entry point of ``sidelight``. Errors that a user can act on are printed without a traceback."""
    from sidelight.cli.app import app
    from sidelight.errors import SidelightError

    try:
        app()
    except SidelightError as error:
        tell_error(str(error))
        sys.exit(2)
