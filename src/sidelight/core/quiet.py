"""Warnings shown once, or not at all, without an effect on other threads.

``warnings.catch_warnings`` swaps the filters of the whole process, so two threads inside it may leave the wrong ones.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count

from sidelight.core.processes import is_main

_told: ContextVar[set[type[Warning]] | None] = ContextVar("told", default=None)
_names: ContextVar[Sequence[str]] = ContextVar("names", default=())
_filters = threading.Lock()
_numbers = count()


@contextmanager
def told_once(told: set[type[Warning]], names: Sequence[str] = ()) -> Iterator[None]:
    """Within the context :func:`warn` leaves out the kinds in ``told``, and adds each kind that it shows.

    Args:
        told: kinds of warnings. Within another such context, the set of the outermost one counts instead.
        names: of the samples that are read within the context, for :func:`sample_name`.
    """
    outer = _told.get()
    tokens = _told.set(told if outer is None else outer), _names.set(names)
    try:
        yield
    finally:
        _told.reset(tokens[0])
        _names.reset(tokens[1])


def sample_name(index: int) -> str:
    """How a warning names the sample ``index`` of a batch: by its row in the user's data, if that is known."""
    names = _names.get()
    return names[index] if index < len(names) else f"sample {index}"


def warn(message: str, category: type[Warning], stacklevel: int = 2) -> None:
    """As ``warnings.warn``, unless ``category`` was shown in this context already (:func:`told_once`)."""
    told = _told.get()
    if is_told(category):
        return
    if told is not None:
        told.add(category)
    warnings.warn(message, category, stacklevel=stacklevel + 1)


def is_told(category: type[Warning]) -> bool:
    """Whether :func:`warn` would leave out a warning of ``category`` here."""
    told = _told.get()
    return told is not None and category in told


@contextmanager
def ignored_warnings(*messages: str) -> Iterator[None]:
    """Within the context warnings are hidden if their text begins with one of the expressions ``messages``.

    Exactly the filters that were added are removed again, in whatever order threads leave.
    """
    own = [f"(?:{message})(?#{next(_numbers)})" for message in messages]  # equal to no filter of the caller's
    with _filters:
        for pattern in own:
            warnings.filterwarnings("ignore", message=pattern)
    try:
        yield
    finally:
        with _filters:
            for entry in [f for f in warnings.filters if getattr(f[1], "pattern", None) in own]:
                warnings.filters.remove(entry)  # type: ignore[attr-defined]


@contextmanager
def one_speaks() -> Iterator[None]:
    """Within the context, of several processes that do the same only the first one logs. Errors are logged by all."""
    logger = logging.getLogger("sidelight")
    before = logger.level
    if not is_main():
        logger.setLevel(max(before, logging.ERROR))
    try:
        yield
    finally:
        logger.setLevel(before)


def quiet_libraries() -> None:
    """Hide the remarks of libraries, for example about missing optional packages."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    from sidelight.core.terminal import SafeFormatter

    handler = logging.StreamHandler()
    handler.setFormatter(SafeFormatter("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("sidelight").setLevel(logging.INFO)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    if not is_main():  # of several processes one speaks
        logging.getLogger("sidelight").setLevel(logging.ERROR)
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
