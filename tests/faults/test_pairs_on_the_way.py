"""Pairs on their way in and out: swapped ones, lists of captions, columns of answers, words of commands."""

from __future__ import annotations

import base64
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pair_models
from cli_tools import sidelight as command
from face_toys import pair_explainer
from sidelight import Explainer
from sidelight.errors import ConfigError, InputError

CAPTIONS = ["a red square", "a blue square"]
EXPLAIN = ("explain", "scorer", "--model", "model")


@pytest.fixture(scope="module")
def pairs() -> Explainer:
    return pair_explainer()


@pytest.fixture(scope="module")
def place(pairs: Explainer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a scorer, its classifier, a photo and a text."""
    folder = tmp_path_factory.mktemp("pairs")
    pairs.save_pretrained(folder / "scorer")
    pairs.target.model.save_pretrained(folder / "model")  # type: ignore[operator]
    pairs.target.reader.save(folder / "model")
    pair_models.images(1)[0].save(folder / "photo.png")
    (folder / "caption.txt").write_text("a red square")
    return folder


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(place)
    return tmp_path / "out"


def test_kind_a_command_whose_classifier_cannot_be_loaded_names_its_option(
    here: Path, tmp_path: Path
) -> None:
    """The message named an argument of Python alone."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{}")
    found = command("explain", "scorer", "--model", str(tmp_path / "broken"), "photo.png", "a red square")
    assert found.code == 2
    assert "on the command line --model" in found.err


def test_kind_the_option_of_workers_is_named(here: Path) -> None:
    found = command(*EXPLAIN, "--csv", "none.csv", "--workers", "2")
    assert "--engine ray" in found.err


def test_kind_answers_of_another_job_are_told_without_an_option_of_the_command(
    pairs: Explainer, tmp_path: Path
) -> None:
    pairs.explain_dataset(pair_models.pairs()[:1], tmp_path / "out")
    with pytest.raises(ConfigError, match="Choose another folder for the answers"):
        pairs.explain_dataset(pair_models.pairs()[1:], tmp_path / "out")


@pytest.mark.parametrize("name", ["explain", "compare"])
@pytest.mark.parametrize("image", ["a red square", "caption.txt"])
def test_kind_a_swapped_pair_of_arguments_is_told(here: Path, name: str, image: str) -> None:
    """The message said that the picture is no text in UTF-8."""
    found = command(name, "scorer", "--model", "model", image, "photo.png")
    assert found.code == 2
    assert "the two are swapped" in found.err


def test_kind_a_swapped_pair_with_a_path_is_told(pairs: Explainer, place: Path) -> None:
    with pytest.raises(InputError, match="the two are swapped"):
        pairs.explain(("a red square", place / "photo.png"))


def test_kind_a_swapped_pair_over_http_is_told(pairs: Explainer, place: Path) -> None:
    pytest.importorskip("prometheus_client", reason="the extra serve is not installed")
    from serving_toys import one
    from sidelight.serving import app

    coded = base64.b64encode((place / "photo.png").read_bytes()).decode()
    service = app({"pairs": pairs})
    for text in (coded, f"data:image/png;base64,{coded}"):
        found = one(service, json={"image": "a red square", "text": text})
        assert found.status_code == 422
        assert "the two are swapped" in found.json()["error"]["message"]
    assert one(service, json={"image": coded, "text": "a red square"}).status_code == 200


@pytest.mark.parametrize("caption", ["a value", "a file"])
@pytest.mark.parametrize("photo", ["a file", "its content", "base64"])
def test_kind_a_swapped_pair_in_a_form_is_told(
    pairs: Explainer, place: Path, photo: str, caption: str
) -> None:
    """The message said that text must be a value, or that the picture cannot be read, or that there are too many files."""
    pytest.importorskip("prometheus_client", reason="the extra serve is not installed")
    from serving_toys import one
    from sidelight.serving import app

    content = (place / "photo.png").read_bytes()
    # a part without a name of a file is a value, whatever it holds
    texts = {"a file": ("photo.png", content), "its content": (None, content)}
    text = texts.get(photo, (None, base64.b64encode(content)))
    image = ("caption.txt" if caption == "a file" else None, b"a red square")
    service = app({"pairs": pairs})
    found = one(service, files={"text": text, "image": image})
    assert found.status_code == 422
    assert "the two are swapped" in found.json()["error"]["message"]
    assert one(service, data={"text": "a"}, files={"image": ("p.png", content)}).status_code == 200
    for odd in ({"text": ("a.txt", b"a red square")}, {"versus": ("a", b"1"), "text": (None, b"a")}):
        found = one(service, files={"image": ("p.png", content), **odd})
        assert "must be a value and no file" in found.json()["error"]["message"]


