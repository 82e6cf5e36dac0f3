"""``sidelight serve``: explainers behind HTTP."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sidelight.cli.common import say
from sidelight.cli.explain import ModelOption
from sidelight.cli.live import (
    BytesOption,
    CharactersOption,
    HostOption,
    PixelsOption,
    RunsArgument,
    unique_names,
)
from sidelight.cli.stopping import BY_SIGNAL
from sidelight.core.quiet import quiet_libraries

if TYPE_CHECKING:
    from fastapi import FastAPI

    from sidelight.serving import ServeOptions

NAME = "serve"
#: addresses that other machines do not reach
LOCAL = ("127.0.0.1", "::1", "localhost")

PortOption = Annotated[int, typer.Option(min=0, max=65535, help="Port to serve (0: any free one).")]
SizeOption = Annotated[int, typer.Option("--batch-size", min=1, help="Most inputs in one pass.")]
WaitOption = Annotated[
    float, typer.Option(min=0, max=1000, help="Milliseconds that an input waits for others to join its pass.")
]
QueueOption = Annotated[
    int, typer.Option(min=1, help="Most inputs that are worked on or wait. One more is answered with 429.")
]
TimeoutOption = Annotated[
    float, typer.Option(min=0.1, help="Seconds for a request to arrive, and again to be answered.")
]
VerifyOption = Annotated[
    bool, typer.Option(help="Let requests ask for measured maps, which cost about 90 passes each.")
]
TokenOption = Annotated[
    str | None,
    typer.Option(
        metavar="VARIABLE", help="Environment variable with a token that requests must bear (default: none)."
    ),
]


def run(
    folders: RunsArgument,
    model: ModelOption = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8000,
    batch_size: SizeOption = 8,
    wait: WaitOption = 4.0,
    queue: QueueOption = 64,
    timeout: TimeoutOption = 30.0,
    verify: VerifyOption = True,
    token_from: TokenOption = None,
    max_characters: CharactersOption = 20_000,
    max_bytes: BytesOption = 20 * 2**20,
    max_pixels: PixelsOption = 50_000_000,
) -> None:
    """Answer POST /explain and /classify over HTTP, in batches. GET /docs shows examples, GET /metrics what was counted.

    Ctrl+C or SIGTERM stops it after what is queued was answered. Needs the extra serve: pip install 'sidelight\\[serve]'.
    """
    quiet_libraries()
    from sidelight.core.optional import require
    from sidelight.inputs.limits import Limits
    from sidelight.serving import ServeOptions
    from sidelight.serving.building import PACKAGES

    require(PACKAGES, "the service", "serve")
    limits = Limits(max_characters, max_bytes, max_pixels)
    options = ServeOptions(limits, batch_size, wait / 1000, queue, timeout, verify, token_from)
    app = make_app(folders, model, options)
    if host not in LOCAL and token_from is None:
        say(f"warning: {host} may be reached from other machines, and requests need no token (--token-from).")
    from sidelight.serving.running import serve

    try:
        serve(app, host, port, lambda place: say(f"serving {place}   Stop it with Ctrl+C."))
    except SystemExit as leave:
        if leave.code != BY_SIGNAL + signal.SIGTERM:
            raise  # otherwise the service did what it was asked for, and supervisors take other codes for a failure


def make_app(folders: list[Path], model: str | None, options: ServeOptions) -> FastAPI:
    """The application for these folders.

    Raises:
        ConfigError: several folders share one model.
    """
    from sidelight.cli.explain import open_explainer
    from sidelight.errors import ConfigError
    from sidelight.serving import opened

    if len(folders) > 1 and model is not None:
        raise ConfigError("--model goes with one RUN; give one, or leave it out.")

    def open_one(folder: Any) -> Any:
        return open_explainer(folder, model)[0]

    return opened(unique_names(folders), options, open_one)
