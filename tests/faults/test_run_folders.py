"""The life of a run folder: measured again with other settings, other rows, another place of the data."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cli_tools import sidelight
from sidelight.core.locks import hold
from sidelight.errors import CheckpointError, ConfigError
from sidelight.lab.ablation.run import run_ablation
from sidelight.lab.audit import run_audit
from sidelight.lab.config.files import changed
from sidelight.lab.evaluation.run import evaluate_run
from sidelight.lab.runs.run import Run
from tiny_runs import IMAGE, tiny_run

ROWS = 12
QUICK = {
    **IMAGE["evaluation"],
    "count": 6,
    "curve_count": None,
    "metrics": ["average_drop"],
    "rivals": ["random"],
}


def put_digits(place: Path, seed: int = 0) -> Path:
    """A folder of data with a small set of the name ``mnist``, whose rows differ from each other."""
    import datasets

    columns = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    (place / "mnist").mkdir(parents=True)
    for number, split in enumerate(("train", "validation", "test")):
        rng = np.random.default_rng([seed, number])
        pictures = [Image.fromarray(rng.integers(0, 255, (20, 20), dtype=np.uint8)) for _ in range(ROWS)]
        rows = {"image": pictures, "label": [i % 10 for i in range(ROWS)]}
        datasets.Dataset.from_dict(rows, features=columns).to_parquet(
            str(place / "mnist" / f"{split}.parquet")
        )
    return place


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``data``, and with a ``run`` that measured 6 of 12 test rows."""
    place = tmp_path_factory.mktemp("life")
    data = {"name": "mnist", "data_dir": str(put_digits(place / "data"))}
    evaluate_run(tiny_run(place / "run", data=data, evaluation=QUICK))
    return place


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Run:
    """A copy of the run, which reads a copy of the data."""
    shutil.copytree(made / "data", tmp_path / "data")
    folder = Path(shutil.copytree(made / "run", tmp_path / "run"))
    text = (folder / "config.yaml").read_text().replace(str(made / "data"), str(tmp_path / "data"))
    (folder / "config.yaml").write_text(text)
    return Run.open(folder)


def with_settings(run: Run, *settings: str) -> Run:
    return Run.create(run.folder, changed(run.config, settings))


def drops(run: Run) -> dict[int, float]:
    table = pd.read_parquet(run.results_folder / "scores.parquet")
    ours = table[(table["method"] == "sidelight") & (table["metric"] == "average_drop")]
    return ours.set_index("sample")["value"].to_dict()


def test_kind_some_rows_that_are_drawn_are_not_mixed_with_all_rows_in_their_own_order(run: Run) -> None:
    more = with_settings(run, "evaluation.count=9")
    evaluate_run(more)  # begins with the rows that are measured already
    assert len(drops(more)) == 9
    for count in (ROWS, 500):
        with pytest.raises(ConfigError, match="in another order"):
            evaluate_run(with_settings(run, f"evaluation.count={count}"))
    shutil.rmtree(run.folder / "evaluation")
    evaluate_run(with_settings(run, "evaluation.count=500"))
    assert len(set(drops(run).values())) == ROWS  # each row once


def test_kind_an_evaluation_takes_no_more_rows_than_the_data_section_allows(tmp_path: Path) -> None:
    data = {"name": "mnist", "data_dir": str(put_digits(tmp_path / "data")), "test": 4}
    run = tiny_run(tmp_path / "run", data=data, evaluation={**QUICK, "count": 10})
    assert len(run.rows("test", 10)) == len(run.tested_rows(10)) == 4
    assert len(run.rows("test", 3)) == 3
    assert {row["n"] for row in evaluate_run(run)["rows"] if row["method"] == "sidelight"} == {4}


