"""``sidelight benchmark``: several runs, one of them bad; killed anywhere; divided among processes and machines."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import yaml

from cli_tools import Result, sidelight
from forked import Runner, launched
from sidelight.lab.evaluation.store import PartStore
from sidelight.lab.runs.run import Run
from tiny_runs import IMAGE, TEXT, tiny_run

#: what must not depend on kills, processes or machines; fit.json and timing.json hold durations
RESULTS = ("scores.parquet", "curves.parquet", "results.json", "table.md")
RUNS: dict[str, dict[str, Any]] = {
    "pictures": {**IMAGE, "name": "pictures", "seeds": [0, 1]},
    "words": {**TEXT, "name": "words"},
}


class Bench(NamedTuple):
    """A benchmark's file and the folder of its runs."""

    file: Path
    runs: Path

    def start(self, *words: object) -> Result:
        return sidelight("benchmark", self.file, "--out", self.runs, *words)

    def files(self) -> dict[str, bytes]:
        """Every file that two benchmarks must agree on."""
        found = [self.runs / run / name for run in RUNS for name in RESULTS]
        # what a kill leaves of a file that was not moved into place yet is hidden, and nobody reads it
        found += [p for p in sorted((self.runs / "small").rglob("[!.]*")) if p.is_file()]
        return {str(p.relative_to(self.runs)): p.read_bytes() for p in found}


def new_bench(folder: Path, **more: Any) -> Bench:
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in RUNS.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(values))
    values = {"name": "small", "runs": [f"{name}.yaml" for name in RUNS], **more}
    (folder / "bench.yaml").write_text(yaml.safe_dump(values))
    return Bench(folder / "bench.yaml", folder / "runs")


