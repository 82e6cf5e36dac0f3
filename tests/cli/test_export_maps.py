"""``sidelight export-maps`` and ``sidelight evaluate --maps``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from cli_tools import sidelight
from sidelight.lab.evaluation.map_files import read_maps
from sidelight.lab.runs.run import Run
from tiny_runs import IMAGE, tiny_run


def test_maps_go_out_and_come_in(tmp_path: Path) -> None:
    quick = {**IMAGE["evaluation"], "count": 4, "curve_count": 2, "rivals": ["saliency"]}
    run = tiny_run(tmp_path / "run", evaluation=quick)
    out = tmp_path / "theirs.npz"
    result = sidelight("export-maps", run.folder, "--out", out, "--method", "saliency")
    assert result.code == 0, result.err
    assert read_maps(out).ids == [0, 1, 2, 3]
    result = sidelight("evaluate", run.folder, "--maps", out)
    assert result.code == 0, result.err
    rows = json.loads((run.folder / "results.json").read_text())["rows"]
    means = {m: [r["mean"] for r in rows if r["method"] == m] for m in ("saliency", "theirs")}
    assert means["theirs"] == means["saliency"]
    (entry,) = Run.open(run.folder).config.evaluation.imported
    assert (entry.name, entry.path) == ("theirs", str(out))


def test_maps_that_do_not_fit_change_nothing(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run")
    before = (run.folder / "config.yaml").read_text()
    np.savez(tmp_path / "few.npz", ids=[0, 1], image=np.ones((2, 20, 20)))
    result = sidelight("evaluate", run.folder, "--maps", tmp_path / "few.npz")
    assert result.code == 2
    assert "6 of 8 sample(s)" in result.err.replace("\n", " ")
    assert (run.folder / "config.yaml").read_text() == before
    assert not (run.folder / "evaluation").exists()
    result = sidelight("export-maps", run.folder, "--out", tmp_path / "m.npz", "--method", "salience")
    assert result.code == 2
    assert "Did you mean 'saliency'" in result.err.replace("\n", " ")
