"""``sidelight explain --target --versus``: maps of other classes than the predicted one, of inputs and of tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from cli_tools import sidelight
from sidelight import Explainer, Explanation, ScorerConfig, read_explanations
from sidelight.targets import as_target
from sidelight.training.network import new_scorer
from text_models import TEXTS, make_pair

NAMES = ["bad", "fair", "good"]
SMALL: dict[str, Any] = {"text": {"width": 8, "layers": 1, "heads": 2}}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scorers beside a saved classifier: one that knows classes, and one of the thesis."""
    place = tmp_path_factory.mktemp("saved")
    model, tokenizer = make_pair("bert")
    model.save_pretrained(place / "model")
    target = as_target(str(place / "model"), tokenizer, class_names=NAMES)
    for name, by_class in (("scorer", True), ("thesis", False)):
        torch.manual_seed(0)
        config = ScorerConfig(decoder=SMALL, by_class=by_class)
        Explainer(target, new_scorer(target, TEXTS[:1], config)).save_pretrained(place / name)
    return place


@pytest.fixture(scope="module")
def explainer(saved: Path) -> Explainer:
    return Explainer.from_pretrained(saved / "scorer")


@pytest.fixture(scope="module")
def table(saved: Path) -> Path:
    pd.DataFrame({"text": [TEXTS[0], "", *TEXTS[1:]]}).to_csv(saved / "t.csv", index=False)
    return saved / "t.csv"


def test_an_input_is_explained_for_a_class(saved: Path, explainer: Explainer, tmp_path: Path) -> None:
    plain = explainer.explain(TEXTS[0])
    other, last = (n for n in NAMES if n != plain.label)
    words = ("--target", other, "--versus", last, "--out", tmp_path / "out", "--json", tmp_path / "rows.json")
    result = sidelight("explain", saved / "scorer", TEXTS[0], *words)
    assert result.code == 0, result.err
    assert f"the map is of {other} (" in result.out
    assert f", and not {last}" in result.out
    (row,) = json.loads((tmp_path / "rows.json").read_text())
    assert (row["label"], row["explained"], row["versus"]) == (plain.label, other, last)
    found, expected = Explanation.load(row["data"]), explainer.explain(TEXTS[0], target=other, versus=last)
    assert (found.explained_label, found.versus) == (other, expected.versus)
    np.testing.assert_allclose(found.map, expected.map, atol=1e-5)
    assert "explained" not in json.loads(_rows(saved, tmp_path))[0]


def test_an_input_has_one_line_whatever_it_and_its_class_are_called(saved: Path, tmp_path: Path) -> None:
    """Before, a line break in a text or in the name of a class began a line that looked like one of ours."""
    names = ["bad\nerror: no disk", "fair\nerror: no disk", "good\nerror: no disk"]
    target = as_target(str(saved / "model"), make_pair("bert")[1], class_names=names)
    Explainer(target, Explainer.from_pretrained(saved / "scorer").scorer).save_pretrained(tmp_path / "named")
    result = sidelight(
        "explain", tmp_path / "named", "one\nerror: two", "--target", "1", "--out", tmp_path / "out"
    )
    assert result.code == 0, result.err
    assert not [line for line in result.out.splitlines() if line.startswith("error")]
    assert "one\\nerror: two: " in result.out


def test_the_pictures_of_an_input_show_effects_if_asked(saved: Path, tmp_path: Path) -> None:
    for reading in ("scores", "effects"):
        words = ("--reading", reading, "--out", tmp_path / reading)
        assert sidelight("explain", saved / "scorer", TEXTS[0], *words).code == 0
    pages, pictures = (
        [next((tmp_path / r).glob(f"*{end}")).read_bytes() for r in ("scores", "effects")]
        for end in (".html", ".png")
    )
    assert [b"orange: for" in page for page in pages] == [False, True]
    assert pictures[0] != pictures[1]


@pytest.mark.parametrize(
    ("scorer", "words", "message"),
    [
        ("absent", (TEXTS[0], "--reading", "ranking"), "'scores' or 'effects'; got 'ranking'"),
        ("absent", ("--csv", "rows.csv", "--reading", "effects"), "Tables of many rows hold every reading"),
        ("thesis", (TEXTS[0], "--reading", "effects"), "this explanation has no effects"),
    ],
)
def test_readings_without_a_picture(
    saved: Path, tmp_path: Path, scorer: str, words: tuple[str, ...], message: str
) -> None:
    result = sidelight("explain", saved / scorer, *words, "--out", tmp_path / "out")
    assert result.code == 2
    assert message in " ".join(result.err.split())
    assert not list(tmp_path.rglob("*.png"))


def _rows(saved: Path, folder: Path) -> str:
    rows = folder / "plain.json"
    assert (
        sidelight("explain", saved / "scorer", TEXTS[0], "--out", folder / "plain", "--json", rows).code == 0
    )
    return rows.read_text()


@pytest.mark.parametrize(
    ("scorer", "words", "message"),
    [
        ("scorer", ("--target", "god"), "Did you mean 'good'"),
        ("scorer", ("--versus", "7"), "versus='7' is no class of the model"),
        ("thesis", ("--target", "good"), "predicted class only"),
    ],
)
@pytest.mark.parametrize("form", ["input", "table"])
def test_what_is_no_class_ends_the_call(
    form: str, scorer: str, words: tuple[str, ...], message: str, saved: Path, table: Path, tmp_path: Path
) -> None:
    source = (TEXTS[0],) if form == "input" else ("--csv", table)
    result = sidelight("explain", saved / scorer, *source, *words, "--out", tmp_path / "out")
    assert result.code == 2
    assert message in result.err.replace("\n", " ")
    assert not (tmp_path / "out" / "errors.csv").exists(), "it is no fault of the rows"
    # and the folder is free for the call that was meant
    again = sidelight("explain", saved / "scorer", *source, "--target", "good", "--out", tmp_path / "out")
    assert again.code == 0, again.err


def test_a_table_is_explained_for_a_class(
    saved: Path, explainer: Explainer, table: Path, tmp_path: Path
) -> None:
    words = ("--csv", table, "--out", tmp_path / "out", "--batch-size", 2)
    assert sidelight("explain", saved / "scorer", *words, "--target", "second").code == 0
    frame = pd.read_csv(tmp_path / "out" / "explanations.csv")
    answers = [a for a in read_explanations(tmp_path / "out") if isinstance(a, Explanation)]
    assert frame["row"].tolist() == [0, 2, 3]
    for text, answer, name in zip(TEXTS, answers, frame["explained"], strict=True):
        expected = explainer.explain(text, target="second")
        assert answer.explained == expected.explained != answer.prediction
        assert answer.explained_label == name == expected.explained_label
        np.testing.assert_allclose(answer.map, expected.map, atol=1e-5)
        for kind in ("ranking", "effects"):
            np.testing.assert_allclose(
                getattr(answer, kind)["text"], getattr(expected, kind)["text"], atol=1e-5
            )
    listed = json.loads((tmp_path / "out" / "explanations.json").read_text())
    assert [e["explained"] for e in listed] == [a.explained for a in answers]
    # the same call has nothing to do, and another class is another job
    again = sidelight("explain", saved / "scorer", *words, "--target", "second")
    assert "4 of 4 rows are explained already" in again.out + again.err
    for other in ((), ("--target", "good"), ("--target", "second", "--versus", "0")):
        refused = sidelight("explain", saved / "scorer", *words, *other)
        assert refused.code == 2
        assert "another job" in refused.err
