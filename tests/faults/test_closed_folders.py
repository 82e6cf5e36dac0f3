"""A folder in which nobody may write: it is told before the work, and the advice is about it."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cli_tools import Result, sidelight
from sidelight.core.files import read_json, write_text
from sidelight.core.ownership import own_folder
from sidelight.errors import CheckpointError
from sidelight.lab.data.digits import digit_scenes
from sidelight.lab.evaluation.run import evaluate_run
from sidelight.lab.evaluation.store import PartStore
from sidelight.lab.runs.run import Run
from sidelight.targets import TargetModel
from tiny_runs import tiny_run

PLACES = {
    errno.EACCES: "choose a folder in which you may write",
    errno.EPERM: "choose a folder in which you may write",
    errno.EROFS: "mounted for reading only",
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.ENAMETOOLONG: "choose a shorter name",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = tiny_run(tmp_path_factory.mktemp("closed") / "run")
    evaluate_run(run)
    return run


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which no file can be made, whoever runs the tests: root may write everywhere."""
    folder, make = tmp_path / "closed", tempfile.TemporaryFile

    def refuse(*args: Any, **kwargs: Any) -> Any:
        if Path(kwargs["dir"]) == folder:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        return make(*args, **kwargs)

    folder.mkdir()
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    return folder


@pytest.mark.parametrize("code", PLACES)
def test_kind_the_advice_is_about_what_the_system_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(CheckpointError, match=PLACES[code]) as found:
        write_text(tmp_path / "a.txt", "text")
    assert ("space" in str(found.value).replace(os.strerror(code), "")) == ("space" in PLACES[code])
    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(CheckpointError, match=f"(?i){PLACES[code]}"):
        own_folder(tmp_path / "below")
    with pytest.raises(CheckpointError, match=PLACES[code]):
        PartStore(tmp_path / "parts", {})


def test_kind_a_file_that_may_not_be_read_is_not_called_corrupt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("pathlib.Path.read_text", refuse)
    with pytest.raises(CheckpointError, match="Permission denied") as found:
        read_json(tmp_path / "a.json")
    assert "corrupt" not in str(found.value)


Call = Callable[[Run, Path, Path], Result]
CALLS: dict[str, Call] = {
    "export-maps": lambda run, photo, closed: sidelight(
        "export-maps", run.folder, "--out", closed / "new" / "m.npz"
    ),
    "compare": lambda run, photo, closed: sidelight("compare", run.folder, photo, "--out", closed / "c.html"),
    "rows": lambda run, photo, closed: sidelight("compare", run.folder, photo, "--json", closed / "c.json"),
    "export-model": lambda run, photo, closed: sidelight(
        "export-model", run.folder / "scorer-0" / "scorer", "--out", closed / "m.pt2"
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_kind_a_closed_folder_is_told_before_the_work(
    run: Run, tmp_path: Path, closed: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    passes: list[object] = []
    encode = TargetModel.encode

    def counted(*args: Any, **kwargs: Any) -> Any:
        passes.append(args)
        return encode(*args, **kwargs)

    Image.fromarray(digit_scenes("test", 1).images[0]).save(tmp_path / "photo.png")
    monkeypatch.setattr("sidelight.targets.base.TargetModel.encode", counted)
    result = CALLS[name](run, tmp_path / "photo.png", closed)
    said = result.err.replace("\n", " ")
    assert result.code == 2, result.out
    assert "Permission denied" in said
    assert "in which you may write" in said
    assert "space" not in said
    assert passes == []
    assert list(closed.iterdir()) == []


def test_kind_a_page_in_a_closed_folder_is_told_before_a_model_is_opened(
    run: Run, closed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sidelight.lab.report.page import report_runs

    monkeypatch.setattr(Run, "open_target", None)
    with pytest.raises(CheckpointError, match="in which you may write"):
        report_runs([run], closed / "report.html", "page")


def test_kind_files_of_a_folder_have_the_permissions_that_new_files_have(run: Run, tmp_path: Path) -> None:
    """safetensors lets nobody else read weights, so a scorer on a shared disk could be loaded by its owner alone."""
    plain = tmp_path / "plain.txt"
    plain.touch()
    written = [*run.folder.rglob("*.safetensors"), *run.folder.glob("target/*")]
    assert len(written) > 3
    assert {file.stat().st_mode for file in written} == {plain.stat().st_mode}


@pytest.mark.parametrize("name", ["scorer-0/scorer/scorer.safetensors", "target/model.safetensors"])
def test_kind_weights_that_may_not_be_read_are_not_called_missing(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """safetensors says of them that there is no such file."""
    import safetensors

    opened, found = Path.open, safetensors.safe_open

    def refused(path: Any) -> bool:
        return str(path).endswith(name)

    def as_others(path: Path, *args: Any, **kwargs: Any) -> Any:
        if refused(path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, *args, **kwargs)

    def as_safetensors(path: Any, *args: Any, **kwargs: Any) -> Any:
        if refused(path):
            raise FileNotFoundError(f"No such file or directory: {path}")
        return found(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", as_others)
    monkeypatch.setattr("safetensors.safe_open", as_safetensors)
    monkeypatch.setattr("transformers.modeling_utils.safe_open", as_safetensors)
    with pytest.raises(CheckpointError, match=rf"cannot look at .*{name}.*: Permission denied\. Change its"):
        run.explainer()


def test_kind_a_list_of_files_that_may_not_be_written_is_told_before_the_work(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder that is shared, others may make files, but may not write into those that are there."""
    access = os.access
    monkeypatch.setattr("os.access", lambda p, mode: Path(p).name != ".sidelight" and access(p, mode))
    monkeypatch.setattr(Run, "open_target", None)
    for words in (("audit", run.folder), ("evaluate", run.folder), ("report", run.folder)):
        found = sidelight(*words)
        assert found.code == 2
        assert "the list of our files there, may not be written by you" in found.err.replace("\n", " ")
