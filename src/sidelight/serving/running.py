"""Serves an application with uvicorn until somebody stops it."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable
from typing import Any

import uvicorn

from sidelight.core.addresses import listening_socket

#: connections that may wait for a place; more are told 503 before anything is read
MOST_CONNECTIONS = 1_000
BACKLOG = 2_048
#: seconds that clients have to read the last answers when the service stops
DELIVERY = 2


def server_of(app: Any, host: str, port: int) -> tuple[uvicorn.Server, socket.socket, str]:
    """A server that does not run yet, its socket, and its address as a browser takes it.

    Raises:
        ConfigError: the address is taken, or is not of this machine.

    Example:
        >>> import sidelight.serving
        >>> service = sidelight.serving.app({"films": explainer})
        >>> server, listening, place = server_of(service, "127.0.0.1", 0)
        >>> server.run([listening])  # doctest: +SKIP
        >>> listening.close()
    """
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        # requests have a limit for their arrival and one for their answer, and a client may never read what it got
        timeout_graceful_shutdown=math.ceil(2 * app.state.service.options.timeout) + DELIVERY,
    )
    listening = listening_socket(host, port, BACKLOG)
    found = listening.getsockname()
    shown = f"[{found[0]}]" if listening.family == socket.AF_INET6 else found[0]
    return uvicorn.Server(config), listening, f"http://{shown}:{found[1]}/docs"


def serve(app: Any, host: str, port: int, told: Callable[[str], None]) -> None:
    """Serve ``app`` until Ctrl+C or SIGTERM. What is queued then is answered first. A client that does not read its answer
    holds the stop up no longer than the service's time limits.

    Args:
        told: is given the address before the first request can come.

    Raises:
        ConfigError: the address is taken, or is not of this machine.
    """
    server, listening, place = server_of(app, host, port)
    told(place)
    server.run([listening])
