"""The class that a map is asked for: how people name it, and what is refused in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from sidelight.core.types import Encoding
from sidelight.errors import ConfigError, InputError
from sidelight.explanations.classes import Asked, Classes, checked_classes, chosen_classes
from sidelight.explanations.explanation import Explanation
from sidelight.scorers import ScorerConfig

LOGITS = torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 1.0]])
ENCODING = Encoding(LOGITS, {}, {})
NAMES = {0: "dog", 1: "cat", 2: "cow"}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (2, [2, 2]),
        (np.int64(1), [1, 1]),
        (torch.tensor(1), [1, 1]),
        (np.array(1), [1, 1]),
        ("cat", [1, 1]),
        ("Cat", [1, 1]),
        (" COW ", [2, 2]),
        ("1", [1, 1]),
        (" 1 ", [1, 1]),
        ("second", [2, 2]),
        (["cow", "second"], [2, 2]),
        (("cat", 0), [1, 0]),
        (torch.tensor([0, 2]), [0, 2]),
        (np.array([1, 0]), [1, 0]),
    ],
)
def test_a_class_goes_by_number_name_or_place(wanted: Any, expected: list[int]) -> None:
    found = chosen_classes(wanted, LOGITS, NAMES)
    assert found is not None
    assert found.tolist() == expected


def test_no_class_stands_for_the_predicted_ones() -> None:
    assert chosen_classes(None, LOGITS, NAMES) is None


def test_a_name_comes_before_a_number_and_before_the_runner_up() -> None:
    names = {0: "1", 1: "second", 2: "cow"}
    assert chosen_classes(["1", "second"], LOGITS, names).tolist() == [0, 1]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (3, r"target=3 is no class: the model has 3, 0 to 2"),
        (-1, r"target=-1 is no class"),
        (True, "must be a class number, a class name or 'second'; got True"),
        (1.0, "must be a class number"),
        (b"cat", "must be a class number"),
        ({"cat"}, "must be a class number"),
        ([[0, 1], [1, 2]], "must be a class number"),
        (np.array([[0.5], [1.0]]), "must be a class number"),
        (torch.tensor(0.5), "must be a class number"),
        ("9" * 5000, "is no class of the model"),
        ("cta", "Did you mean 'cat'"),
        ("7", "is no class of the model.*Classes: dog, cat, cow; or 'second'"),
        ("", "is no class of the model"),
    ],
)
def test_what_is_no_class_is_refused_in_words(wanted: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        chosen_classes(wanted, LOGITS, NAMES)


def test_two_classes_of_one_name_need_the_number() -> None:
    with pytest.raises(ConfigError, match=r"names 2 classes, \[0, 2\]; give the number"):
        chosen_classes("cow", LOGITS, {0: "cow", 1: "cat", 2: "cow"})


def test_two_classes_that_differ_in_case_need_the_name_as_it_is() -> None:
    names = {0: "US", 1: "us", 2: "cow"}
    assert chosen_classes(["us", "US"], LOGITS, names).tolist() == [1, 0]  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match=r"'Us' names 2 classes, \[0, 1\]; give the number"):
        chosen_classes("Us", LOGITS, names)


def test_a_model_of_one_class_has_no_second() -> None:
    with pytest.raises(ConfigError, match="needs two classes"):
        chosen_classes("second", LOGITS[:, :1], {})


def test_classes_without_names_go_by_number() -> None:
    with pytest.raises(ConfigError, match="Classes: 0 to 2"):
        chosen_classes("cat", LOGITS, {})


@pytest.mark.parametrize("count", [1, 3, None])
def test_a_list_has_one_class_for_each_sample(count: int | None) -> None:
    message = "stream" if count is None else f"lists 2 classes for {count} sample"
    for name in ("target", "versus"):
        asked = Asked(**{name: ["cat", "dog"]})
        asked.require_length(2)
        with pytest.raises(InputError, match=f"^{name} .*{message}"):
            asked.require_length(count)
    with pytest.raises(InputError, match="lists 1 class for 2 samples"):
        chosen_classes(["cat"], LOGITS, NAMES)
    Asked(target="cat", versus=1).require_length(count)


def test_lists_are_read_at_the_numbers_of_the_samples() -> None:
    asked = Asked(target=["dog", "cat", "cow", "second"], versus=torch.tensor([1, 0, 0, 0]))
    found = asked.classes(ENCODING, NAMES, [2, 3])
    assert found.explained is not None
    assert found.versus is not None
    assert (found.explained.tolist(), found.versus.tolist()) == ([2, 2], [0, 0])
    assert found.of(0, NAMES) == {
        "explained": 2,
        "versus": 0,
        "meta": {"explained_label": "cow", "versus_label": "dog"},
    }
    assert Classes().of(0, NAMES) == {"meta": {}}


def test_a_class_is_not_compared_with_itself() -> None:
    with pytest.raises(InputError, match="sample 1: versus='cat' is the class that is explained"):
        Asked(versus="cat").classes(ENCODING, NAMES, [0, 1])
    found = Asked(versus="second").classes(ENCODING, NAMES, [0, 1])
    assert found.explained is not None
    assert found.explained.tolist() == [0, 1]


def test_a_scorer_of_the_predicted_class_takes_no_class() -> None:
    for asked in (Asked(target=0), Asked(versus="cat")):
        asked.require_scorer(ScorerConfig(by_class=True))
        with pytest.raises(ConfigError, match=r"predicted class only.*objective='robust'"):
            asked.require_scorer(ScorerConfig())
    Asked(verify=True).require_scorer(ScorerConfig())


@pytest.mark.parametrize(
    "columns",
    [
        lambda names: pd.Series(names, index=range(len(names), 0, -1)),
        pd.Index,
        pa.array,
        lambda names: pa.chunked_array([names]),
    ],
    ids=["Series", "Index", "Array", "ChunkedArray"],
)
def test_columns_of_tables_name_a_class_for_each_sample(columns: Any) -> None:
    names = columns(["cat", "dog", "cow"])
    asked = Asked(target=names)
    asked.require_length(3)
    found = asked.classes(ENCODING, NAMES, [2, 0]).explained
    assert found is not None
    assert found.tolist() == [2, 1]
    with pytest.raises(InputError, match="3 classes for 2 samples"):
        chosen_classes(names, LOGITS, NAMES)


def test_an_accented_letter_may_be_written_as_two_signs() -> None:
    found = chosen_classes("cafe\u0301", LOGITS, {0: "dog", 1: "Caf\u00e9", 2: "cow"})
    assert found is not None
    assert found.tolist() == [1, 1]


def test_names_beyond_the_classes_are_not_offered() -> None:
    with pytest.raises(ConfigError, match=r"no class of the model\. Classes: dog, cat, cow; or"):
        chosen_classes("bird", LOGITS, {**NAMES, 9: "bird"})


def test_a_message_shows_the_beginning_of_a_long_name() -> None:
    names = {0: "x" * 3000, 1: "cat", 2: "cow"}
    with pytest.raises(ConfigError, match=r"x{60}, cat, cow") as error:
        chosen_classes("horse", LOGITS, names)
    assert len(str(error.value)) < 300


STARS = {0: "1", 1: "2", 2: "3"}


@pytest.mark.parametrize(("wanted", "expected"), [("1", 0), ("3", 2), (" 2 ", 1), (0, 0), (2, 2)])
def test_if_classes_are_called_by_numbers_a_string_is_a_name(wanted: Any, expected: int) -> None:
    found = chosen_classes(wanted, LOGITS, STARS)
    assert found is not None
    assert found.tolist() == [expected, expected]


@pytest.mark.parametrize("names", [STARS, {0: "a", 1: "b", 2: "3"}], ids=["all", "one"])
def test_a_string_that_is_no_name_beside_such_names_is_no_number(names: dict[int, str]) -> None:
    with pytest.raises(
        ConfigError, match=r"'0' is no class of the model\. Numbers are names of classes here"
    ):
        chosen_classes("0", LOGITS, names)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (torch.tensor([0, -1]), "classes=-1 is no class: the model has 3, 0 to 2"),
        (torch.tensor([0, 3]), "classes=3 is no class"),
        (torch.tensor([1]), "classes lists 1 class for 2 samples"),
        (torch.tensor([[0, 1]]), r"a class for each sample, \[B\]; got the shape \[1, 2\]"),
        (np.array([[0, 1], [1, 2]]), r"a class for each sample, \[B\]; got the shape \[2, 2\]"),
        (torch.tensor([0.0, 1.0]), "classes must be a class number"),
        (torch.tensor([True, False]), "classes must be a class number"),
        (["cat", "bird"], "classes='bird' is no class"),
    ],
)
def test_a_tensor_of_classes_is_checked(wanted: Any, message: str) -> None:
    with pytest.raises((ConfigError, InputError), match=message):
        checked_classes(ENCODING, NAMES, wanted, None)


@pytest.mark.parametrize(
    "wanted", [torch.tensor([1, 0]), torch.tensor([1, 0], dtype=torch.uint8), [1, 0], ("cat", "dog")]
)
def test_classes_for_each_sample_become_whole_numbers(wanted: Any) -> None:
    found, _ = checked_classes(ENCODING, NAMES, wanted, None)
    assert found is not None
    assert (found.dtype, found.tolist()) == (torch.int64, [1, 0])


def test_classes_that_share_a_name_are_told_apart() -> None:
    """Before, a picture of another class of the same name looked like one of the predicted class."""
    names = {0: "crane", 1: "crane", 2: "cow"}
    meta = Classes(torch.tensor([1, 2]), torch.tensor([0, 0])).of(0, names)["meta"]
    assert meta == {"explained_label": "crane (class 1)", "versus_label": "crane (class 0)"}
    assert Classes(torch.tensor([1, 2])).of(1, names)["meta"] == {"explained_label": "cow"}
    shown = Explanation({"text": np.ones(1)}, {"text": ["so"]}, 0, "crane", 0.9, explained=1, meta=meta)
    assert "map of crane (class 1)" in shown.to_html()
