"""``sidelight audit``: answers in the terminal and in files, settings kept, wrong names refused."""

from __future__ import annotations

import json
from pathlib import Path

from cli_tools import sidelight
from sidelight.lab.runs.run import Run
from tiny_runs import tiny_run

QUICK = ("--set", "audit.count_wide=6", "--set", "audit.rivals=[random]")


def test_audit_answers_and_remembers(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run")
    result = sidelight("audit", run.folder, "--check", "classes", *QUICK, "--json", tmp_path / "rows.json")
    assert result.code == 0, result.err
    assert "Class bias" in result.out
    assert "explained by class" in result.out
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [(r["check"], r["method"]) for r in rows] == [("classes", "sidelight"), ("classes", "random")]
    assert rows[0]["samples"] == 6
    assert Run.open(run.folder).config.audit.count_wide == 6
    assert {p.name for p in (run.folder / "audit").iterdir()} == {
        "classes.json",
        "classes-image.png",
        "audit.md",
    }
    before = (run.folder / "audit" / "classes.json").read_text()
    assert sidelight("audit", run.folder, "--check", "classes").code == 0
    assert (run.folder / "audit" / "classes.json").read_text() == before


def test_audit_refuses(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run")
    for words, message in (
        (("--check", "clases"), "Did you mean 'classes'"),
        (("--set", "audit.count=0"), "audit.count"),
        (("--set", "audit.areas=[2.0]"), "audit.areas"),
        (("--set", "audit.stepps=2"), "Did you mean 'steps'"),
        (("--other", tmp_path), "no config.yaml"),
    ):
        result = sidelight("audit", run.folder, *words)
        assert result.code == 2, words
        assert message in result.err.replace("\n", " ")
    assert not (run.folder / "audit").exists()
