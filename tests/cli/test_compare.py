"""``sidelight compare``: one input on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from cli_tools import sidelight
from sidelight.lab import compare
from sidelight.lab.data.digits import digit_scenes
from sidelight.lab.runs.run import Run
from tiny_runs import TEXT, tiny_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of pictures, not to be changed."""
    return tiny_run(tmp_path_factory.mktemp("compare") / "run").folder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.fromarray(digit_scenes("test", 1).images[0]).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_a_picture_gives_a_table_a_page_and_rows(run: Path, photo: Path, tmp_path: Path) -> None:
    page, rows = tmp_path / "out.html", tmp_path / "rows.json"
    words = ("--method", "saliency", "--method", "random", "--area", "0.3", "--out", page, "--json", rows)
    for _ in range(2):  # files of ours may be replaced
        result = sidelight("compare", run, photo, *words)
        assert result.code == 0, result.err
    assert "kept, zero" in result.out
    assert "Saliency" in result.out
    assert "top 30%" in result.out
    assert "<table" in page.read_text()
    found = json.loads(rows.read_text())
    expected = compare(Run.open(run).explainer(), str(photo), ["saliency", "random"], area=0.3).rows()
    assert [r["method"] for r in found] == [r["method"] for r in expected]
    for one, other in zip(found, expected, strict=True):
        assert one["kept"] == pytest.approx(other["kept"], abs=1e-5)
        assert one["lost"] == pytest.approx(other["lost"], abs=1e-5)


def test_a_scorer_folder_and_a_text(tmp_path: Path) -> None:
    folder = tiny_run(tmp_path / "run", TEXT, scorer={**TEXT["scorer"], "by_class": True}).folder
    scorer = folder / "scorer-0" / "scorer"
    words = ("--method", "occlusion", "--fill", "zero", "--target", "second")
    for place in (folder, scorer):
        result = sidelight("compare", place, "some words to explain", *words)
        assert result.code == 0, result.err
        assert "Occlusion" in result.out
        assert "kept, mean" not in result.out


def test_bad_calls_are_named(run: Path, photo: Path, tmp_path: Path) -> None:
    for words, message in (
        ((photo, photo), "one input is compared at a time; got 2"),
        ((photo, "--method", "oclusion"), "Did you mean 'occlusion'"),
        ((photo, "--area", "2"), "area must be a share"),
        ((photo, "--method", "random", "--out", tmp_path / "x.jpg"), "written as .png"),
        ((tmp_path / "none.png",), "none.png"),
    ):
        result = sidelight("compare", run, *words)
        assert result.code == 2, result.out
        assert message in result.err
        assert "Traceback" not in result.err


def test_an_output_that_cannot_be_written_is_refused_before_any_method_runs(
    run: Path, photo: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.html"
    own.write_text("mine")
    for out, told in (
        (tmp_path / "a.xyz", ".png, .svg"),
        (own, "stays as it is"),
        (own / "a.md", "is a file"),
    ):
        result = sidelight("compare", run, photo, "--method", "random", "--out", out)
        assert result.code == 2
        assert told in result.err
        assert "agreement" not in result.out
    assert own.read_text() == "mine"
