"""A benchmark's runs under a protocol, and what is refused before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sidelight.errors import ConfigError
from sidelight.lab.benchmark.plan import Benchmark
from sidelight.lab.benchmark.suite import BenchmarkResult, run_benchmark
from sidelight.lab.config.benchmark import TablesSection
from sidelight.lab.config.files import parse_config
from sidelight.lab.config.sections import RunConfig
from sidelight.lab.runs.run import Run
from tiny_runs import IMAGE, tiny_run

EVALUATION = {**IMAGE["evaluation"], "rivals": ["saliency", "random"], "curve_count": 2}


def config(name: str, **evaluation: Any) -> RunConfig:
    return parse_config({**IMAGE, "name": name, "evaluation": {**EVALUATION, **evaluation}})


def benchmark(out: Path, *runs: RunConfig) -> BenchmarkResult:
    return run_benchmark(Benchmark("small", runs, TablesSection(figures=False)), out, say=lambda text: None)


def fitted(out: Path, name: str) -> Run:
    return tiny_run(out / name, {**IMAGE, "name": name, "evaluation": EVALUATION})


def test_tables_are_those_of_the_protocol_and_refused_settings_change_nothing(tmp_path: Path) -> None:
    run = fitted(tmp_path, "tiny")
    later = config("tiny", protocol="thesis-later")
    found = benchmark(tmp_path, later)
    assert (found.error, found.outcomes[0].error) == (None, None)
    table = pd.read_csv(tmp_path / "small" / "tables.csv", keep_default_na=False)
    assert set(table["protocol"]) == {"protocol thesis-later"}
    before = (run.folder / "config.yaml").read_text()
    found = benchmark(tmp_path, config("tiny", protocol="thesis-later", steps=3))
    assert "holds results of another evaluation" in str(found.outcomes[0].error)
    assert (run.folder / "config.yaml").read_text() == before


@pytest.mark.parametrize(
    ("evaluation", "message"),
    [
        ({"protocol": "thesiss"}, "Did you mean 'thesis'"),
        ({"rivals": ["saliensy"]}, "Did you mean 'saliency'"),
        ({"few_samples": [{"lime": {"samples": 2}, "random": {}}]}, "one name to its options"),
        ({"metrics": ["sparsityy"]}, "Did you mean 'sparsity'"),
        ({"granularities": ["pixell"]}, "Did you mean 'pixel'"),
        ({"fills": ["zeros"]}, "Did you mean 'zero'"),
    ],
)
def test_an_evaluation_that_cannot_be_made_is_refused_before_training(
    evaluation: dict[str, Any], message: str, tmp_path: Path
) -> None:
    found = benchmark(tmp_path, config("tiny", **evaluation))
    assert message in str(found.outcomes[0].error)
    assert not (tmp_path / "tiny" / "target").exists()


def test_a_value_out_of_range_is_refused_when_the_configuration_is_read() -> None:
    with pytest.raises(ConfigError, match=r"config evaluation\.steps must be at least 1; got 0"):
        config("tiny", steps=0)


@pytest.mark.parametrize("text", ["{}", "[]", '{"target": {}, "scorers": 3}', "{"])
def test_damaged_facts_of_one_run_do_not_lose_the_others(text: str, tmp_path: Path) -> None:
    run = fitted(tmp_path, "damaged")
    (run.folder / "fit.json").write_text(text)
    found = benchmark(tmp_path, run.config)
    assert "fit.json" in str(found.outcomes[0].error)
    assert "KeyError" not in str(found.outcomes[0].error)
