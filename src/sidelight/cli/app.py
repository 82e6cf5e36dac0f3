"""The commands, put together."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated

import typer

from sidelight.cli import (
    ablate,
    audit,
    benchmark,
    compare,
    demo,
    evaluate,
    explain,
    export_maps,
    export_model,
    fit,
    listing,
    live,
    report,
    serve,
    speed,
    tables,
)

app = typer.Typer(
    name="sidelight",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="Explain what in an input made a classifier decide, and measure explanations.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from sidelight.core.version import __version__

        typer.echo(f"sidelight {__version__}")
        raise typer.Exit()


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Explain what in an input made a classifier decide, and measure explanations."""


def _paragraphs(command: Callable[..., None]) -> str:
    """The docstring of a command, each paragraph on one line: the terminal breaks it where it is full, and not where we do."""
    told = inspect.cleandoc(command.__doc__ or "")
    return "\n\n".join(" ".join(part.split()) for part in told.split("\n\n"))


for module in (
    demo,
    fit,
    explain,
    compare,
    evaluate,
    report,
    benchmark,
    tables,
    ablate,
    audit,
    export_maps,
    export_model,
    live,
    serve,
    speed,
    listing,
):
    app.command(module.NAME, help=_paragraphs(module.run))(module.run)
