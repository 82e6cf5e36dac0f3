"""Every command with places named from the working directory, as ``make demo`` names them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from cli_tools import sidelight, write_config
from sidelight.lab.data.digits import digit_scenes


def twice(*words: str) -> None:
    """Run a command, and again, when it finds the files that it wrote."""
    for _ in range(2):
        result = sidelight(*words)
        assert result.code == 0, (words, result.err + result.out)


def test_every_command_takes_places_named_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_config(Path(), seeds=[0])
    Image.fromarray(digit_scenes("test", 1).images[0]).save("digit.png")
    for words in (
        ("fit", "config-given.yaml", "--out", "runs/a"),
        ("explain", "runs/a", "digit.png", "--out", "maps"),
        ("evaluate", "runs/a"),
        ("report", "runs/a"),
        ("audit", "runs/a", "--check", "classes"),
        ("export-maps", "runs/a", "--out", "deep/maps.npz", "--method", "saliency"),
        ("evaluate", "runs/a", "--maps", "deep/maps.npz"),
        ("tables", "runs/a", "--out", "paper/one", "--no-figures"),
        (
            "speed",
            "--model",
            "runs/a/target",
            "--rival",
            "none",
            "--batch",
            "1",
            "--repeats",
            "1",
            "--json",
            "s.json",
        ),
    ):
        twice(*words)
    places = (
        "runs/a/report.html",
        "maps/digit.png",
        "maps/digit.html",
        "deep/maps.npz",
        "paper/one/tables.md",
    )
    assert [place for place in places if not Path(place).is_file()] == []
    assert json.loads(Path("s.json").read_text())
    assert not [p for p in Path().rglob(".*") if p.name.endswith((".tmp", ".old"))]


def test_several_runs_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ablation = {"variants": {"full": []}, "count": 4, "curve_count": 2, "steps": 2, "samples": 1}
    write_config(Path(), seeds=[0], ablation=ablation)
    Path("all.yaml").write_text("{name: all, runs: [config-given.yaml], tables: {figures: false}}")
    twice("benchmark", "all.yaml", "--out", "runs")
    twice("ablate", "config-given.yaml", "--out", "runs/ablated", "--only", "full")
    assert Path("runs/all/tables.md").is_file()
    assert Path("runs/ablated/ablation/table.md").is_file()


def test_a_run_is_found_from_elsewhere(
    fitted_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies in a run folder is its own by its name in it, wherever the folder was moved."""
    shutil.copytree(fitted_run, tmp_path / "moved" / "run")
    monkeypatch.chdir(tmp_path / "moved")
    assert sidelight("report", "run").code == 0
    monkeypatch.chdir(tmp_path / "moved" / "run")
    result = sidelight("report", ".")
    assert result.code == 0, result.err + result.out
