"""An example that is opened on the page shows what the fields of the page ask, and says if it is another input."""

from __future__ import annotations

from pathlib import Path

import pytest

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
