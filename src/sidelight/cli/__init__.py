"""The command line, a file for each command. Imports are late so that ``--help`` is instant."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from contextlib import suppress
from typing import Any, TextIO

from sidelight.cli.stopping import BY_SIGNAL, STOPPED, tell_stopped, tidy_end


def main() -> None:
    """Entry point of ``sidelight``. Errors that a user can act on are printed without a traceback, and so is Ctrl-C."""
    # at its end Python looks for cycles among half a million objects of the libraries, which takes seconds
    atexit.register(gc.freeze)
    with tidy_end():
        try:
            _write_all_letters(sys.stdout)
            _run()
        except KeyboardInterrupt:
            tell_stopped()
            sys.exit(BY_SIGNAL + signal.SIGINT)
        except SystemExit as leave:
            if leave.code in STOPPED:
                tell_stopped()
            raise
        finally:
            _drop_unwritten()


def _run() -> None:
    """The command. What it needs is imported here, so that Ctrl-C during the imports is caught as well."""
    from sidelight.cli.app import app
    from sidelight.cli.common import tell_error
    from sidelight.core.freed_memory import keep_freed_memory
    from sidelight.core.refusals import in_lost_directory, not_reached, reason
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
        if in_lost_directory(error):
            tell_error(f"the system refused to go on: {reason(error)}")
            sys.exit(2)
        _drop(sys.stdout)
        where = f" ({os.fsdecode(error.filename)})" if isinstance(error.filename, (str, bytes)) else ""
        tell_error(f"the system refused to go on: {error.strerror or error}{where}.")
        sys.exit(2)


def _drop_unwritten() -> None:
    """Give up what could not be written to the error stream. Python would end with another exit code."""
    try:
        sys.stderr.flush()
    except OSError:
        _drop(sys.stderr)
    except (ValueError, AttributeError):  # it is closed
        pass


def _drop(stream: TextIO) -> None:
    """What is still to be printed goes nowhere, because Python would fail on it again at its end."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _write_all_letters(stream: Any) -> None:
    """Let ``stream`` write out letters that its encoding lacks, e.g. those of Greek on Windows, instead of an error."""
    encoding = (getattr(stream, "encoding", None) or "utf-8").lower().replace("_", "-")
    strict = getattr(stream, "errors", None) == "strict"  # else the user chose what happens
    if strict and encoding not in ("utf-8", "utf8") and hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
