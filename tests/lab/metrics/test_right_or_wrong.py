"""benchmarks/right_or_wrong.py: agreement with evidence, apart by whether the classifier is right."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

ROOT = Path(__file__).parents[3]
STORED = ROOT / "results" / "tweets" / "robust"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "benchmarks" / "right_or_wrong.py"))


def row(
    sample: int, value: float, method: str = "ours", reduction: str = "none", **other: Any
) -> dict[str, Any]:
    key = {"modality": "text", "granularity": "token", "metric": "auprc", "method": method}
    return key | {"sample": sample, "value": value, "reduction": reduction} | other


def test_means_are_apart_by_the_prediction(script: dict[str, Any]) -> None:
    rows = [
        row(0, 0.9, seed=0), row(0, 0.7, seed=1), row(1, 0.2, seed=0), row(1, 0.4, seed=1),
        row(2, float("nan"), seed=0), row(0, 1.0, metric="srg"),
    ]  # fmt: skip
    found = script["means"](pd.DataFrame(rows), {0: True, 1: False, 2: True})
    assert len(found) == 1
    (line,) = found.to_dict("records")
    assert (line["right"], line["wrong"], line["all"]) == pytest.approx((0.8, 0.3, 0.55))
    assert (line["n_right"], line["n_wrong"], line["n_all"]) == (1, 1, 2)


def test_the_better_reduction_over_all_samples_is_told(script: dict[str, Any]) -> None:
    rows = [
        row(0, 0.9, "rival", "abs"), row(1, 0.1, "rival", "abs"),
        row(0, 0.6, "rival", "positive"), row(1, 0.6, "rival", "positive"),
        row(0, 0.7), row(1, 0.7),
    ]  # fmt: skip
    found = script["means"](pd.DataFrame(rows), {0: True, 1: False})
    assert found["method"].tolist() == ["ours", "rival"]
    assert found["right"].tolist() == pytest.approx([0.7, 0.6])


def test_a_note_quotes_the_stored_file(script: dict[str, Any]) -> None:
    stored = pd.read_csv(STORED / "right_or_wrong.csv").set_index(["metric", "method"])
    note = (ROOT / "docs" / "results" / "notes" / "tweets.md").read_text(encoding="utf-8").replace("\n", " ")
    right = stored["right"].round(3)
    assert (
        f"our AUPRC is {right['auprc', 'sidelight']} (Gradient-SHAP {right['auprc', 'gradient_shap']})"
        in note
    )
    pointing = right["pointing_game"]
    assert pointing["integrated_gradients"] == pointing["lime"]
    assert f"({pointing['lime']}, ours {pointing['sidelight']})" in note
    counts = stored.loc[("auprc", "sidelight")]
    assert f"wrong about {counts['n_wrong']:.0f} of" in note
    assert f"the other {counts['n_right']:.0f}" in note


def test_stored_means_over_all_are_those_of_the_results() -> None:
    stored = pd.read_csv(STORED / "right_or_wrong.csv").set_index(["metric", "method"])["all"]
    results = pd.DataFrame(pd.read_json(STORED / "results.json", typ="series")["rows"])
    results = results[results["metric"].isin(("auprc", "pointing_game"))]
    best = results.groupby(["metric", "method"])["mean"].max()
    assert stored.to_dict() == pytest.approx(best.to_dict(), abs=1e-6)
