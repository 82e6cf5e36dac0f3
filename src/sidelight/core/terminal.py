"""Output on a terminal: harmless, no wider than the terminal, and without warnings in a notebook."""

from __future__ import annotations

import copy
import importlib.util
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.table import Column, Table
from rich.text import Text

from sidelight.errors import for_lines, for_terminal

T = TypeVar("T")

#: Width of what is printed in a notebook.
NOTEBOOK_COLUMNS = 80


class SafeConsole(Console):
    """A console that writes out control characters and prints brackets as brackets.

    In a notebook without ipywidgets it prints plain text. Rich would warn at each step of a bar there. In other notebooks
    it is narrow enough for a cell beside a list of files, unless ``JUPYTER_COLUMNS`` says otherwise.
    """

    def __init__(self, **options: Any) -> None:
        plain = {} if importlib.util.find_spec("ipywidgets") else {"force_jupyter": False}
        super().__init__(**{**plain, "markup": False, "emoji": False, "highlight": False, **options})
        if self.is_jupyter and not {"width", "JUPYTER_COLUMNS"} & {*options, *os.environ}:
            self.width = NOTEBOOK_COLUMNS

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(for_lines(text), **options)  # before it is measured

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            own = segment.control or segment.text.isprintable()
            yield segment if own else Segment(for_lines(segment.text), segment.style)


class _ErrorStream:
    """The error stream, which loses what cannot be written: the disk is full, or nobody reads any more."""

    def __getattr__(self, name: str) -> Any:
        return getattr(getattr(sys.stderr, "rich_proxied_file", sys.stderr), name)

    def write(self, text: str) -> int:
        with suppress(OSError, AttributeError):  # there is no stream at all
            self.__getattr__("write")(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, AttributeError):
            self.__getattr__("flush")()


class ErrorConsole(SafeConsole):
    """Prints to the error stream. Remarks and bars that cannot be written there stop no work."""

    def __init__(self, **options: Any) -> None:
        super().__init__(stderr=True, file=_ErrorStream(), **options)


class SafeFormatter(logging.Formatter):
    """Log messages as :class:`SafeConsole` prints them."""

    def format(self, record: logging.LogRecord) -> str:
        return for_lines(super().format(record))


class Words(TextColumn):
    """A column of a bar, made harmless before it is measured. Brackets are printed as brackets."""

    def __init__(self, words: str = "{task.description}") -> None:
        super().__init__(words, markup=False)

    def render(self, task: Task) -> Text:
        return Text(for_terminal(self.text_format.format(task=task)))


class Bar(Progress):
    """A bar that shows its last state in a notebook, too. There rich does not draw once more at the end."""

    def stop(self) -> None:
        if self.console.is_jupyter and self.live.is_started:
            self.refresh()
        super().stop()


def _bar_options() -> dict[str, Any]:
    """Where a bar is drawn: on the error stream, because the output may be a file or the input of another program."""
    console = SafeConsole()
    if console.is_jupyter or "ipykernel" in sys.modules:  # a notebook paints errors red
        return {"console": console}
    # what is printed meanwhile is put above the bar only if both go to one terminal
    return {"console": ErrorConsole(), "redirect_stdout": console.is_terminal}


def counting_bar(**options: Any) -> Progress:
    """A bar that counts, for a ``with`` block. It takes the options of ``rich.progress.Progress``."""
    columns = (Words(), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Bar(*columns, **{**_bar_options(), **options})


class RowsPerSecond(TextColumn):
    """A column of a bar: rows per second of this call, without those that an earlier call had finished."""

    def __init__(self) -> None:
        super().__init__("", markup=False)

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.1f} rows/s")


def row_bar(disable: bool = False) -> Progress:
    """A bar that counts rows, with rows per second and the time that is left, for a ``with`` block."""
    columns = (Words(), BarColumn(), MofNCompleteColumn(), RowsPerSecond(), TimeRemainingColumn())
    return Bar(*columns, **_bar_options(), disable=disable, speed_estimate_period=300)


def track(items: Iterable[T], what: str, total: float | None = None, disable: bool = False) -> Iterator[T]:
    """``items`` with a bar beside the word ``what``, e.g. "explaining"."""
    columns = (Words(), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Bar(*columns, **_bar_options(), disable=disable) as bar:
        yield from bar.track(items, total=total, description=what)


def print_table(table: Table) -> None:
    """Print ``table``. A table that is wider than the terminal comes in several, each with the first column.

    Title and caption have the width of the terminal. Rich would break them into lines of the width of the columns.
    """
    console = SafeConsole()
    bare = copy.copy(table)
    bare.title, bare.caption = None, None
    _print_words(console, table.title, "table.title")
    for part in fitting(bare, console):
        console.print(part)
    _print_words(console, table.caption, "table.caption")


def _print_words(console: Console, words: Any, style: str) -> None:
    if words:
        console.print(words, style=style)


def fitting(table: Table, console: Console) -> list[Table]:
    """``table``, or tables of some of its columns each that are no wider than ``console``, the first column in all."""
    if _width(table, console) <= console.width:
        return [table]
    # a long word goes on in the next line. Rich would cut it off, and two names that begin alike would be one
    first, *others = (replace(column, overflow="fold") for column in table.columns)
    if len(others) > 1:
        first.max_width = console.width // 2
    parts: list[list[Column]] = [[]]
    for column in others:
        wider = _of_columns(table, [first, *parts[-1], column])
        if parts[-1] and _width(wider, console) > console.width:
            parts.append([])
        parts[-1].append(column)
    return [_of_columns(table, [first, *part]) for part in parts]


def _of_columns(table: Table, columns: list[Column]) -> Table:
    part = copy.copy(table)
    part.columns = [replace(column, _index=i) for i, column in enumerate(columns)]
    for own, column in zip(part.columns, columns, strict=True):
        own._cells = column._cells
    return part


def _width(table: Table, console: Console) -> int:
    # without the title, which may be longer than the columns
    bare = copy.copy(table)
    bare.title, bare.caption, bare.min_width = None, None, None
    return console.measure(bare, options=console.options.update(width=10_000)).maximum
