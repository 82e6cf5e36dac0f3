"""``sidelight export-model``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cli_tools import sidelight
from sidelight.lab.runs.run import Run
from tiny_runs import tiny_run

runtime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def test_a_run_and_its_scorer_folder_become_the_same_file(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run")
    scorer = next((tmp_path / "run").glob("scorer-*/scorer"))
    places = {"run": run.folder, "scorer": scorer}
    for name, place in places.items():
        result = sidelight("export-model", place, "--out", tmp_path / f"{name}.onnx")
        assert result.code == 0, result.err
        assert f"{name}.onnx.json" in result.out.replace("\n", "")
    rows = Run.open(run.folder).rows("test", 2)
    explainer = Run.open(run.folder).explainer()
    pixels = explainer.target.reader.read(list(rows), labelled=False).inputs["pixel_values"]
    _, scores = explainer.attribute({"pixel_values": pixels})
    for name in places:
        about = json.loads((tmp_path / f"{name}.onnx.json").read_text())
        chosen = {"classes": np.full(2, -1)} if any(i["name"] == "classes" for i in about["inputs"]) else {}
        session = runtime.InferenceSession(str(tmp_path / f"{name}.onnx"))
        (found,) = session.run(["scores_image"], {"pixel_values": pixels.numpy(), **chosen})
        np.testing.assert_allclose(found, scores["image"].numpy(), atol=1e-4)


def test_a_file_of_others_and_another_ending_are_refused(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run")
    (tmp_path / "mine.onnx").write_text("mine")
    result = sidelight("export-model", run.folder, "--out", tmp_path / "mine.onnx")
    assert result.code == 2
    assert "--overwrite" in result.err
    assert (tmp_path / "mine.onnx").read_text() == "mine"
    (tmp_path / "other.onnx.json").write_text("mine")
    result = sidelight("export-model", run.folder, "--out", tmp_path / "other.onnx")
    assert result.code == 2
    assert "--overwrite" in result.err
    assert (tmp_path / "other.onnx.json").read_text() == "mine"
    result = sidelight("export-model", run.folder, "--out", tmp_path / "model.tflite")
    assert result.code == 2
    assert ".onnx or .pt2" in result.err.replace("\n", " ")
