"""The command line, a file for each command. Imports are late so that ``--help`` is instant."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from sidelight.cli.common import tell_error
from sidelight.core.freed_memory import keep_freed_memory


def main() -> None:
    """Entry point of ``sidelight``. Errors that a user can act on are printed without a traceback."""
    from sidelight.cli.app import app
    from sidelight.core.refusals import not_reached
    from sidelight.errors import SidelightError

    keep_freed_memory()
    try:
        app()
    except SidelightError as error:
        tell_error(str(error))
        sys.exit(2)
    except PermissionError as error:
        tell_error(str(not_reached(os.fsdecode(error.filename or "a file"), error)))
        sys.exit(2)
    except OSError as error:  # of the place that the output goes to, e.g. a full disk
        _drop_output()
        where = f" ({os.fsdecode(error.filename)})" if isinstance(error.filename, (str, bytes)) else ""
        tell_error(f"the system refused to go on: {error.strerror or error}{where}.")
        sys.exit(2)


def _drop_output() -> None:
    """What is still to be printed goes nowhere, because Python would fail on it again at its end."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