def test_kind_a_text_that_was_asked_for_as_a_text_gives_no_warning(
    here: Path, recwarn: pytest.WarningsRecorder
) -> None:
    """``--as-text`` says that the name itself is meant, and the warning asked whether it is."""
    found = command(*EXPLAIN, "photo.png", "caption.txt", "--as-text", "--out", str(here))
    assert found.code == 0, found.err
    assert not [w for w in recwarn if w.category.__name__ == "FileNameWarning"]


@pytest.mark.parametrize("column", ["text", "caption", "sentence"])
@pytest.mark.parametrize("texts", [CAPTIONS, CAPTIONS[:1], [*CAPTIONS, "dull"], np.array(CAPTIONS), []])
def test_kind_several_captions_of_one_picture_are_not_read_as_two_texts(
    pairs: Explainer, place: Path, column: str, texts: Any
) -> None:
    """Two captions were read as one pair of texts, without a word."""
    path = str(place / "photo.png")
    for sample in ([{"image": path, column: texts}], (path, texts), [(path, texts)]):
        with pytest.raises(InputError, match=f"is a list of {len(texts)}, and a pair has one"):
            pairs.explain(sample)


@pytest.mark.parametrize("columns", [(), ("image", "caption")])
def test_kind_json_lines_with_lists_of_captions_are_refused_row_by_row(
    pairs: Explainer, place: Path, tmp_path: Path, columns: tuple[str, ...]
) -> None:
    path, table = str(place / "photo.png"), tmp_path / "rows.jsonl"
    rows = [{"image": path, "caption": CAPTIONS}, {"image": path, "caption": CAPTIONS[0]}]
    table.write_text("\n".join(map(json.dumps, rows)))
    bad, good = pairs.explain_dataset(table, tmp_path / "out", columns=columns)
    assert good
    assert not bad
    assert "list of 2" in bad.reason


def test_kind_two_texts_that_belong_together_stay_two_texts(pairs: Explainer) -> None:
    picture = pair_models.images(1)[0]
    (rows,) = pairs.explain([{"image": picture, "premise": CAPTIONS[0], "hypothesis": CAPTIONS[1]}])
    assert pairs.explain((picture, tuple(CAPTIONS))).probability == pytest.approx(rows.probability)


@pytest.mark.parametrize("column", ["img", "picture", "photo", "image"])
def test_kind_answers_have_the_columns_of_the_table_and_no_picture_of_our_own(
    pairs: Explainer, place: Path, tmp_path: Path, column: str
) -> None:
    """Beside ``photo`` there was a column ``image`` with the same path."""
    (tmp_path / "beside.png").write_bytes((place / "photo.png").read_bytes())
    table, out = tmp_path / "rows.csv", tmp_path / "out"
    table.write_text(f"{column},caption\nbeside.png,a red square\n")
    pairs.explain_dataset(table, out)
    with (out / "explanations.csv").open(newline="") as file:
        (line,) = csv.DictReader(file)
    assert {"image", "img", "picture", "photo"} & set(line) == {column}
    assert Path(line[column]).name == "beside.png"


def test_kind_another_picture_under_another_usual_name_is_another_job(
    pairs: Explainer, tmp_path: Path
) -> None:
    picture, table, out = tmp_path / "beside.png", tmp_path / "rows.csv", tmp_path / "out"
    pair_models.images(1)[0].save(picture)
    table.write_text("photo,caption\nbeside.png,a red square\n")
    pairs.explain_dataset(table, out)
    pair_models.images(1, seed=5)[0].resize((50, 50)).save(picture)
    with pytest.raises(ConfigError, match="another job"):
        pairs.explain_dataset(table, out)
