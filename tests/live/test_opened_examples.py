"""An example that is opened on the page shows what the fields of the page ask, and says if it is another input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from datasets import Dataset

from face_toys import text_explainer
from sidelight import Explainer, Explanation
from sidelight.live.desk import Desk
from sidelight.live.gallery import Gallery, sample_of

TWO = ("the story is charming", "a dull film")


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return text_explainer()


def desk_of(explainer: Explainer, *examples: object) -> Desk:
    return Desk({"run": explainer}, {"run": Gallery(explainer, examples)})


def test_it_takes_the_class_and_the_fill_that_the_fields_show(explainer: Explainer) -> None:
    desk, asked = desk_of(explainer, TWO[0]), ("0", "2", "random", 0.5)
    found, typed = desk.example("run", 0, *asked), desk.open("run", None, TWO[0], *asked)
    assert "Map of LABEL_0, not LABEL_2" in str(found.map)
    assert (found.verdict, found.map, found.left) == (typed.verdict, typed.map, typed.left)


def test_the_field_of_one_text_does_not_get_two(explainer: Explainer) -> None:
    desk = desk_of(explainer, TWO)
    found, expected = desk.example("run", 0), explainer.explain(TWO)
    assert found.text == ""  # it would be explained as it stands there
    assert f"<b>{expected.label}</b> {expected.probability:.1%}" in str(found.verdict)
    assert "has two texts" in str(found.verdict)
    assert "has two texts" not in str(desk_of(explainer, TWO[0]).example("run", 0).verdict)


def test_an_explanation_in_memory_brings_its_own_input(explainer: Explainer) -> None:
    (stored,) = explainer.explain([TWO])
    found = desk_of(explainer, stored).example("run", 0)
    assert f"{stored.probability:.1%}" in str(found.verdict)
    assert "The stored explanation says" not in str(found.verdict)


def test_an_explanation_that_cannot_be_read_again_is_told(explainer: Explainer, tmp_path: Path) -> None:
    (stored,) = explainer.explain([TWO])
    stored.save(tmp_path / "why")
    loaded = Explanation.load(tmp_path / "why")
    again = explainer.explain(sample_of(loaded))
    assert abs(again.probability - stored.probability) > 0.005, "two texts in one are another input"
    told = str(desk_of(explainer, loaded).example("run", 0).verdict)
    assert f"The stored explanation says {stored.label} {stored.probability:.1%}." in told


ROWS = {"sentence": list(TWO), "label": [1, 0]}


@pytest.mark.parametrize(
    "given",
    [list(TWO), ROWS, pd.DataFrame(ROWS), Dataset.from_dict(ROWS), (text for text in TWO)],
    ids=["list", "columns", "frame", "data set", "generator"],
)
def test_examples_are_rows_in_every_form(explainer: Explainer, given: Any) -> None:
    """Slices of a data set are columns, and their names were shown as the texts: "sentence" and "label"."""
    gallery = Gallery(explainer, given)
    assert len(gallery) == 2
    found = {"".join(example.explanation.inputs["text"]) for example in gallery.sorted()}
    assert found == set(TWO)


def test_a_text_alone_is_one_example(explainer: Explainer) -> None:
    (example,) = Gallery(explainer, TWO[1]).sorted()
    assert "".join(example.explanation.inputs["text"]) == TWO[1]


def test_stored_explanations_are_examples(explainer: Explainer, tmp_path: Path) -> None:
    stored = explainer.explain_dataset(list(TWO), tmp_path / "out")
    assert [example.number for example in Gallery(explainer, stored).sorted()] == [0, 1]
