"""Addresses at which a page or service listens."""

from __future__ import annotations

import socket

from sidelight.errors import ConfigError


def listening_socket(host: str, port: int, backlog: int = 1) -> socket.socket:
    """A socket at an address. From now on connections wait, and are not refused.

    Args:
        host: a name or number of this machine.
        port: 0 for any free one.
        backlog: so many connections may wait.

    Raises:
        ConfigError: the address is taken, or is not of this machine.
    """
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
        found.listen(backlog)
    except (OSError, UnicodeError) as error:  # the latter of a name that no machine can have
        found.close()
        why = getattr(error, "strerror", None) or error
        place = f"{host}:{port}" if port else host
        raise ConfigError(f"cannot serve {place} ({why}). Choose another host or port.") from error
    return found
