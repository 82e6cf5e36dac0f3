"""A run measured on another data set: a folder of its own, the evidence that it brings, and refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sidelight.errors import CheckpointError, ConfigError
from sidelight.lab.config.files import parse_config
from sidelight.lab.config.sections import OtherDataSection
from sidelight.lab.evaluation.export import export_maps
from sidelight.lab.evaluation.preflight import check_run
from sidelight.lab.evaluation.run import evaluate_run
from sidelight.lab.report.page import report_runs
from sidelight.lab.runs.run import Run
from tiny_runs import IMAGE, tiny_run


def elsewhere(run: Run, **values: Any) -> Run:
    section = run.config.evaluation.model_copy(update={"data": OtherDataSection(**values)})
    return replace(run, config=run.config.model_copy(update={"evaluation": section}))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, list[bytes]]:
    """A run measured on its own test split, and its files before it was measured on another split."""
    run = tiny_run(tmp_path_factory.mktemp("own") / "run", IMAGE, report={"speed": False, "samples": 2})
    evaluate_run(run)
    before = [p.read_bytes() for p in files(run)]
    evaluate_run(elsewhere(run, name="digits", split="train", seed=3))
    return run, before


def files(run: Run) -> list[Path]:
    return [run.folder / n for n in ("scores.parquet", "curves.parquet", "results.json", "table.md")]


def test_results_lie_apart_and_say_where_they_come_from(measured: tuple[Run, list[bytes]]) -> None:
    run, before = measured
    other = elsewhere(run, name="digits", split="train", seed=3)
    assert [p.read_bytes() for p in files(run)] == before
    assert other.results_folder.parent == run.folder / "elsewhere"
    assert other.results()["notes"][0].startswith("Measured on the train split of digits, on which neither")
    assert "Measured on" not in "".join(run.results()["notes"])
    own, found = (pd.read_parquet(r.results_folder / "scores.parquet") for r in (run, other))
    assert list(own.columns) == list(found.columns)
    merged = own.merge(found, on=[c for c in own.columns if c != "value"])
    assert len(merged) > 0
    assert (merged.value_x != merged.value_y).mean() > 0.5  # other pictures


def test_another_choice_of_rows_finds_no_finished_parts(measured: tuple[Run, list[bytes]]) -> None:
    run, _ = measured
    places = {
        elsewhere(run, **{"name": "digits", **v}).results_folder
        for v in ({}, {"split": "train"}, {"seed": 1}, {"split": "train", "seed": 3}, {"data_dir": "x"})
    }
    assert len(places) == 5
    section = elsewhere(run, name="digits").config.evaluation.model_copy(update={"protocol": "thesis"})
    under = replace(run, config=run.config.model_copy(update={"evaluation": section}))
    assert under.results_folder.parts[-2:] == ("protocols", "thesis")
    assert under.results_folder.parts[-4] == "elsewhere"


def test_the_page_and_exported_maps_are_of_the_same_rows(
    measured: tuple[Run, list[bytes]], tmp_path: Path
) -> None:
    run, _ = measured
    other = elsewhere(run, name="digits", split="train", seed=3)
    page = report_runs([other], tmp_path / "page.html", "A page").read_text()
    assert "Measured on the train split of digits" in page
    maps = [export_maps(r, tmp_path / f"{i}.npz", progress=False) for i, r in enumerate((run, other))]
    assert maps[0].read_bytes() != maps[1].read_bytes()


def test_data_that_do_not_fit_are_refused_before_anything_is_measured(tmp_path: Path) -> None:
    def check(**other: Any) -> None:
        evaluation = {**IMAGE["evaluation"], "data": other}
        check_run(parse_config({**IMAGE, "evaluation": evaluation}), tmp_path)

    check(name="scene_objects", split="validation")
    with pytest.raises(ConfigError, match=r"evaluation.data.name: unknown data set 'digitz'"):
        check(name="digitz")
    with pytest.raises(ConfigError, match="'planted_text' holds text, but the run's classifier reads image"):
        check(name="planted_text")
    with pytest.raises(ConfigError, match="split"):
        check(name="digits", split="dev")


def test_a_target_without_its_weights_is_reported(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run", IMAGE)
    for path in (run.folder / "target").glob("*.safetensors"):
        path.unlink()
    with pytest.raises(CheckpointError, match="without its weights"):
        evaluate_run(run)
