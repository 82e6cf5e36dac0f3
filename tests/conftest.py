"""Shared by all tests: small seeded models live in :mod:`tiny_models`, which this folder makes importable."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from slow_tests import is_slow, slow_tests

# Tests never reach for the network, whatever the machine allows.
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def _runs() -> set[Path]:
    return set(Path.cwd().glob("sidelight-runs/*"))


@pytest.fixture(autouse=True)
def no_run_is_left_behind() -> Iterator[None]:
    """``fit`` without ``output_dir`` writes where it is called, which must not be the repository."""
    folder, before = Path.cwd(), _runs()
    yield
    assert Path.cwd() != folder or _runs() == before, "give the test an output_dir, or another working folder"


@pytest.fixture(scope="session")
def runner() -> Iterator[object]:
    """A process that has imported everything, for commands in copies of it (:class:`forked.Runner`)."""
    from forked import Runner

    found = Runner()
    yield found
    found.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that are listed as slow."""
    listed = slow_tests()
    for item in items:
        if is_slow(item.nodeid, listed):
            item.add_marker(pytest.mark.slow)
