"""Errors of a data loader's worker processes in their own words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from sidelight.errors import SidelightError


@contextmanager
def words_of_workers() -> Iterator[None]:
    """Within the context an error of ours that a worker process raised comes out as it was, without the worker's traceback."""
    try:
        yield
    except SidelightError as error:
        # torch raises the same class again, with the traceback as its text
        message = str(error)
        found = re.split(r"\nsidelight\.errors\.\w+: ", message)
        if not message.startswith("Caught ") or len(found) < 2:
            raise
        raise type(error)(found[-1].strip()) from error
