"""Nothing of the user's is lost: every writer, every name that it uses, and what a kill leaves.

Rows 01 and 02 of the reports, "User's files", and the folders and names among "Raw exceptions".
"""

from __future__ import annotations

import errno
import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from fault_models import S, T, bert, tok

from sidelight import Explainer, Explanation
from sidelight.core.files import file_path, replace_file, write_json, write_text
from sidelight.core.folders import recover_folder, replace_folder
from sidelight.core.locks import hold
from sidelight.core.ownership import (
    MANIFEST,
    file_digest,
    foreign_entries,
    is_ours,
    may_replace,
    overwriting,
    own_folder,
)
from sidelight.errors import CheckpointError, ConfigError, ForeignFileError, InputTypeError, SidelightError

QUICK = {**S, "extra": {"disable_tqdm": True, "use_cpu": True}}


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below ``folder`` and its content."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def fit(model: Any, folder: Any, rows: Any = T, **changes: Any) -> Explainer:
    return Explainer.fit(model, rows, processor=tok(), output_dir=folder, **{**QUICK, **changes})


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Explainer:
    return fit(bert(), tmp_path_factory.mktemp("trained") / "run")


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A classifier as its owner saved it, with notes and a copy of older days."""
    bert().save_pretrained(tmp_path / "mine")
    tok().save_pretrained(tmp_path / "mine")
    (tmp_path / "mine" / "notes.txt").write_text("do not lose")
    (tmp_path / "mine.old").mkdir()
    (tmp_path / "mine.old" / "backup.txt").write_text("older")
    return tmp_path / "mine"


def weights(explainer: Explainer) -> dict[str, torch.Tensor]:
    return dict(explainer.scorer.state_dict())


def same(a: Explainer, b: Explainer) -> bool:
    first, second = weights(a), weights(b)
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


# -- 01: saving -------------------------------------------------------------------------


def test_fault_01_saving_beside_the_classifier_is_refused_and_nothing_is_touched(
    fitted: Explainer, mine: Path, tmp_path: Path
) -> None:
    before = tree(tmp_path)
    with pytest.raises(ForeignFileError, match=r"config\.json.*mine/scorer.*overwrite=True"):
        fitted.save_pretrained(mine)
    assert tree(tmp_path) == before


def test_fault_01_with_overwrite_only_the_files_of_the_same_name_are_replaced(
    fitted: Explainer, mine: Path, tmp_path: Path
) -> None:
    before = tree(tmp_path)
    fitted.save_pretrained(mine, overwrite=True)
    after = tree(tmp_path)
    assert {k: v for k, v in after.items() if before.get(k) != v}.keys() == {
        "mine/README.md",
        "mine/config.json",
        "mine/processor.json",
        "mine/scorer.safetensors",
    }
    assert before.keys() <= after.keys()
    assert same(Explainer.from_pretrained(mine, bert(), processor=tok()), fitted)


def test_fault_01_a_scorer_is_added_among_files_of_other_names(fitted: Explainer, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("x")
    (tmp_path / "data" / "sub").mkdir()
    for _ in range(2):  # the second time in place of our own
        fitted.save_pretrained(tmp_path / "data")
        assert sorted(p.name for p in (tmp_path / "data").iterdir()) == [
            "README.md",
            "a.csv",
            "config.json",
            "processor.json",
            "scorer.safetensors",
            "sub",
        ]
        assert same(Explainer.from_pretrained(tmp_path / "data", bert(), processor=tok()), fitted)
    assert (tmp_path / "data" / "a.csv").read_text() == "x"


def test_fault_01_weights_come_before_the_configuration(
    fitted: Explainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("x")
    moved: list[str] = []
    rename = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (moved.append(Path(b).name), rename(a, b)))
    fitted.save_pretrained(tmp_path / "data")
    assert moved[-3:] == ["processor.json", "scorer.safetensors", "config.json"]


@pytest.mark.parametrize("what", ["file", "link", "link to nothing"])
def test_kind_a_file_or_link_in_the_folders_place_stays(fitted: Explainer, tmp_path: Path, what: str) -> None:
    place, real = tmp_path / "place", tmp_path / "real"
    if what == "file":
        place.write_text("mine")
    else:
        if what == "link":
            real.mkdir()
        place.symlink_to(real)
    with pytest.raises(ForeignFileError, match="place"):
        fitted.save_pretrained(place)
    with pytest.raises(ForeignFileError, match="place"):
        fit(bert(), place)
    assert place.is_symlink() == (what != "file")
    assert not real.exists() or not list(real.iterdir())


def test_kind_old_and_temporary_names_of_others_are_never_touched(fitted: Explainer, tmp_path: Path) -> None:
    for name in ("sc.old", ".sc.0123abcd.old", ".sc.0123abcd.tmp", "sc.tmp"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.txt").write_text(name)
    before = tree(tmp_path)
    for _ in range(2):
        fitted.save_pretrained(tmp_path / "sc")
    after = tree(tmp_path)
    assert {k: after[k] for k in before} == before
    assert sorted(set(after) - set(before)) == [
        "sc/README.md",
        "sc/config.json",
        "sc/processor.json",
        "sc/scorer.safetensors",
    ]


def test_kind_loading_renames_nothing_of_others(tmp_path: Path) -> None:
    (tmp_path / "data.old").mkdir()
    (tmp_path / "data.old" / "a.csv").write_text("x")
    before = tree(tmp_path)
    with pytest.raises(CheckpointError):
        Explainer.from_pretrained(tmp_path / "data")
    recover_folder(tmp_path / "data")
    assert tree(tmp_path) == before
    assert not (tmp_path / "data").exists()


def test_kind_what_a_killed_earlier_version_left_is_found_and_stays(
    fitted: Explainer, tmp_path: Path
) -> None:
    fitted.save_pretrained(tmp_path / "sc.old")
    assert same(Explainer.from_pretrained(tmp_path / "sc", bert(), processor=tok()), fitted)
    assert (tmp_path / "sc.old" / "config.json").is_file()


def test_kind_a_kill_between_the_renames_is_recovered(fitted: Explainer, tmp_path: Path) -> None:
    fitted.save_pretrained(tmp_path / "sc")
    (tmp_path / "sc").rename(tmp_path / ".sc.89abcdef.old")
    assert same(Explainer.from_pretrained(tmp_path / "sc", bert(), processor=tok()), fitted)
    assert not list(tmp_path.glob(".sc.*"))


def test_kind_a_scorer_of_an_earlier_version_is_ours(fitted: Explainer, tmp_path: Path) -> None:
    """Its weights bear no mark; the configuration beside them does."""
    from safetensors.torch import load_file, save_file

    fitted.save_pretrained(tmp_path / "sc")
    save_file(load_file(tmp_path / "sc" / "scorer.safetensors"), tmp_path / "sc" / "scorer.safetensors")
    assert not foreign_entries(tmp_path / "sc")
    fitted.save_pretrained(tmp_path / "sc")


def test_kind_a_file_put_into_a_scorers_folder_survives_the_next_save(
    fitted: Explainer, tmp_path: Path
) -> None:
    fitted.save_pretrained(tmp_path / "sc")
    (tmp_path / "sc" / "README.md").write_text("about it")
    fitted.save_pretrained(tmp_path / "sc")
    assert (tmp_path / "sc" / "README.md").read_text() == "about it"


# -- 02: the folder of a training -------------------------------------------------------


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize(
    "parts", [["adapter_model.safetensors"], ["model.safetensors", "optimizer.pt", "scheduler.pt"]]
)
def test_fault_02_checkpoints_of_other_programs_stay(tmp_path: Path, parts: list[str], resume: bool) -> None:
    for step in ("100", "best"):
        folder = tmp_path / "out" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        for name in (*parts, "trainer_state.json"):
            (folder / name).write_text('{"global_step": 100, "max_steps": 100}')
    before = tree(tmp_path)
    with pytest.raises(ForeignFileError, match=r"checkpoint-100, checkpoint-best.*output_dir"):
        fit(bert(), tmp_path / "out", resume=resume)
    assert tree(tmp_path) == before


@pytest.mark.slow
def test_fault_02_checkpoints_that_appear_while_training_are_not_rotated_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Trainer removes old checkpoints by name; ours are told by their mark."""
    from sidelight.training import folder as training_folder
    from sidelight.training import trainer

    real, other = training_folder.mark_checkpoint, tmp_path / "out" / "checkpoint-1"

    def mark(checkpoint: Path) -> None:
        if not other.exists():
            other.mkdir()
            (other / "theirs.bin").write_text("theirs")
        real(checkpoint)

    monkeypatch.setattr(trainer, "mark_checkpoint", mark)
    fit(bert(), tmp_path / "out", epochs=3, checkpoints=1)
    assert (other / "theirs.bin").read_text() == "theirs"
    assert 1 <= len(training_folder.own_checkpoints(tmp_path / "out")) <= 2


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("log.csv", "time,price\n1,2\n"),
        ("log.csv", "step,seconds\n1,2\n"),
        ("log.csv", ""),
        ("training.json", '{"epochs": 3}'),
        ("training.json", "[]"),
        ("training.json", "no json"),
        ("scorer/config.json", "{}"),
        ("scorer/scorer.safetensors", "x"),
        ("scorer", "a file"),
        ("checkpoint-7", "a file"),
    ],
)
def test_kind_files_of_others_in_the_output_folder_stay(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(ForeignFileError, match="output_dir"):
        fit(bert(), tmp_path / "out")
    assert tree(tmp_path) == {f"out/{name}": content.encode()}


def test_kind_other_files_in_the_output_folder_do_not_matter(tmp_path: Path) -> None:
    bert().save_pretrained(tmp_path / "out")
    (tmp_path / "out" / "scorer").mkdir()
    (tmp_path / "out" / "scorer" / "notes.txt").write_text("mine")
    before = tree(tmp_path)
    fit(bert(), tmp_path / "out")
    fit(bert(), tmp_path / "out", resume=False)
    after = tree(tmp_path)
    assert {k: after[k] for k in before} == before


@pytest.mark.parametrize("place", ["", " ", "file", "file/below", "file/below/more", "a\0b"])
def test_kind_an_output_folder_that_cannot_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CheckpointError):
        fit(bert(), place)
    assert tree(tmp_path) == {"file": b"mine"}


