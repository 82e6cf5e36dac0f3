"""Strings that are texts to the library and names of files to whoever wrote them."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest
from fault_models import P, S, T, bert, tok

import sidelight
from cli_tools import sidelight as command
from sidelight import Explainer, read_explanations
from sidelight.errors import CheckpointError, InputError, InputTypeError
from sidelight.inputs.file_names import FileNameWarning

TOLD = r"'reviews\.csv', is the name of a file.*explainer\.explain\(Path\('reviews\.csv'\)\)"


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("reviews.csv").write_text("text\na good film\na dull plot\n")
    Path("note.txt").write_text("a good film")
    Path("film").write_text("a good film")


def test_kind_a_text_that_names_a_file_is_told_and_stays_a_text(texts: Explainer, tmp_path: Path) -> None:
    with pytest.warns(FileNameWarning, match=TOLD) as told:
        found = texts.explain("reviews.csv")
    assert "".join(found.inputs["text"]) == "reviews.csv"
    assert len(told) == 1
    with pytest.warns(FileNameWarning, match=rf"sample 1, {TOLD}"):
        texts.explain([T[0], "reviews.csv"])
    with pytest.warns(FileNameWarning, match=rf"sample 2, {TOLD}"):
        list(texts.explain_stream([*T[:2], "reviews.csv"], batch_size=1))
    with pytest.warns(FileNameWarning, match=rf"sample 2, {TOLD}"):
        texts.explain_dataset({"text": [*T[:2], "reviews.csv"]}, tmp_path / "out")
    with pytest.warns(FileNameWarning, match=r"note\.txt.*So are 1 more.*Path\('note\.txt'\)\.read_text\(\)"):
        texts.explain(["note.txt", "reviews.csv"])


def test_kind_a_path_that_only_a_shell_understands_is_told_where_it_is_read(
    texts: Explainer, images: Explainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    P[0].save(home / "a.png")
    (home / "films.csv").write_text("text\na good film\n")
    with pytest.raises(InputError, match=rf"begins with '~'.*{home / 'a.png'}"):
        images.explain("~/a.png")
    for given in ("~/films.csv", "~/films"):
        with pytest.raises((InputError, InputTypeError), match=rf"begins with '~'.*{home / 'films'}"):
            texts.explain(Path(given))
    with pytest.warns(
        FileNameWarning, match=rf"'~/films\.csv', is .*explain\(Path\('{home / 'films.csv'}'\)\)"
    ):
        texts.explain("~/films.csv")


def test_kind_a_path_in_the_place_of_a_text_is_told(texts: Explainer) -> None:
    for given in (Path("note.txt"), [Path("note.txt")], Path("nothing")):
        with pytest.raises(InputTypeError, match=r"the path '.*which is no text.*path\.read_text\(\)"):
            texts.explain(given)


def test_kind_a_pipeline_tells_of_a_text_that_names_a_file(texts: Explainer) -> None:
    pipe = sidelight.pipeline(explainer=texts)
    with pytest.warns(FileNameWarning, match=TOLD) as told:
        pipe("reviews.csv")
    assert len(told) == 1


def test_kind_a_training_tells_of_texts_that_name_files(tmp_path: Path) -> None:
    rows = [*T[:30], "reviews.csv"]
    with pytest.warns(FileNameWarning, match=rf"row 30 of train, {TOLD}") as told:
        Explainer.fit(bert(), rows, eval=T[30:40], processor=tok(), output_dir=tmp_path / "run", **S)
    assert sum(w.category is FileNameWarning for w in told) == 1


def test_kind_other_texts_are_not_taken_for_files(texts: Explainer, images: Explainer) -> None:
    P[0].save("a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error", FileNameWarning)
        texts.explain(["film", "reviews.tsv", "a good film.", "reviews.csv\n", "a\0b.csv", "\udcff.csv"])
        assert len(texts.explain(Path("reviews.csv"))) == 2
        assert len(list(texts.explain_stream("reviews.csv"))) == 2  # several samples: a string is a path
        images.explain("a.png")


def test_kind_what_a_person_types_is_no_name_of_a_file(texts: Explainer) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", FileNameWarning)
        session = texts.live(T[0])
        session.retype("reviews.csv")
        assert "".join(session.explanation.inputs["text"]) == "reviews.csv"


def test_kind_names_that_are_not_utf_8(images: Explainer, tmp_path: Path) -> None:
    """Weights and tables in such a folder were written and could not be read: "corrupt", or errors of Python."""
    folder, other = tmp_path / "pictures", os.fsdecode(b"out\xe9")
    folder.mkdir()
    picture = str(folder / os.fsdecode(b"caf\xe9.png"))
    try:
        P[0].save(picture)
    except OSError:
        pytest.skip("this disk takes no such names")
    images.save_pretrained("scorer")
    told = "is not UTF-8, and the libraries that read weights and tables open no such folder"
    for call in (
        lambda: images.explain_dataset(folder, other),
        lambda: images.save_pretrained(other),
        lambda: Explainer.fit(bert(), T, processor=tok(), output_dir=other, **S),
        lambda: sidelight.load(other, images.target.model),
        lambda: read_explanations(other),
    ):
        with pytest.raises(CheckpointError, match=told):
            call()
    images.target.model.save_pretrained("model")
    run = ("explain", "scorer", "--model", "model")
    result = command(*run, "--folder", folder, "--out", other)
    assert result.code == 2
    assert told in " ".join(result.err.split())
    assert not Path(other).exists()
    assert images.explain_dataset(folder, "good")[0].meta["columns"] == {"image": picture}
    explanation = images.explain(picture)
    explanation.meta["source"] = picture
    explanation.save(Path(other) / "why")
    assert sidelight.Explanation.load(Path(other) / "why.json").meta["source"] == picture
