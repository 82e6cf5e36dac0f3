"""Slow methods: curves on few samples, the metrics of one masked pass on as many as asked for."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from sidelight.lab.evaluation.run import evaluate_run
from sidelight.lab.metrics import METRICS, Metric
from tiny_runs import IMAGE, TEXT, tiny_run

ONE_PASS, CURVE = "average_drop", "deletion_auc"


def rows_of(folder: Path, values: dict, **changes: object) -> pd.DataFrame:
    """Count 8, curves on 5."""
    evaluation = {**values["evaluation"], "metrics": [ONE_PASS, CURVE], **changes}
    run = tiny_run(folder, values, evaluation=evaluation)
    evaluate_run(run)
    return pd.read_parquet(run.folder / "scores.parquet")


def samples(rows: pd.DataFrame, method: str, metric: str) -> list[int]:
    return sorted(rows[(rows.method == method) & (rows.metric == metric)]["sample"].unique())


@pytest.mark.parametrize("values", [IMAGE, TEXT], ids=["image", "text"])
@pytest.mark.parametrize(("few", "measured"), [(None, 5), (3, 5), (7, 7), (100, 8)])
def test_as_many_as_asked_for(tmp_path: Path, values: dict, few: int | None, measured: int) -> None:
    rows = rows_of(
        tmp_path / "run", values, rivals=["saliency"], few_samples=["input_x_gradient"], few_count=few
    )
    assert samples(rows, "input_x_gradient", ONE_PASS) == list(range(measured))
    assert samples(rows, "input_x_gradient", CURVE) == list(range(5))
    assert samples(rows, "saliency", ONE_PASS) == samples(rows, "sidelight", ONE_PASS) == list(range(8))


def test_the_numbers_are_those_of_a_method_measured_on_all(tmp_path: Path) -> None:
    few = rows_of(tmp_path / "few", TEXT, rivals=[], few_samples=["saliency"], few_count=8)
    whole = rows_of(tmp_path / "whole", TEXT, rivals=["saliency"])
    keys = [c for c in few.columns if c != "value"]
    both = few.merge(whole, on=keys, suffixes=("_few", "_whole"))
    assert len(both) == len(few) == len(whole)
    assert (both.value_few - both.value_whole).abs().max() < 1e-6


def test_curves_alone_ask_nothing_of_further_samples(tmp_path: Path) -> None:
    rows = rows_of(tmp_path / "run", IMAGE, metrics=[CURVE], few_samples=["input_x_gradient"], few_count=8)
    assert samples(rows, "input_x_gradient", CURVE) == samples(rows, "sidelight", CURVE) == list(range(5))


@pytest.mark.parametrize(("needs", "measured"), [((), 8), (("mask",), 8), (("steps",), 5), (("areas",), 5)])
def test_a_new_metric_is_measured_on_all_samples_if_one_pass_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, needs: tuple, measured: int
) -> None:
    metric = Metric("new", "lower", "", lambda found: found.clean, frozenset(needs))
    monkeypatch.setitem(METRICS._entries, "new", metric)
    rows = rows_of(tmp_path / "run", IMAGE, rivals=["saliency"], metrics=[ONE_PASS, "new"])
    for method in ("sidelight", "saliency"):
        assert samples(rows, method, "new") == list(range(measured))
        assert samples(rows, method, ONE_PASS) == list(range(8))