def test_kind_an_output_folder_of_the_wrong_type() -> None:
    with pytest.raises(InputTypeError, match="output_dir"):
        fit(bert(), 5)


def test_kind_a_full_disk_at_a_checkpoint_is_a_clear_error_and_training_goes_on_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit(bert(), tmp_path / "whole", epochs=2)
    save, calls = torch.save, []

    def full(*args: Any, **kwargs: Any) -> None:
        calls.append(args)
        if len(calls) > 3:  # within the second checkpoint
            raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")
        save(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(CheckpointError, match=r"could not write .*checkpoint-.*call again"):
            fit(bert(), tmp_path / "out", epochs=2)
    assert same(fit(bert(), tmp_path / "out", epochs=2), whole)


def test_kind_a_full_disk_while_logging_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sidelight.training import folder as training_folder

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(training_folder.csv, "DictWriter", full)
    with pytest.raises(CheckpointError, match="No space left"):
        fit(bert(), tmp_path / "out")


# -- no folder named --------------------------------------------------------------------


def test_kind_without_an_output_folder_each_training_has_a_fresh_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.INFO, "sidelight"):
        first, second = fit(bert(), None), fit(bert(), None)
    assert first.output_dir is not None
    assert second.output_dir is not None
    assert first.output_dir != second.output_dir
    for found in (first.output_dir, second.output_dir):
        assert (found / "scorer" / "config.json").is_file()
        assert str(found) in caplog.text
    assert [p.name for p in tmp_path.iterdir()] == ["sidelight-runs"]


