"""Files of benchmarks: which runs they name, what is set in them, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sidelight.errors import ConfigError
from sidelight.lab.benchmark.plan import load_benchmark
from sidelight.lab.config.files import parse_config
from tiny_runs import IMAGE, TEXT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two run configurations in a folder of their own."""
    (tmp_path / "runs").mkdir()
    for file, values in (("image.yaml", IMAGE), ("text.yaml", {**TEXT, "name": "words"})):
        (tmp_path / "runs" / file).write_text(yaml.safe_dump(values))
    return tmp_path


def benchmark(folder: Path, **values: Any) -> Path:
    path = folder / "bench.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_paths_are_relative_to_the_file_and_defaults_stand(folder: Path) -> None:
    found = load_benchmark([benchmark(folder, name="small", runs=["runs/image.yaml", "runs/text.yaml"])])
    assert found.name == "small"
    assert list(found.runs) == [parse_config(IMAGE), parse_config({**TEXT, "name": "words"})]
    assert found.tables.alpha == 0.05
    assert found.tables.figures


def test_what_is_set_goes_from_the_general_to_the_particular(folder: Path) -> None:
    path = benchmark(
        folder,
        set={"evaluation.steps": 3, "evaluation.count": 7, "seeds": [4]},
        runs=[
            "runs/image.yaml",
            {"config": "runs/image.yaml", "set": {"name": "other", "evaluation.count": 5}},
        ],
        tables={"metrics": ["average_drop"], "figures": False},
    )
    first, second = load_benchmark([path], ["evaluation.steps=4"]).runs
    assert (first.evaluation.steps, first.evaluation.count, first.seeds) == (4, 7, [4])
    assert (second.evaluation.steps, second.evaluation.count, second.name) == (4, 5, "other")
    assert first.evaluation.batch_size == IMAGE["evaluation"]["batch_size"]
    assert load_benchmark([path]).tables.metrics == ["average_drop"]


def test_run_configurations_without_a_file(folder: Path) -> None:
    found = load_benchmark([folder / "runs/image.yaml", folder / "runs/text.yaml"], ["seeds=[3]"])
    assert (found.name, [r.name for r in found.runs]) == ("benchmark", ["tiny", "words"])
    assert all(r.seeds == [3] for r in found.runs)


def test_the_committed_benchmark_names_runs_that_are_there() -> None:
    configs = Path(__file__).parents[3] / "configs"
    found = load_benchmark([configs / "benchmark.yaml"])
    real = {"mnist", "cifar10", "imagenette", "tweets", "imdb", "liar", "flickr8k", "esnlive", "nlvr"}
    assert {r.name for r in found.runs} == real | {"digits", "planted_text", "scenes"}
    assert all(len(r.seeds) >= 3 and len(r.evaluation.fills) >= 3 for r in found.runs)


RUN = "runs/image.yaml"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"runs": []}, "no runs"),
        ({"name": "x"}, "config runs is required"),
        ({"runs": RUN}, "config runs must be a list"),
        ({"runs": ["runs/none.yaml"]}, r"no config file at .*runs/none\.yaml.*relative to the benchmark"),
        ({"runs": [RUN, RUN]}, r"2 runs are named 'tiny' .*image\.yaml.*set: \{name"),
        ({"runs": [RUN], "name": "tiny"}, "benchmark and a run are both named 'tiny'"),
        ({"runs": [RUN], "name": "a/b"}, "letters, digits"),
        ({"runs": [{"config": RUN, "set": {"name": ""}}]}, r"image\.yaml: name '' .*letters, digits"),
        ({"runs": [RUN], "set": {"name": "../x"}}, r"image\.yaml: name '\.\./x' .*letters, digits"),
        ({"runs": [RUN], "set": {"seeds": []}}, "seeds"),
        ({"runs": [RUN], "tables": {"metrics": ["sparsityy"]}}, "Did you mean 'sparsity'"),
        ({"runs": [RUN], "tables": {"rank_by": ["srgg"]}}, "Did you mean 'srg'"),
        ({"runs": [RUN], "table": {}}, "unknown config key 'table'. Did you mean 'tables'"),
        ({"runs": [RUN], "tables": {"metric": []}}, "'tables.metric'. Did you mean 'metrics'"),
        ({"runs": [RUN], "tables": {"alpha": 2}}, "tables.alpha"),
        ({"runs": [{"config": RUN, "sets": {}}]}, "unknown config key 'sets'. Did you mean 'set'"),
        ({"runs": [{"set": {}}]}, "config config is required"),
        ({"runs": [3]}, "an entry of runs is a path or a mapping"),
        (
            {"runs": [{"config": RUN, "set": {"scorer.chanels": [8]}}]},
            r"image\.yaml: .*'scorer.chanels'.*'channels'",
        ),
        ({"runs": [RUN], "set": {"evaluation.": 1}}, "section.key=value"),
        ({"runs": ["bench.yaml"]}, r"bench\.yaml is not the configuration of a run"),
    ],
)
def test_what_is_refused(values: dict[str, Any], message: str, folder: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        load_benchmark([benchmark(folder, **values)])


def test_files_that_do_not_go_together(folder: Path) -> None:
    path = benchmark(folder, runs=[RUN])
    with pytest.raises(ConfigError, match=r"bench\.yaml is a benchmark .* among 2 files"):
        load_benchmark([folder / RUN, path])
    with pytest.raises(ConfigError, match="no configuration given"):
        load_benchmark([])
    with pytest.raises(ConfigError, match=r"no config file at .*none\.yaml"):
        load_benchmark([folder / "none.yaml"])
    with pytest.raises(ConfigError, match="2 runs are named 'tiny'"):
        load_benchmark([folder / RUN, folder / RUN])
    (folder / "empty.yaml").write_text("")
    with pytest.raises(ConfigError, match=r"empty\.yaml: .*runs is required"):
        load_benchmark([folder / "empty.yaml"])
