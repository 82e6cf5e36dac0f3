"""Maps that go out and come in again: identical rows, and refusals before any pass is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from eval_toys import image_toy, joint_toy
from sidelight.errors import CheckpointError, ConfigError, InputError
from sidelight.lab.config.files import parse_config
from sidelight.lab.config.sections import EvaluationSection
from sidelight.lab.evaluation import loop
from sidelight.lab.evaluation.export import export_maps
from sidelight.lab.evaluation.foreign_maps import ImportedMaps, imported_of, with_maps
from sidelight.lab.evaluation.map_files import MapFile, read_maps, write_maps
from sidelight.lab.evaluation.run import evaluate_run
from sidelight.lab.runs.run import Run
from tiny_runs import IMAGE, TEXT, tiny_run


def maps_of(run: Run, method: str) -> pd.DataFrame:
    """Rows of one method, sorted, without its name and seed."""
    rows = pd.read_parquet(run.folder / "scores.parquet")
    rows = rows[rows.method.astype(str) == method].drop(columns=["method", "seed"])
    keys = [c for c in rows if c != "value"]
    return rows.astype(dict.fromkeys(keys, str)).sort_values(keys).reset_index(drop=True)


@pytest.mark.parametrize(("values", "suffix"), [(IMAGE, ".npz"), (TEXT, ".parquet"), (TEXT, ".npz")])
def test_maps_that_come_back_get_identical_rows(values: dict, suffix: str, tmp_path: Path) -> None:
    cut = {**values["evaluation"], "curve_count": 4}  # within a batch of those without curves
    run = tiny_run(tmp_path / "run", values, evaluation=cut)
    names = {"sidelight": "own_again", "integrated_gradients": "signed_again"}
    evaluate_run(run)
    alone = (run.folder / "results.json").read_text()
    files = [
        export_maps(run, tmp_path / f"{name}{suffix}", method, progress=False)
        for method, name in names.items()
    ]
    again = Run.create(run.folder, with_maps(run.config, files))
    results = evaluate_run(again)
    for method, name in names.items():
        pd.testing.assert_frame_equal(maps_of(run, method), maps_of(run, name))
        assert name in {r["method"] for r in results["rows"]}
    curves = pd.read_parquet(run.folder / "curves.parquet")
    own, back = (curves[curves.method == m].drop(columns="method") for m in ("sidelight", "own_again"))
    np.testing.assert_array_equal(own["mean"], back["mean"])
    assert alone != (run.folder / "results.json").read_text()


def test_a_file_that_changed_is_measured_anew_and_the_rest_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny_run(tmp_path / "run")
    rng = np.random.default_rng(0)
    path = tmp_path / "theirs.npz"

    def write() -> None:
        write_maps(path, MapFile({"image": {i: rng.random((20, 20), np.float32) for i in range(8)}}, False))

    write()
    run = Run.create(run.folder, with_maps(run.config, [path]))
    evaluate_run(run)
    first, ours = maps_of(run, "theirs"), maps_of(run, "sidelight")
    seen: list[str] = []
    real = loop.evaluate_batch

    def watched(*args: Any, method: str, **options: Any) -> Any:
        seen.append(method)
        return real(*args, method=method, **options)

    monkeypatch.setattr(loop, "evaluate_batch", watched)
    evaluate_run(run)
    assert seen == []
    write()
    evaluate_run(run)
    assert set(seen) == {"theirs"}
    assert not maps_of(run, "theirs").equals(first)
    pd.testing.assert_frame_equal(maps_of(run, "sidelight"), ours)


def test_maps_are_laid_on_the_real_features() -> None:
    target, inputs = joint_toy()
    real = target.feature_mask(inputs)
    own = {
        m: {7 + i: np.arange(int(r.sum()), dtype=np.float32) for i, r in enumerate(mask)}
        for m, mask in real.items()
        if m != "sound"
    }
    method = ImportedMaps.__new__(ImportedMaps)
    method.path, method.file = Path("x"), MapFile(own, False)
    del target.modalities["sound"]
    found = method(target, inputs, torch.zeros(3), ids=[7, 8, 9])
    assert found["image"].shape == (3, 1, 3, 5)
    assert found["image"][1].flatten().tolist() == list(range(15))
    assert found["text"].tolist() == [[*range(n), *[0] * (6 - n)] for n in real["text"].sum(1).tolist()]


def test_refusals_say_what_is_wrong(tmp_path: Path) -> None:
    target, inputs = image_toy(size=4, batch=2)
    path = tmp_path / "m.npz"

    def method(**entries: np.ndarray) -> ImportedMaps:
        np.savez(path, ids=np.arange(2), **entries)
        return ImportedMaps("m", path)

    with pytest.raises(InputError, match=r"no maps of 'image', which the target reads; it has text"):
        method(text=np.ones((2, 16))).require([0], target.modalities)
    with pytest.raises(InputError, match=r"1 of 3 sample\(s\): ids \[9\]"):
        method(image=np.ones((2, 4, 4))).require([0, 1, 9], target.modalities)
    for shape, given in (((2, 4, 5), "4×5"), ((2, 2, 8), "2×8"), ((2, 15), "15")):
        with pytest.raises(InputError, match=rf"id 0 has {given} scores; this sample has 4×4"):
            method(image=np.ones(shape))(target, inputs, torch.zeros(2), ids=[0, 1])


def test_names(tmp_path: Path) -> None:
    path = str(write_maps(tmp_path / "a.npz", MapFile({"image": {0: np.ones((2, 2), np.float32)}}, False)))
    section = EvaluationSection.model_validate({"imported": [{"name": "saliency", "path": path}]})
    with pytest.raises(ConfigError, match="'saliency' is taken"):
        imported_of(section, ["sidelight", "saliency"])
    assert [m.name for m in imported_of(section, ["sidelight"])] == ["saliency"]
    with pytest.raises(ConfigError, match=r"evaluation\.imported"):
        parse_config({**IMAGE, "evaluation": {"imported": [{"name": "a#1", "path": path}]}})
    config = parse_config(IMAGE)
    for file in (tmp_path / "a.npz", tmp_path / "b.npz", tmp_path / "a.npz"):
        config = with_maps(config, [file])
    assert [e.name for e in config.evaluation.imported] == ["b", "a"]
    with pytest.raises(ConfigError, match="share a name"):
        with_maps(config, [tmp_path / "a.npz", tmp_path / "x" / "a.npz"])


def test_export_needs_a_fitted_run(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run")
    with pytest.raises(CheckpointError, match="sidelight fit"):
        export_maps(run, tmp_path / "m.npz", seed=5, progress=False)


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
@pytest.mark.parametrize(("told", "signed"), [("false", False), ("True", True), (0, False), (True, True)])
def test_the_sign_of_a_file_is_what_its_entry_says(
    suffix: str, told: Any, signed: bool, tmp_path: Path
) -> None:
    assert read_maps(told_file(tmp_path / f"m{suffix}", told)).signed is signed


@pytest.mark.parametrize(
    ("suffix", "told"), [(".npz", "yes?"), (".npz", [True, False]), (".parquet", "yes?")]
)
def test_a_sign_that_is_neither_true_nor_false_is_told(suffix: str, told: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'signed' must be true or false; got"):
        read_maps(told_file(tmp_path / f"m{suffix}", told))


def told_file(path: Path, told: Any) -> Path:
    """A file of one map without a score below 0, whose entry ``signed`` is ``told``."""
    if path.suffix == ".npz":
        np.savez(path, ids=[0], image=np.ones((1, 2, 2)), signed=told)
        return path
    table = pa.table({"id": [0], "modality": ["image"], "scores": [[[1.0, 2.0], [3.0, 4.0]]]})
    pq.write_table(table.replace_schema_metadata({"signed": str(told)}), path)
    return path


def test_a_row_of_an_image_that_is_missing_is_told(tmp_path: Path) -> None:
    table = pa.table({"id": [0], "modality": ["image"], "scores": [[[1.0, 2.0], None]]})
    pq.write_table(table, tmp_path / "m.parquet")
    with pytest.raises(
        InputError, match=r"id 0: the rows of an image must be of one length; got \[2, None\]"
    ):
        read_maps(tmp_path / "m.parquet")
