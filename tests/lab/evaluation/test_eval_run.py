"""Whole evaluations: tables, resuming, and refusing results that do not belong together."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from eval_toys import KnowsIds, RandomMaps, evaluated, image_toy
from sidelight.errors import CheckpointError, ConfigError, InputError
from sidelight.inputs.base import Batch
from sidelight.lab.evaluation.settings import EvalSettings
from sidelight.lab.metrics.statistics import better_reduction, summarise

SETTINGS = EvalSettings(fills=["zero", "one"], granularities=["pixel", "patch2"], steps=4)


def batches(target_inputs: dict[str, torch.Tensor], size: int = 2) -> list[Batch]:
    n = len(target_inputs["image"])
    return [
        Batch({k: v[i : i + size] for k, v in target_inputs.items()}, list(range(n))[i : i + size])
        for i in range(0, n, size)
    ]


def run(target, data, folder=None, methods=None, settings=SETTINGS):
    methods = {"chance": RandomMaps(), "ids": KnowsIds()} if methods is None else methods
    return evaluated(target, data, methods, settings, folder)


def test_tables_have_a_row_for_every_case_and_methods_get_their_ids(tmp_path: Path) -> None:
    target, inputs = image_toy(batch=5)
    result = run(target, batches(inputs), tmp_path)
    assert list(result.rows) == [
        "sample",
        "modality",
        "method",
        "reduction",
        "granularity",
        "fill",
        "metric",
        "value",
    ]
    readings, per_reading = 2 + 1, 5 + 2 * 9
    assert len(result.rows) == 5 * 2 * readings * per_reading
    assert not result.rows.duplicated(subset=[c for c in result.rows if c != "value"]).any()
    parts = [pd.read_parquet(tmp_path / f"part-{i:05d}.parquet") for i in range(3)]
    assert [len(part["sample"].unique()) for part in parts] == [2, 2, 1]
    first = ["modality", "method", "reduction", "fill", "granularity", "kind", "share", "mean", "lo", "hi"]
    assert list(result.curves) == first
    assert len(result.curves) == 2 * readings * 2 * 2 * 5
    assert (result.curves["lo"] <= result.curves["mean"] + 1e-9).all()
    # sample 0 gets a map of zeros, the others positive constants
    ids = result.rows.query("method == 'ids' and metric == 'mean_score' and granularity == 'pixel'")
    assert ids.sort_values("sample")["value"].tolist() == [0, 1, 1, 1, 1]
    summary = summarise(result.rows, dataset="toy")
    assert set(better_reduction(summary)["method"]) == {"chance", "ids"}


def test_a_second_run_repeats_nothing_and_gives_the_same(tmp_path: Path) -> None:
    target, inputs = image_toy(batch=5)
    whole = run(target, batches(inputs))
    method = RandomMaps()
    methods = {"chance": method, "ids": KnowsIds()}
    first = run(target, batches(inputs)[:2], tmp_path, methods)
    assert method.calls == 2
    assert len(first.rows["sample"].unique()) == 4
    torch.manual_seed(123)  # the caller's chance is no part of it
    resumed = run(target, batches(inputs), tmp_path, methods)
    assert method.calls == 3
    pd.testing.assert_frame_equal(resumed.rows, whole.rows)
    pd.testing.assert_frame_equal(resumed.curves, whole.curves)
    assert not list(tmp_path.glob(".*tmp"))


def test_chance_inside_a_method_does_not_depend_on_the_other_methods(tmp_path: Path) -> None:
    """Methods whose order changed in the middle of an evaluation got other draws from there on."""
    target, inputs = image_toy(batch=5)
    methods = {"chance": RandomMaps(), "ids": KnowsIds()}
    whole = run(target, batches(inputs), methods=methods).rows
    run(target, batches(inputs)[:2], tmp_path, methods)
    for other in (
        run(target, batches(inputs), tmp_path, dict(reversed(methods.items()))).rows,
        run(target, batches(inputs), methods={"more": KnowsIds(), "chance": RandomMaps()}).rows,
    ):
        mine, theirs = (r[r["method"] == "chance"].reset_index(drop=True) for r in (whole, other))
        pd.testing.assert_frame_equal(mine, theirs)


def test_two_methods_that_draw_draw_apart() -> None:
    target, inputs = image_toy(batch=2)
    rows = run(target, batches(inputs), methods={"a": RandomMaps(), "b": RandomMaps()}).rows
    one, other = (rows[rows["method"] == name]["value"].tolist() for name in "ab")
    assert one != other


def test_an_unfinished_batch_is_evaluated_again(tmp_path: Path) -> None:
    target, inputs = image_toy(batch=4)
    whole = run(target, batches(inputs), tmp_path)
    (tmp_path / "part-00001.parquet").unlink()  # as after a kill between the two files
    method = RandomMaps()
    again = run(target, batches(inputs), tmp_path, {"chance": method, "ids": KnowsIds()})
    assert method.calls == 1
    pd.testing.assert_frame_equal(again.rows, whole.rows)


def test_speed_settings_may_change_between_runs(tmp_path: Path) -> None:
    target, inputs = image_toy(batch=2)
    slow = replace(SETTINGS, forward_batch=3)
    first = run(target, batches(inputs), tmp_path)
    pd.testing.assert_frame_equal(run(target, batches(inputs), settings=slow).rows, first.rows)
    method = RandomMaps()
    resumed = run(target, batches(inputs), tmp_path, {"chance": method, "ids": KnowsIds()}, settings=slow)
    assert method.calls == 0
    pd.testing.assert_frame_equal(resumed.rows, first.rows)


def test_results_of_another_evaluation_are_refused(tmp_path: Path) -> None:
    target, inputs = image_toy(batch=2)
    run(target, batches(inputs), tmp_path)
    with pytest.raises(ConfigError, match=r"different settings"):
        run(target, batches(inputs), tmp_path, settings=replace(SETTINGS, steps=5))
    with pytest.raises(ConfigError, match=r"different methods"):
        run(target, batches(inputs), tmp_path, {"chance": RandomMaps()})
    other, _ = image_toy(seed=9)
    with pytest.raises(ConfigError, match=r"different target"):
        run(other, batches(inputs), tmp_path)
    with pytest.raises(ConfigError, match="other samples"):
        run(target, [replace(batches(inputs)[0], ids=[8, 9])], tmp_path)


def test_a_method_tells_its_version(tmp_path: Path) -> None:
    target, inputs = image_toy(batch=2)
    method = RandomMaps()
    method.fingerprint = "a"
    run(target, batches(inputs), tmp_path, {"scorer": method})
    method.fingerprint = lambda: "b"
    with pytest.raises(ConfigError, match="different methods"):
        run(target, batches(inputs), tmp_path, {"scorer": method})


def test_damaged_files_are_named(tmp_path: Path) -> None:
    target, inputs = image_toy(batch=2)
    run(target, batches(inputs), tmp_path)
    part = tmp_path / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:50])
    with pytest.raises(CheckpointError, match=r"part-00000\.parquet.*Delete both"):
        run(target, batches(inputs), tmp_path)
    (tmp_path / "evaluation.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"evaluation\.json"):
        run(target, batches(inputs), tmp_path)


def test_a_full_disk_leaves_no_half_written_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, inputs = image_toy(batch=2)

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    run(target, [batches(inputs)[0]], tmp_path / "warm")
    (tmp_path / "cold").mkdir()
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(CheckpointError, match="No space left"):
        run(target, batches(inputs), tmp_path / "cold")
    assert not list((tmp_path / "cold").iterdir())


def test_nothing_to_evaluate_is_an_error() -> None:
    target, _ = image_toy()
    with pytest.raises(InputError, match="no method"):
        run(target, [], methods={})
    with pytest.raises(InputError, match="no batches"):
        run(target, [])
