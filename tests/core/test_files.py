"""Atomic writes under a full disk and a kill at every step."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from sidelight.core.files import read_json, replace_file, write_json, write_text
from sidelight.core.folders import recover_folder, replace_folder
from sidelight.core.ownership import MANIFEST, foreign_entries, own_folder
from sidelight.errors import CheckpointError


class Killed(BaseException):
    """Stands for a signal: nothing catches it."""


def names(folder: Path) -> list[str]:
    """Names in ``folder``, the manifest left out."""
    return sorted(p.name for p in folder.iterdir() if p.name != MANIFEST)


def test_a_folder_named_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made, replaced and added to: what is ours is listed by its name below the folder, wherever it is named from."""
    monkeypatch.chdir(tmp_path)
    for text in ("old", "new", "newest"):
        with replace_folder("runs/a") as tmp:
            write_text(tmp / "deep" / "f.txt", text)
        assert Path("runs/a/deep/f.txt").read_text() == text
        assert foreign_entries(tmp_path / "runs" / "a") == foreign_entries(Path("runs/a")) == []


def test_a_folder_within_a_folder_with_files_of_others_is_replaced_and_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    run = tmp_path / "run"
    for text in ("old", "new", "newest"):
        with replace_folder(run) as tmp:
            write_text(tmp / "deep" / "f.txt", text)
        (run / "theirs").write_text("mine")
        assert (run / "deep" / "f.txt").read_text() == text
        assert foreign_entries(run) == [run / "theirs"]
    assert names(run) == ["deep", "theirs"]


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    own_folder(tmp_path / "deep")
    write_text(tmp_path / "deep" / "a.txt", "old")
    write_text(tmp_path / "deep" / "a.txt", "новый")
    assert (tmp_path / "deep" / "a.txt").read_text(encoding="utf-8") == "новый"
    assert names(tmp_path / "deep") == ["a.txt"]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), Killed(), ValueError("x")]
)
def test_an_error_while_writing_a_file_leaves_the_old_one(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    expected: Any = CheckpointError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected) as caught, replace_file(path) as tmp:  # noqa: PT012
        tmp.write_text("ha")
        raise error
    if isinstance(error, OSError):
        assert "No space left" in str(caught.value)
        assert "untouched" in str(caught.value)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_path_below_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(CheckpointError, match="could not write"):
        write_text(tmp_path / "file" / "a.txt", "text")
    with pytest.raises(CheckpointError, match="could not write"), replace_folder(tmp_path / "file" / "run"):
        pass
    assert (tmp_path / "file").read_text() == "x"


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    for content in ("old", "new"):
        with replace_folder(tmp_path / "run") as tmp:
            (tmp / f"{content}.txt").write_text(content)
            assert not (tmp_path / "run" / f"{content}.txt").exists()
    assert names(tmp_path / "run") == ["new.txt"]
    assert names(tmp_path) == ["run"]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), Killed(), ValueError("x")]
)
def test_an_error_while_filling_a_folder_leaves_the_old_one(tmp_path: Path, error: BaseException) -> None:
    with replace_folder(tmp_path / "run") as tmp:
        (tmp / "a.txt").write_text("old")
    expected: Any = CheckpointError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected), replace_folder(tmp_path / "run") as tmp:  # noqa: PT012
        (tmp / "a.txt").write_text("ha")
        raise error
    assert (tmp_path / "run" / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["run"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), Killed()])
@pytest.mark.parametrize("at", [1, 2])
def test_a_failure_of_either_rename_keeps_one_whole_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, error: BaseException
) -> None:
    with replace_folder(tmp_path / "run") as tmp:
        (tmp / "a.txt").write_text("old")
    calls, rename = [], os.replace

    def failing(source: Any, goal: Any) -> None:
        calls.append(source)
        if len(calls) == at:
            raise error
        rename(source, goal)

    monkeypatch.setattr(os, "replace", failing)
    expected: Any = CheckpointError if isinstance(error, OSError) else Killed
    with pytest.raises(expected), replace_folder(tmp_path / "run") as tmp:
        (tmp / "a.txt").write_text("new")
    monkeypatch.undo()

    recover_folder(tmp_path / "run")
    assert (tmp_path / "run" / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["run"]


def left_by_a_kill(folder: Path) -> Path:
    """What lies there when the process is gone after the first rename: no clean-up ran."""
    with replace_folder(folder / "run") as tmp:
        (tmp / "a.txt").write_text("old")
    (folder / "run").rename(folder / ".run.0123abcd.old")
    (folder / ".run.12345678.tmp").mkdir()
    (folder / ".run.12345678.tmp" / "a.txt").write_text("new, but nobody said it was whole")
    return folder / "run"


def test_a_hard_kill_between_the_renames_is_recovered(tmp_path: Path) -> None:
    run = left_by_a_kill(tmp_path)
    recover_folder(run)
    recover_folder(run)  # once more does no harm

    assert (run / "a.txt").read_text() == "old"
    with replace_folder(run) as tmp:
        (tmp / "a.txt").write_text("newer")
    assert (run / "a.txt").read_text() == "newer"
    assert not list(tmp_path.glob("*.old"))
    assert not list(tmp_path.glob(".run.*.old"))


def test_a_hard_kill_within_a_folder_with_files_of_others_is_recovered(tmp_path: Path) -> None:
    """Files of others keep the folder in place, so its own folders are replaced one by one."""
    run = own_folder(tmp_path / "run")
    (run / "notes.txt").write_text("mine")
    with replace_folder(run) as tmp:
        write_text(tmp / "deep" / "a.txt", "old")
    (run / "deep").rename(run / ".deep.0123abcd.old")
    (run / ".hers.0123abcd.old").mkdir()
    (run / ".hers.0123abcd.old" / "b.txt").write_text("of somebody else")
    recover_folder(run)
    recover_folder(run)  # once more does no harm
    assert (run / "deep" / "a.txt").read_text() == "old"
    assert names(run) == [".hers.0123abcd.old", "deep", "notes.txt"]
    with replace_folder(run) as tmp:
        write_text(tmp / "deep" / "a.txt", "new")
    assert (run / "deep" / "a.txt").read_text() == "new"


def test_an_old_copy_never_replaces_a_folder_that_is_there(tmp_path: Path) -> None:
    for name in ("run", "run.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(name)
    recover_folder(tmp_path / "run")
    assert (tmp_path / "run" / "a.txt").read_text() == "run"
    recover_folder(tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_saving_after_an_unrecovered_kill_does_not_lose_the_old_copy_first(tmp_path: Path) -> None:
    run = left_by_a_kill(tmp_path)
    with pytest.raises(ValueError, match="stop"), replace_folder(run):
        raise ValueError("stop")
    assert (run / "a.txt").read_text() == "old"


def test_json_round_trip_and_its_errors(tmp_path: Path) -> None:
    value = {"a": [1, 2.5, None, "ö"], "b": {"c": True}}
    write_json(tmp_path / "a.json", value)
    write_json(tmp_path / "a.json", value)  # the same content is no loss
    assert read_json(tmp_path / "a.json") == value
    with pytest.raises(CheckpointError, match="no file"):
        read_json(tmp_path / "b.json")
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    (tmp_path / "a.json").write_text(text[: len(text) // 2])
    with pytest.raises(CheckpointError, match="corrupt or truncated"):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CheckpointError, match="corrupt or truncated"):
        read_json(tmp_path / "a.json")
    with pytest.raises(CheckpointError, match="corrupt or truncated"):
        read_json(tmp_path)