@pytest.mark.parametrize("setting", ["fills=[mean]", "count=7", "rivals=[saliency]", "seed=3"])
def test_kind_a_page_never_shows_results_beside_other_settings(run: Run, setting: str) -> None:
    assert sidelight("report", run.folder).code == 0
    with_settings(run, f"evaluation.{setting}", "report.samples=2")  # as `fit` does if its file was edited
    refused = sidelight("report", run.folder)
    assert refused.code == 2
    assert f"other settings than its config.yaml has now (evaluation.{setting.split('=')[0]})" in refused.err


def test_kind_settings_that_change_no_number_are_no_other_settings(run: Run) -> None:
    with_settings(run, "evaluation.batch_size=4", "evaluation.forward_batch=7", "report.samples=1")
    assert sidelight("report", run.folder).code == 0


def test_kind_an_audit_that_fails_leaves_the_settings_as_they_were(run: Run) -> None:
    before = (run.folder / "config.yaml").read_bytes()
    for setting in ("evaluation.fills=[nosuch]", "audit.fills=[nosuch]", "audit.rivals=[nosuch]"):
        refused = sidelight("audit", run.folder, "--check", "stability", "--set", setting)
        assert refused.code == 2
        assert "nosuch" in refused.err
        assert Run.open(run.folder).config == run.config
    assert (run.folder / "config.yaml").read_bytes() == before


@pytest.mark.parametrize("command", ["evaluate", "audit", "fit", "ablate", "benchmark"])
def test_kind_a_busy_folder_keeps_the_settings_of_the_work_in_it(
    run: Run, tmp_path: Path, command: str
) -> None:
    config, ask = run.folder / "config.yaml", ("--set", "evaluation.steps=3", "--set", "seeds=[0,1,2]")
    given = shutil.copy(config, tmp_path / "given.yaml")
    before = (config.read_bytes(), config.stat().st_mtime_ns)
    (run.folder / "results.json").unlink()  # with results a benchmark takes its change back
    several = tmp_path / "several.yaml"
    several.write_text(f"name: several\nruns: [{{config: {given}, set: {{name: run}}}}]\n")
    call = {
        "fit": (given, "--out", run.folder),
        "ablate": (given, "--out", run.folder),
        "benchmark": (several, "--out", run.folder.parent),
    }.get(command, (run.folder,))
    ask = () if command == "benchmark" else ask
    busy, ended = threading.Event(), threading.Event()

    def work() -> None:
        with hold(run.folder, "evaluate"):
            busy.set()
            ended.wait(60)

    other = threading.Thread(target=work)
    other.start()
    assert busy.wait(60)
    try:
        refused = sidelight(command, *call, *ask)
    finally:
        ended.set()
        other.join()
    assert refused.code in (1, 2)
    assert "is in use" in refused.err + refused.out
    assert (config.read_bytes(), config.stat().st_mtime_ns) == before


def test_kind_an_audit_is_made_again_if_its_rows_changed(run: Run) -> None:
    run = with_settings(run, "audit={count: 4, draws: 1, rivals: [random]}")
    first = run_audit(run, ["stability"])["stability"]
    assert run_audit(run, ["stability"])["stability"]["seconds"] == first["seconds"]
    shutil.rmtree(Path(str(run.config.data.data_dir)))
    put_digits(Path(str(run.config.data.data_dir)), seed=1)
    again = run_audit(run, ["stability"])["stability"]
    assert again["rows"] != first["rows"]
    path = run.folder / "audit" / "stability.json"
    earlier = {k: v for k, v in json.loads(path.read_text()).items() if k != "content"}
    path.write_text(
        json.dumps({**earlier, "rows": first["rows"]})
    )  # an earlier version did not note the rows
    assert run_audit(run, ["stability"])["stability"]["rows"] == first["rows"]


def test_kind_variants_are_not_measured_on_other_rows_than_their_like(run: Run) -> None:
    base = [
        "ablation.variants={as it is: [], wider: [scorer.stride=2]}",
        "ablation.count=4",
        "ablation.steps=1",
    ]
    run = with_settings(run, *base)
    run_ablation(run, ["as it is"])
    shutil.rmtree(Path(str(run.config.data.data_dir)))
    put_digits(Path(str(run.config.data.data_dir)), seed=1)
    with pytest.raises(ConfigError, match="trained or measured on other rows"):
        run_ablation(run)


