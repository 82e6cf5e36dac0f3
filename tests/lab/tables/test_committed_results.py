"""The committed tables are what today's code makes of the committed numbers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sidelight.core.files import read_json
from sidelight.lab.audit.run import write_page
from sidelight.lab.runs.run import Run
from sidelight.lab.tables.table import markdown_table

RESULTS = Path(__file__).parents[3] / "results"
FOLDERS = sorted(path.parent for path in RESULTS.glob("*/results.json"))


def test_there_are_results() -> None:
    assert len(FOLDERS) >= 10


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_committed_table_follows_from_its_numbers(folder: Path) -> None:
    rows = read_json(folder / "results.json")["rows"]
    assert markdown_table(rows) == (folder / "table.md").read_text(encoding="utf-8")


def test_the_committed_audit_follows_from_its_numbers(tmp_path: Path) -> None:
    folder = RESULTS / "mnist"
    for numbers in (folder / "audit").glob("*.json"):
        shutil.copy(numbers, tmp_path)
    write_page(Run.open(folder), tmp_path)
    assert (tmp_path / "audit.md").read_bytes() == (folder / "audit" / "audit.md").read_bytes()
