"""One small run for all tests of the commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli_tools import sidelight, write_config
from tiny_runs import TEXT, tiny_run


@pytest.fixture(scope="session")
def fitted_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder after ``fit`` and ``evaluate``; not to be changed."""
    folder = tmp_path_factory.mktemp("runs")
    for words in (("fit", write_config(folder), "--out", folder / "run"), ("evaluate", folder / "run")):
        result = sidelight(*words)
        assert result.code == 0, result.err + result.out
    return folder / "run"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run of pictures and a run of texts, not to be changed."""
    folder = tmp_path_factory.mktemp("runs")
    return tiny_run(folder / "pictures").folder, tiny_run(folder / "texts", TEXT).folder
