"""Shared by all tests: small seeded models live in :mod:`tiny_models`, which this folder makes importable."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

# Tests never reach for the network, whatever the machine allows.
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def runner() -> Iterator[object]:
    """A process that has imported everything, for commands in copies of it (:class:`forked.Runner`)."""
    from forked import Runner

    found = Runner()
    yield found
    found.close()
