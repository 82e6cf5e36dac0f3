"""The same faults in other forms: other calls, containers, modalities and kinds of files."""

from __future__ import annotations

import pytest
from fault_models import SQUARE, P, T, bert, eye, tok

from sidelight.errors import ConfigError
from sidelight.targets import as_target

# -- options of a target ------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "here"),
    [("bla", "For a Bert"), ("layer", "Did you mean 'layers'"), ("labels", r"class_names=\[")],
)
def test_kind_an_unknown_option_names_the_call_that_was_made(option: str, here: str) -> None:
    with pytest.raises(ConfigError, match=rf"as_target\(\) has no option '{option}'.*{here}") as told:
        as_target(bert(), tok(), **{option: 1})
    assert "settings" not in str(told.value)  # they are fields of fit alone


def test_kind_an_option_of_a_training_is_not_advised_where_nothing_is_trained() -> None:
    with pytest.raises(ConfigError, match=r"as_target\(\) has no option 'lr'") as told:
        as_target(bert(), tok(), lr=1)
    assert "learning_rate" not in str(told.value)


def test_kind_class_names_of_another_number_are_told_without_a_training() -> None:
    two, pixels = eye(labels=2), SQUARE(P[0])[None]
    target = as_target(two, SQUARE, class_names=["a"])
    with pytest.raises(ConfigError, match="class_names holds 1 name, but the model tells 2 classes apart"):
        target.encode({"pixel_values": pixels})
    target = as_target(
        bert(labels=2, problem_type="multi_label_classification"), tok(), class_names=["a", "b"]
    )
    assert target.encode(target.reader.read(T[:1]).inputs).logits.shape == (1, 4)  # with their opposites