def differing(found: dict[str, bytes], expected: dict[str, bytes]) -> list[str]:
    assert set(found) == set(expected)
    return [name for name in found if found[name] != expected[name]]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Sums in another order differ in the last bit; every process here has one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Both runs with scorers of random weights; nothing measured. Not to be changed."""
    bench = new_bench(tmp_path_factory.mktemp("fitted"), tables={"figures": False})
    for name, values in RUNS.items():
        tiny_run(bench.runs / name, values)
    return bench


@pytest.fixture(scope="module")
def measured(fitted: Bench, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """The same, evaluated in this process. Not to be changed."""
    torch.set_num_threads(1)
    bench = copied(fitted, tmp_path_factory.mktemp("measured"))
    result = bench.start()
    assert result.code == 0, result.out + result.err
    return bench


def copied(bench: Bench, folder: Path) -> Bench:
    return Bench(bench.file, Path(shutil.copytree(bench.runs, folder / "runs")))


def test_results_of_all_runs_and_their_tables(measured: Bench) -> None:
    files = measured.files()
    assert {"small/tables.md", "small/tables.csv", "small/statistics.csv", "small/ranks.csv"} <= set(files)
    tables = files["small/tables.csv"].decode()
    for name in ("digits", "planted_text"):
        assert name in tables
    results = json.loads(files["pictures/results.json"])
    assert {r["seeds"] for r in results["rows"] if r["method"] == "sidelight"} == {2}
    assert results["scorers"]["0"]["parameters"] > 0
    assert b"runtime" not in files["pictures/results.json"]
    assert b"train_cost" not in files["pictures/results.json"]  # nor what else differs between trainings


def test_a_second_time_nothing_is_measured_and_nothing_changes(
    measured: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("was done again")

    monkeypatch.setattr(PartStore, "write", refuse)
    monkeypatch.setattr(Run, "fit", refuse)
    bench = copied(measured, tmp_path)
    result = bench.start()
    assert result.code == 0, result.out
    assert differing(bench.files(), measured.files()) == []
    assert f"results: {bench.runs / 'small'}/tables.md" in result.out


def test_one_bad_run_does_not_lose_the_others(fitted: Bench, tmp_path: Path) -> None:
    bad = {"name": "bad", "target.architecture.model_type": "vitt"}
    worse = {"name": "worse", "evaluation.rivals": ["saliensy"]}
    entries = [{"config": "pictures.yaml", "set": s} for s in (bad, {**worse, "seeds": [0]})]
    bench = new_bench(
        tmp_path,
        runs=[entries[0], "words.yaml", entries[1]],
        tables={"figures": False, "metrics": ["sparsity"]},
    )
    for name, source in (("words", "words"), ("worse", "pictures")):
        shutil.copytree(fitted.runs / source, bench.runs / name)
    (bench.runs / "worse" / "config.yaml").unlink()
    result = bench.start()
    assert result.code == 1
    assert "1 of 3 runs are evaluated" in result.out
    assert "failed: bad: target.architecture.model_type 'vitt'" in result.out
    assert "failed: worse: " in result.out
    assert "Did you mean 'saliency'" in result.out
    assert "Traceback" not in result.out + result.err
    assert (bench.runs / "words" / "results.json").is_file()
    assert "sparsity" in (bench.runs / "small" / "tables.csv").read_text()


def test_a_bug_in_one_run_is_reported_with_its_name(
    fitted: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sidelight.lab.benchmark.suite as suite

    evaluate = suite.evaluate_share

    def fails(run: Any, *rest: Any) -> Any:
        if run.config.name == "pictures":
            raise RuntimeError("out of memory")
        return evaluate(run, *rest)

    monkeypatch.setattr(suite, "evaluate_share", fails)
    bench = copied(fitted, tmp_path)
    result = bench.start()
    assert result.code == 1
    assert "failed: pictures: RuntimeError: out of memory" in result.out
    assert (bench.runs / "words" / "results.json").is_file()


def test_other_settings_are_refused_and_the_folder_keeps_its_own(measured: Bench, tmp_path: Path) -> None:
    bench = copied(measured, tmp_path)
    config = (bench.runs / "words" / "config.yaml").read_text()
    result = bench.start("--set", "evaluation.steps=3")
    assert result.code == 1
    assert result.out.count("holds results of another evaluation") >= 2
    assert (bench.runs / "words" / "config.yaml").read_text() == config
    assert differing(bench.files(), measured.files()) == []


def test_machines_that_share_a_folder(fitted: Bench, measured: Bench, tmp_path: Path) -> None:
    bench = copied(fitted, tmp_path)
    first = bench.start("--shard", "2/2")
    assert first.code == 0, first.out
    assert "0 of 2 runs are evaluated" in first.out
    assert "written by the shard that finishes last" in first.out
    assert not list(bench.runs.rglob("results.json"))
    parts = sorted(p.name for p in (bench.runs / "words" / "evaluation" / "full").glob("part-?????.parquet"))
    assert parts == ["part-00001.parquet"]
    last = bench.start("--shard", "1/2")
    assert last.code == 0, last.out
    assert differing(bench.files(), measured.files()) == []


def test_evaluate_in_shards(fitted: Bench, measured: Bench, tmp_path: Path) -> None:
    run = Path(shutil.copytree(fitted.runs / "words", tmp_path / "words"))
    result = sidelight("evaluate", run, "--shard", "1/2")
    assert result.code == 0, result.err
    assert "shard 1/2 is done" in result.out
    assert not (run / "results.json").exists()
    assert sidelight("evaluate", run, "--shard", "2/2").code == 0
    for name in RESULTS:
        assert (run / name).read_bytes() == (measured.runs / "words" / name).read_bytes(), name


def test_a_shard_does_not_train(tmp_path: Path) -> None:
    bench = new_bench(tmp_path)
    result = bench.start("--shard", "1/2")
    assert result.code == 1
    assert "--shard divides evaluations only" in result.out
    assert not (bench.runs / "words" / "target").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("none.yaml",), "no config file at 'none.yaml'"),
        ((), "CONFIG"),
        (("BENCH", "--shard", "3/2"), "between 1 and N"),
        (("BENCH", "--set", "scorer.chanels=[8]"), "Did you mean 'channels'"),
        (("BENCH", "BENCH"), "give it alone"),
    ],
)
def test_benchmark_refuses(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    bench = new_bench(tmp_path)
    given = [str(bench.file) if w == "BENCH" else w for w in words]
    result = sidelight("benchmark", *given, "--out", bench.runs)
    assert result.code == 2
    assert message in result.err.replace("\n", " ")
    assert "Traceback" not in result.err
    assert not bench.runs.exists()


# -- processes of their own ---------------------------------------------------------------


class Undisturbed(NamedTuple):
    """A benchmark from nothing that nobody killed, and how many files it moved into place."""

    bench: Bench
    writes: list[str]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    torch.set_num_threads(1)
    bench = new_bench(tmp_path_factory.mktemp("undisturbed"), tables={"figures": False})
    writes: list[str] = []
    replace = os.replace

    def counted(source: Any, target: Any, **options: Any) -> None:
        replace(source, target, **options)
        if str(target).startswith(str(bench.runs)):
            writes.append(str(Path(target).relative_to(bench.runs)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", counted)
        result = bench.start()
    assert result.code == 0, result.out + result.err
    return Undisturbed(bench, writes)


#: places of the files that a benchmark moves into place at each of its stages
STAGES = {
    "training": ("scorer-", "target", "fit.json"),
    "measuring": ("evaluation/full/part", "evaluation/single/part"),
    "writing": (*(f"words/{name}" for name in RESULTS), "small/"),
}


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_benchmark_ends_with_the_same_bytes(
    stage: str, undisturbed: Undisturbed, runner: Runner, tmp_path: Path
) -> None:
    """SIGKILL right after a file was moved into place, drawn from those of each stage."""
    writes = undisturbed.writes
    # temporary folders have another name in every run
    whole = [(i, name) for i, name in enumerate(writes[:-1]) if ".tmp/" not in name]
    of_stage = [i for i, name in whole if any(part in name for part in STAGES[stage])]
    moment = 1 + random.Random(stage).choice(of_stage)
    bench = new_bench(tmp_path, tables={"figures": False})
    killed = runner.run("sidelight", "benchmark", bench.file, "--out", bench.runs, moves=(bench.runs, moment))
    assert killed.code == -signal.SIGKILL, killed.output
    assert (bench.runs / writes[moment - 1]).exists()
    assert not (bench.runs / writes[-1]).exists()
    result = bench.start()
    assert result.code == 0, result.out + result.err
    assert differing(bench.files(), undisturbed.bench.files()) == []


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="starts its processes by fork")
def test_two_processes_give_the_bytes_of_one(
    fitted: Bench, measured: Bench, runner: Runner, tmp_path: Path
) -> None:
    """They are copies of one interpreter, with the environment that ``torchrun`` gives."""
    bench = copied(fitted, tmp_path)
    found = runner.run("sidelight", "benchmark", bench.file, "--out", bench.runs, environments=launched(2))
    assert found.codes == [0, 0], found.output
    assert differing(bench.files(), measured.files()) == []
    assert found.output.count("2 of 2 runs are evaluated") == 1  # one of the processes speaks
    for run in RUNS:
        folder = bench.runs / run / "evaluation" / "full"
        assert len(list(folder.glob("part-?????.parquet"))) == 2


HELP = """
import sys
from sidelight.cli import main
sys.argv = ["sidelight", "benchmark", "--help"]
try:
    main()
except SystemExit as leave:
    assert not leave.code, leave.code
heavy = {"torch", "transformers", "pandas", "matplotlib", "scipy", "numpy", "accelerate"} & set(sys.modules)
assert not heavy, heavy
"""


def test_help_imports_nothing_heavy() -> None:
    found = subprocess.run(
        [sys.executable, "-c", HELP], capture_output=True, text=True, timeout=120, check=False
    )
    assert found.returncode == 0, found.stderr
    assert "--shard" in found.stdout