def test_kind_data_that_moved_are_found_at_their_new_place(run: Run, tmp_path: Path) -> None:
    before = drops(run)
    (tmp_path / "data").rename(tmp_path / "moved")
    lost = sidelight("evaluate", run.folder)
    assert lost.code == 2
    assert "mnist" in lost.err
    found = sidelight("evaluate", run.folder, "--set", f"data.data_dir={tmp_path / 'moved'}")
    assert found.code == 0, found.err
    assert drops(run) == before
    put_digits(tmp_path / "other", seed=1)
    refused = sidelight("evaluate", run.folder, "--set", f"data.data_dir={tmp_path / 'other'}")
    assert refused.code == 2
    assert "the test data have changed since" in refused.err
    assert Run.open(run.folder).config.data.data_dir == str(tmp_path / "moved")


def test_kind_a_page_never_shows_pictures_of_other_rows_or_of_another_scorer_beside_numbers(run: Run) -> None:
    place, scorer = run.folder.parent, run.folder / "scorer-0" / "scorer"
    shutil.rmtree(place / "data")
    put_digits(place / "data", seed=5)
    refused = sidelight("report", run.folder)
    assert refused.code == 2
    assert "the test data changed" in refused.err
    other = tiny_run(place / "other", data=run.config.data.model_dump(), evaluation=QUICK, seed=1)
    shutil.rmtree(scorer)
    shutil.copytree(other.folder / "scorer-0" / "scorer", scorer)
    shutil.rmtree(run.folder / "target")
    shutil.copytree(other.folder / "target", run.folder / "target")
    refused = sidelight("report", run.folder)
    assert "the test data and the classifier and the scorer changed" in refused.err
    shutil.rmtree(run.folder / "evaluation")
    evaluate_run(run)
    assert sidelight("report", run.folder).code == 0
    results = json.loads((run.folder / "results.json").read_text())
    del results["measured"]  # an earlier version did not keep it
    (run.folder / "results.json").write_text(json.dumps(results))
    assert sidelight("report", run.folder).code == 0


def test_kind_a_classifier_with_the_weights_of_another_is_told(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run")
    architecture = {**IMAGE["target"]["architecture"], "hidden_sizes": [4, 12]}
    other = tiny_run(tmp_path / "other", target={**IMAGE["target"], "architecture": architecture})
    shutil.copy(other.folder / "target" / "model.safetensors", run.folder / "target")
    with pytest.raises(CheckpointError, match=r"run.target cannot be loaded .*other sizes.* Copy the folder"):
        run.open_target()
    shutil.copy(
        other.folder / "target" / "config.json", run.folder / "target"
    )  # all of another: that is no damage
    assert run.open_target().fingerprint() == other.open_target().fingerprint()


def test_kind_results_of_another_evaluation_are_refused_before_anything_is_measured(tmp_path: Path) -> None:
    """``evaluate`` measured for hours into an emptied folder, and refused the next one then. No option names a folder."""
    run = tiny_run(tmp_path / "run")
    evaluate_run(run)
    parts = run.results_folder / "evaluation"
    stores = sorted(p.parent.name for p in parts.glob("*/evaluation.json"))
    assert len(stores) > 1
    section = run.config.evaluation.model_copy(update={"steps": 3})
    other = Run.create(run.folder, run.config.model_copy(update={"evaluation": section}))
    for name in stores:
        with pytest.raises(ConfigError, match="results of another evaluation") as caught:
            evaluate_run(other)
        assert "directory" not in str(caught.value)
        assert "remove this folder" in str(caught.value)
        assert str(parts / name) in str(caught.value)
        assert not list(parts.glob("full/part-*")) or name == "full"
        shutil.rmtree(parts / name)  # as the message says
    evaluate_run(other)
    assert {json.loads((parts / n / "evaluation.json").read_text())["settings"]["steps"] for n in stores} == {
        3
    }
