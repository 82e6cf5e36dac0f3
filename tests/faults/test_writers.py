"""Commands and run folders: what somebody else wrote stays, what an earlier version wrote is ours."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from torch.utils.data import Subset

from cli_tools import sidelight
from sidelight.core.files import write_json
from sidelight.core.ownership import MANIFEST, own_folder
from sidelight.errors import CheckpointError, ConfigError, ForeignFileError, SidelightError
from sidelight.lab.config.files import dump_config, load_config, parse_config
from sidelight.lab.evaluation.export import export_maps
from sidelight.lab.evaluation.run import evaluate_run
from sidelight.lab.runs.folder import FILES, remove_ours
from sidelight.lab.runs.run import Run
from tiny_runs import IMAGE, tiny_run


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below ``folder`` and its content."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def put(path: Path, content: str = "mine") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return put(tmp_path / "tiny.yaml", yaml.safe_dump(IMAGE))


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tiny_run(tmp_path_factory.mktemp("evaluated") / "run")
    evaluate_run(run)
    return run.folder


def test_kind_results_of_other_test_rows_are_not_mixed(
    evaluated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(evaluated, tmp_path / "run"))
    (folder / "evaluation" / "full" / "part-00001.parquet").unlink()  # as if killed before
    rows = Run.tested_rows

    def changed(run: Run, count: int | None = None) -> list[Any]:
        found = list(rows(run, count))
        return [found[1], found[0], *found[2:]]

    with monkeypatch.context() as patch:
        patch.setattr(Run, "tested_rows", changed)
        with pytest.raises(ConfigError, match="the test data have changed since"):
            evaluate_run(Run.open(folder))
    evaluate_run(Run.open(folder))
    assert (folder / "evaluation" / "full" / "part-00001.parquet").is_file()


@pytest.mark.parametrize(
    "name",
    [
        "target/notes.txt",
        "target/config.json",
        "target-training/checkpoint-3/model.bin",
        "warmup/a.txt",
        "scorer-0/mine.txt",
        "evaluation/a.csv",
        "audit/a.md",
        "ablation/a.md",
        *FILES,
        "config.yaml",
    ],
)
def test_fault_01_fit_leaves_a_project_as_it_is(tmp_path: Path, config: Path, name: str) -> None:
    put(tmp_path / "project" / name)
    before = tree(tmp_path)
    result = sidelight("fit", config, "--out", tmp_path / "project")
    assert result.code != 0
    assert "sidelight did not write" in result.err.replace("\n", " ")
    assert "--out" in result.err
    assert tree(tmp_path) == before


def test_kind_a_run_folder_that_is_a_file_or_link(tmp_path: Path, config: Path) -> None:
    put(tmp_path / "file")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for place in ("file", "link", "file/below"):
        result = sidelight("fit", config, "--out", tmp_path / place)
        assert result.code != 0
        assert "cannot work in" in result.err
        assert "choose another folder" in result.err
    assert (tmp_path / "file").read_text() == "mine"
    assert (tmp_path / "link").is_symlink()


def test_kind_a_configuration_that_is_the_input_is_never_rewritten(tmp_path: Path) -> None:
    text = "# my notes\n" + yaml.safe_dump(IMAGE)
    path = put(tmp_path / "project" / "config.yaml", text)
    run = Run.create(tmp_path / "project", load_config(path))
    assert path.read_text() == text
    assert Run.open(run.folder).config == run.config
    other = parse_config({**IMAGE, "evaluation": {**IMAGE["evaluation"], "count": 4}})
    with pytest.raises(ForeignFileError, match=r"config\.yaml.*--out"):
        Run.create(tmp_path / "project", other)
    assert path.read_text() == text


def test_kind_our_own_configuration_is_rewritten(tmp_path: Path) -> None:
    Run.create(tmp_path / "run", parse_config(IMAGE))
    other = parse_config({**IMAGE, "evaluation": {**IMAGE["evaluation"], "count": 4}})
    Run.create(tmp_path / "run", other)
    assert load_config(tmp_path / "run" / "config.yaml") == other


def test_kind_a_run_of_an_earlier_version_is_evaluated_again(tmp_path: Path, evaluated: Path) -> None:
    """It has no manifest; its files are told by their names beside a configuration that sidelight wrote."""
    import shutil

    run = Path(shutil.copytree(evaluated, tmp_path / "run"))
    for manifest in run.rglob(MANIFEST):
        manifest.unlink()
    put(run / "notes.md")
    before = json.loads((run / "results.json").read_text())
    page = sidelight("evaluate", run, "--set", "evaluation.steps=3")
    assert page.code != 0  # other settings than its batches were measured with
    assert "another evaluation" in page.err.replace("\n", " ")
    assert sidelight("evaluate", run).code == 0
    assert json.loads((run / "results.json").read_text()) == before
    remove_ours(run / "evaluation")
    assert not (run / "evaluation").exists()
    assert (run / "notes.md").read_text() == "mine"


def test_kind_results_that_somebody_changed_are_kept(tmp_path: Path, evaluated: Path) -> None:
    import shutil

    run = Path(shutil.copytree(evaluated, tmp_path / "run"))
    put(run / "table.md", "edited for the paper")
    result = sidelight("evaluate", run)
    assert result.code != 0
    assert "table.md" in result.err
    assert (run / "table.md").read_text() == "edited for the paper"


@pytest.mark.parametrize("name", ["tables.md", "statistics.csv", "published.md"])
def test_kind_tables_keep_files_of_others(tmp_path: Path, evaluated: Path, name: str) -> None:
    mine = put(tmp_path / "out" / name)
    words = ("tables", evaluated, "--out", tmp_path / "out", "--no-figures")
    result = sidelight(*words)
    assert result.code != 0
    assert "--overwrite" in result.err
    assert tree(tmp_path) == {f"out/{name}": b"mine"}
    if name != "tables.md":
        return
    other = put(tmp_path / "out" / "notes.md")
    for _ in range(2):
        result = sidelight(*words, "--overwrite")
        assert result.code == 0, result.err
    assert other.read_text() == "mine"
    assert mine.read_text() != "mine"
    assert sidelight(*words).code == 0  # it is ours now


def test_kind_a_page_of_somebody_else_is_kept(tmp_path: Path, evaluated: Path) -> None:
    import shutil

    run = Path(shutil.copytree(evaluated, tmp_path / "run"))
    put(run / "report.html", "<html>mine</html>")
    result = sidelight("report", run)
    assert result.code != 0
    assert (run / "report.html").read_text() == "<html>mine</html>"


@pytest.mark.parametrize("content", ["mine", "{}", '[{"a": 1}]', "[1]"])
def test_kind_json_rows_keep_files_of_others(tmp_path: Path, evaluated: Path, content: str) -> None:
    path = put(tmp_path / "rows.json", content)
    result = sidelight("evaluate", evaluated, "--json", path)
    assert result.code != 0
    assert "--json" in result.err
    assert path.read_text() == content


def test_kind_json_rows_are_written_again(tmp_path: Path, evaluated: Path) -> None:
    for _ in range(2):
        result = sidelight("evaluate", evaluated, "--json", tmp_path / "rows.json")
        assert result.code == 0, result.err
    assert json.loads((tmp_path / "rows.json").read_text())


@pytest.mark.parametrize(
    "name", ["config.yaml", "fit.json", "target/config.json", "scorer-0/scorer/config.json"]
)
def test_kind_json_rows_keep_our_files_of_another_kind(tmp_path: Path, evaluated: Path, name: str) -> None:
    run = Path(shutil.copytree(evaluated, tmp_path / "run"))
    before = tree(run)
    result = sidelight("evaluate", run, "--json", run / name)
    assert result.code == 2
    assert "holds something else" in result.err.replace("\n", " ")
    assert tree(run) == before


def test_kind_json_rows_never_replace_what_the_same_call_wrote(tmp_path: Path, evaluated: Path) -> None:
    picture, page = tmp_path / "p.png", tmp_path / "page.md"
    Image.new("L", (20, 20), 90).save(picture)
    result = sidelight("compare", evaluated, picture, "--method", "random", "--out", page, "--json", page)
    assert result.code == 2
    assert "| method |" in page.read_text()


@pytest.mark.parametrize("name", ["maps.csv", "notes.txt/maps.npz"])
def test_kind_a_place_for_maps_is_checked_before_they_are_made(
    tmp_path: Path, evaluated: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    put(tmp_path / "notes.txt")
    monkeypatch.setattr(Run, "open_target", lambda run: pytest.fail("the work began"))
    with pytest.raises(SidelightError):
        export_maps(Run.open(evaluated), tmp_path / name)


def test_kind_the_help_shows_how_extras_are_installed() -> None:
    for command in ("app", "serve"):
        assert f"sidelight[{command}]" in sidelight(command, "--help").out


def test_kind_exported_maps_keep_files_of_others(tmp_path: Path, evaluated: Path) -> None:
    path = put(tmp_path / "maps.npz")
    result = sidelight("export-maps", evaluated, "--out", path)
    assert result.code != 0
    assert "--overwrite" in result.err
    assert path.read_text() == "mine"
    result = sidelight("export-maps", evaluated, "--out", path, "--overwrite")
    assert result.code == 0, result.err
    assert path.read_bytes()[:2] == b"PK"


def test_kind_a_runs_changed_data_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tiny_run(tmp_path / "run")
    facts: dict[str, Any] = {"target": {}, "scorers": {}}
    run._check_data(facts)
    facts["scorers"]["0"] = {}
    run._check_data(facts)
    rows = Run.rows
    fewer = lambda self, split, count=None: Subset(rows(self, split, count), range(7))  # noqa: E731
    monkeypatch.setattr(Run, "rows", fewer)
    with pytest.raises(ConfigError, match="train and validation have changed"):
        run._check_data(facts)


def test_kind_only_what_is_listed_is_removed(tmp_path: Path) -> None:
    own_folder(tmp_path)
    write_json(tmp_path / "parts" / "a.json", {})
    put(tmp_path / "parts" / "theirs.json")
    remove_ours(tmp_path / "parts")
    assert sorted(p.name for p in (tmp_path / "parts").iterdir()) == ["theirs.json"]
    assert dump_config(parse_config(IMAGE))


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "..", "a/b", ""])
def test_kind_the_name_of_a_run_leads_nowhere_else(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work" / "here")
    put(Path("tiny.yaml"), yaml.safe_dump({**IMAGE, "name": name}))
    before = tree(tmp_path)
    for command in ("fit", "ablate"):
        result = sidelight(command, "tiny.yaml")
        assert result.code == 2
        assert "is to be a folder's" in result.err
    assert tree(tmp_path) == before


def test_kind_a_classifier_of_a_run_that_was_cut_short_is_told(tmp_path: Path, evaluated: Path) -> None:
    run = Path(shutil.copytree(evaluated, tmp_path / "run"))
    weights = run / "target" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:300])
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        Run.open(run).explainer()


def test_kind_only_a_fit_trains_a_classifier_that_is_gone(tmp_path: Path, evaluated: Path) -> None:
    run = Path(shutil.copytree(evaluated, tmp_path / "run"))
    shutil.rmtree(run / "target")
    for work in (Run.open(run).explainer, Run.open(run).open_target):
        with pytest.raises(CheckpointError, match="target is gone"):
            work()
    assert not (run / "target").exists()