def test_kind_a_refused_training_leaves_no_fresh_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SidelightError):
        fit(bert(), None, rows=[])
    assert not list(tmp_path.iterdir())


def test_kind_a_working_directory_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "elsewhere"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)
    make = Path.mkdir

    def read_only(self: Path, *args: Any, **kwargs: Any) -> None:
        if "sidelight-runs" in self.parts:
            raise OSError(errno.EROFS, "Read-only file system")
        make(self, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", read_only)
    explainer = fit(bert(), None)
    assert explainer.output_dir is not None
    assert explainer.output_dir.parent == tmp_path / "elsewhere"
    assert str(explainer.output_dir) in caplog.text


# -- single files -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def answer(fitted: Explainer) -> Explanation:
    found = fitted.explain(T[0])
    assert isinstance(found, Explanation)
    return found


@pytest.mark.parametrize("name", ["x.png", "x.json"])
def test_kind_saving_an_explanation_keeps_files_of_others(
    answer: Explanation, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(ForeignFileError, match=name):
        answer.save(tmp_path / "x")
    assert tree(tmp_path) == {name: b"mine"}


def test_kind_saving_again_replaces_what_was_saved(answer: Explanation, tmp_path: Path) -> None:
    for _ in range(2):
        answer.save(tmp_path / "x")
        answer.save_html(tmp_path / "x.html")
    assert sorted(tree(tmp_path)) == ["x.html", "x.json", "x.png"]


@pytest.mark.parametrize("name", ["", "/", "..", ".", "a/..", "a\0b"])
def test_kind_a_name_that_names_no_file(answer: Explanation, name: str) -> None:
    with pytest.raises(CheckpointError, match="names no file"):
        answer.save(name)
    with pytest.raises(CheckpointError, match="names no file"):
        answer.save_html(name)
    with pytest.raises(CheckpointError):
        file_path(name)


@pytest.mark.parametrize("letter", ["y", "\u00e9", "\U0001f600"])
def test_kind_every_name_that_the_system_takes_is_written(
    answer: Explanation, tmp_path: Path, letter: str
) -> None:
    """Before, names of more than 240 bytes were refused, because the temporary name was longer than they are."""
    stem = letter * (250 // len(os.fsencode(letter)))
    answer.save(tmp_path / stem)
    answer.save_html(tmp_path / f"{stem}.html")
    assert {p.name for p in tmp_path.iterdir()} == {f"{stem}{end}" for end in (".png", ".json", ".html")}
    with pytest.raises(CheckpointError, match="choose a shorter name"), replace_folder(tmp_path / stem):
        pass


def test_kind_a_listed_file_is_ours_until_somebody_changes_it(tmp_path: Path) -> None:
    own_folder(tmp_path / "out")
    path = tmp_path / "out" / "sub" / "table.md"
    write_text(path, "one")
    write_text(path, "two")
    assert is_ours(path)
    path.write_text("three, by hand")
    assert not is_ours(path)
    with pytest.raises(ForeignFileError, match=r"table\.md"):
        write_text(path, "four")
    assert path.read_text() == "three, by hand"
    with overwriting():
        write_text(path, "five")
    assert path.read_text() == "five"
    assert is_ours(path)


def test_kind_a_kill_between_listing_and_renaming_locks_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_folder(tmp_path)
    path = tmp_path / "a.txt"
    write_text(path, "one")

    class Killed(BaseException):
        pass

    def kill(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", kill)
        with pytest.raises(Killed):
            write_text(path, "two")
    assert path.read_text() == "one"
    write_text(path, "three")
    # and a line that was cut short spoils no other
    with (tmp_path / MANIFEST).open("a") as handle:
        handle.write('\n{"file": "b.t')
    write_text(path, "four")
    assert path.read_text() == "four"


def test_kind_links_are_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text('{"format": "sidelight.x"}')
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    for allowed in (False, True):
        with overwriting(allowed), pytest.raises(ForeignFileError, match="link"):
            write_json(tmp_path / "link.json", {})
    assert (tmp_path / "link.json").is_symlink()


def test_kind_a_folder_with_others_files_keeps_them_when_ours_is_replaced(tmp_path: Path) -> None:
    for content in ("old", "new"):
        with replace_folder(tmp_path / "run") as tmp:
            (tmp / "a.txt").write_text(content)
        (tmp_path / "run" / "theirs.txt").write_text("theirs")
    assert (tmp_path / "run" / "a.txt").read_text() == "new"
    assert (tmp_path / "run" / "theirs.txt").read_text() == "theirs"
    with replace_file(tmp_path / "run" / "a.txt") as tmp:
        tmp.write_text("newest")
    with pytest.raises(ForeignFileError, match=r"theirs\.txt"), replace_folder(tmp_path / "run") as tmp:
        (tmp / "theirs.txt").write_text("ours now?")
    assert (tmp_path / "run" / "theirs.txt").read_text() == "theirs"


def test_kind_marks_are_found_where_they_belong_only(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<html><p>about sidelight</p></html>")
    (tmp_path / "a.json").write_text(json.dumps({"note": "sidelight", "format": "sidelight.x"}))
    (tmp_path / "b.json").write_text(json.dumps({"format": "sidelight.x"}))
    (tmp_path / "c.json").write_text(json.dumps([{"format": "sidelight.x"}]))
    assert [p.name for p in sorted(tmp_path.iterdir()) if is_ours(p)] == ["b.json"]
    assert may_replace(tmp_path / "nothing")
    assert not may_replace(tmp_path)


def test_kind_large_files_are_told_apart_cheaply(tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(bytes(5 << 20))
    first = file_digest(path)
    for place in (10, 5 << 19, (5 << 20) - 10):
        content = bytearray(5 << 20)
        content[place] = 1
        path.write_bytes(content)
        assert file_digest(path) != first


def test_kind_a_path_that_only_a_shell_understands_is_refused(
    fitted: Explainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    said = f"begins with '~'.*{tmp_path / 'home' / 'run'}"
    with pytest.raises(CheckpointError, match=said):
        fit(bert(), "~/run")
    with pytest.raises(CheckpointError, match=said):
        fitted.save_pretrained("~/run")
    with pytest.raises(CheckpointError, match=said):
        fitted.explain(T[0]).save("~/run")
    with pytest.raises(CheckpointError, match=said):
        fitted.explain_dataset(T[:2], "~/run")
    with pytest.raises(CheckpointError, match=said), hold(Path("~/run"), "explain"):
        pytest.fail("the folder was made")
    with pytest.raises(CheckpointError, match=said):
        Explainer.from_pretrained("~/run", bert())
    assert not tree(tmp_path)


def test_kind_checkpoints_go_to_the_folder_of_the_training_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "~").mkdir()  # a folder of the user, which transformers takes for the home folder
    fit(bert(), "~/run")
    assert list(Path("~/run").glob("checkpoint-*"))
    assert not (tmp_path / "home").exists()
    with pytest.raises(ConfigError, match="must not hold output_dir"):
        fit(bert(), "other", extra={"output_dir": str(tmp_path / "elsewhere")})


def test_kind_arguments_of_the_trainer_that_do_not_go_with_ours_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"training.extra is refused .*strategy to match"):
        fit(bert(), tmp_path / "run", extra={"save_strategy": "epoch"})
