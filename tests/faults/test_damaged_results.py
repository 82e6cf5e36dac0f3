"""A file in a run folder is cut off, for example by a full disk or a broken copy."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from unittest import mock

import pytest

from sidelight.core.folders import require_folder_place
from sidelight.core.locks import hold
from sidelight.errors import CheckpointError, ForeignFileError
from sidelight.lab.evaluation.run import evaluate_run
from sidelight.lab.report.page import report_runs
from sidelight.lab.runs.run import Run
from tiny_runs import IMAGE, tiny_run

QUICK = {
    **IMAGE["evaluation"],
    "count": 6,
    "curve_count": None,
    "metrics": ["average_drop"],
    "rivals": ["random"],
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was measured."""
    run = tiny_run(tmp_path_factory.mktemp("made") / "run", evaluation=QUICK, report={"speed": False})
    evaluate_run(run)
    return run.folder


def copied(made: Path, place: Path, damaged: str) -> Run:
    shutil.copytree(made, place / "run")
    file = place / "run" / damaged
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    return Run.open(place / "run")


@pytest.mark.parametrize("name", ["results.json", "scores.parquet", "curves.parquet"])
def test_kind_a_report_of_a_damaged_file_says_what_helps(made: Path, tmp_path: Path, name: str) -> None:
    """Damaged tables gave errors of pyarrow. Running again, as a message said, did not replace a damaged file."""
    run = copied(made, tmp_path, name)
    page = tmp_path / "page.html"
    with pytest.raises(CheckpointError, match=rf"{name}.*delete it and run `sidelight evaluate` again"):
        report_runs([run], page, "a run")
    (run.folder / name).unlink()
    evaluate_run(run)
    assert report_runs([run], page, "a run").is_file()


def test_kind_damaged_facts_of_a_training_are_made_again(made: Path, tmp_path: Path) -> None:
    """The message said to run again, and running again gave the same message."""
    run = copied(made, tmp_path, "fit.json")
    for work in (run.fit, lambda: evaluate_run(run)):
        with pytest.raises(CheckpointError, match=r"fit\.json.*delete it and run `sidelight fit` again"):
            work()
    (run.folder / "fit.json").unlink()
    assert run._facts() == {"target": {}, "scorers": {}}


@pytest.mark.parametrize("name", ["metrics.json", "config.json", "model.safetensors"])
@pytest.mark.parametrize("cut", [0, 20])
def test_kind_a_damaged_classifier_is_told_before_another_is_trained(
    made: Path, tmp_path: Path, name: str, cut: int
) -> None:
    """It was trained again for hours, and the damaged file was not replaced then. An evaluation called it gone."""
    run = copied(made, tmp_path, f"target/{name}")
    file = run.folder / "target" / name
    file.write_bytes(file.read_bytes()[:cut])
    for work in (run.fit, lambda: evaluate_run(run)):
        with (
            mock.patch("sidelight.lab.runs.run.train_classifier") as training,
            pytest.raises(CheckpointError) as caught,
        ):
            work()
        assert re.search(rf"target.*{name}.*was changed|cannot be loaded", str(caught.value))
        assert "or remove" in str(caught.value)
        assert not training.called


@pytest.mark.parametrize("name", ["config.json", "scorer.safetensors"])
def test_kind_a_damaged_scorer_does_not_count_as_trained(made: Path, tmp_path: Path, name: str) -> None:
    """``fit`` said that it was done."""
    run = copied(made, tmp_path, f"scorer-0/scorer/{name}")
    with pytest.raises(CheckpointError, match=rf"{name}.* remove .*run.scorer-0, and .*fit. trains it again"):
        run.fit()
    shutil.rmtree(run.folder / "scorer-0")
    assert run.fit()["scorers"]["0"]["eval_loss"] > 0
    assert run.explainer().explain(run.rows("test", 1)[0]).map.shape == (20, 20)


@pytest.mark.parametrize("name", ["results.json", "scores.parquet", "curves.parquet", "table.md"])
def test_kind_a_damaged_result_is_told_before_anything_is_measured(
    made: Path, tmp_path: Path, name: str
) -> None:
    """An evaluation measured everything again and could not replace the damaged file then."""
    run = copied(made, tmp_path, name)
    shutil.rmtree(run.folder / "evaluation")
    with pytest.raises(ForeignFileError, match=rf"{name}.*[Dd]elete it"):
        evaluate_run(run)
    assert not list(run.folder.glob("evaluation/*/part-*"))


def test_kind_a_link_that_leads_nowhere_is_not_called_a_file(tmp_path: Path) -> None:
    """A folder for answers may be a link to a disk that is not mounted."""
    link = tmp_path / "answers"
    link.symlink_to(tmp_path / "unplugged" / "answers")
    with pytest.raises(CheckpointError, match="a link that leads nowhere"), hold(link, "explain"):
        pass
    with pytest.raises(ForeignFileError, match=r"answers is a link that leads nowhere"):
        require_folder_place(link / "below")
