"""What users write in calls: keywords that do not exist, bare tensors, classes in arrays of other shapes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fault_models import P, T, bert, tok, untrained

from sidelight import Explainer, ScorerConfig
from sidelight.core.guard import public
from sidelight.errors import ConfigError, InputError, InputTypeError, UnexpectedError
from sidelight.targets import as_target
from sidelight.training.network import new_scorer


@pytest.fixture(scope="module")
def thesis() -> Explainer:
    """A scorer of the predicted class only."""
    target = as_target(bert(), tok())
    return Explainer(target, new_scorer(target, [T[0]], ScorerConfig()))


# -- keywords -----------------------------------------------------------------------


def test_kind_an_unknown_keyword_is_told_with_those_that_exist(texts: Explainer, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'traget'\.* Did you mean 'target'") as caught:
        texts.explain(T[0], traget=1)  # type: ignore[call-overload]
    assert isinstance(caught.value, TypeError)  # as Python's own error is
    assert "versus, verify, refine" in str(caught.value)
    assert "self" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"explain_dataset\(\) has no argument 'out_dir'"):
        texts.explain_dataset(T, tmp_path / "a", out_dir="b")  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match=r"from_pretrained\(\) has no argument 'device'"):
        Explainer.from_pretrained(tmp_path, bert(), device="cpu")  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match=r"plot\(\) has no argument 'cmap'"):
        texts.explain(T[0]).plot(cmap="jet")  # type: ignore[call-arg]


def test_kind_other_wrong_calls_stay_those_of_python(texts: Explainer) -> None:
    with pytest.raises(TypeError, match="samples") as caught:
        texts.explain()  # type: ignore[call-overload]
    assert not isinstance(caught.value, ConfigError)
    with pytest.raises(TypeError, match="multiple values"):
        texts.explain(T[0], samples=T[1])  # type: ignore[call-overload]

    @public
    def passing(value: int) -> None:
        print(value, odd=1)  # type: ignore[call-overload]

    with pytest.raises(UnexpectedError, match="odd"):  # the call was right, what it does is not
        passing(value=1)


# -- tensors ------------------------------------------------------------------------


def test_kind_a_bare_tensor_in_place_of_inputs_is_told(texts: Explainer, images: Explainer) -> None:
    pixels, ids = torch.zeros(2, 3, 32, 32), torch.ones(2, 5, dtype=torch.long)
    for explainer, given, name in ((images, pixels, "pixel_values"), (texts, ids, "input_ids")):
        with pytest.raises(InputTypeError, match=f"a mapping with an? '{name}' tensor.*got Tensor"):
            explainer.attribute(given)  # type: ignore[arg-type]
        for ask in (explainer.read, explainer.scores):
            with pytest.raises(InputTypeError, match=r"encoding.*target\.encode.*got Tensor"):
                ask(given)  # type: ignore[operator]


@pytest.mark.parametrize("first", [-1, 1.5, "a", True, None])
def test_kind_the_first_row_of_a_stream_is_a_number_from_0(texts: Explainer, first: Any) -> None:
    """With -1 the last row came first, under the number -1, and then all rows again."""
    with pytest.raises(InputError, match=r"first must be a whole number of at least 0 and below 2\^31; got"):
        texts.explain_stream(T[:3], first=first)
    assert len(list(texts.explain_stream(T[:3], first=np.int64(1)))) == 2  # type: ignore[arg-type]


# -- several samples ----------------------------------------------------------------


def test_kind_the_values_of_a_dictionary_are_several_samples(texts: Explainer, images: Explainer) -> None:
    for explainer, rows in ((texts, T[:3]), (images, P[:3])):
        found = explainer.explain(dict(enumerate(rows)).values())
        for own, expected in zip(found, explainer.explain(rows), strict=True):
            np.testing.assert_array_equal(own.map, expected.map)
    assert len(texts.explain(dict.fromkeys(T[:3]).keys())) == 3


async def rows_that_wait() -> AsyncIterator[str]:
    yield T[0]


@pytest.mark.parametrize(
    ("several", "words"),
    [
        (set(T[:3]), "samples is a set, which has no order: give a list"),
        (frozenset(T[:3]), "samples is a set, which has no order: give a list"),
        (rows_that_wait(), "samples is an asynchronous iterator: collect its rows in a list"),
    ],
)
def test_kind_several_samples_that_cannot_be_taken_are_told_as_several(
    texts: Explainer, images: Explainer, several: Any, words: str
) -> None:
    for explainer in (texts, images):
        with pytest.raises(InputTypeError, match=words):
            explainer.explain(several)


def test_kind_an_object_that_holds_samples_is_told_what_to_do(texts: Explainer, images: Explainer) -> None:
    class Holder:
        def __iter__(self) -> Iterator[Any]:
            return iter(T[:3])

    for explainer in (texts, images):
        with pytest.raises(InputTypeError, match=r"Holder.* If it holds several samples.*list\(samples\)\.$"):
            explainer.explain(Holder())
        with pytest.raises(InputTypeError, match=r"int.* If it is the label of an? .*, leave it out\.$"):
            explainer.explain(3)
        with pytest.raises(InputTypeError) as caught:
            explainer.explain(object())
        assert "several" not in str(caught.value)


# -- classes ------------------------------------------------------------------------


@pytest.mark.parametrize("make", [torch.tensor, np.array])
def test_kind_classes_in_one_column_are_one_for_each_sample(images: Explainer, make: object) -> None:
    assert callable(make)
    flat, column = make([0, 2, 1]), make([[0], [2], [1]])
    for name, others in (("target", {}), ("versus", {"target": [1, 1, 0]})):
        found = images.explain(P[:3], **{name: column}, **others)
        for own, expected in zip(found, images.explain(P[:3], **{name: flat}, **others), strict=True):
            np.testing.assert_array_equal(own.map, expected.map)
            assert (own.explained, own.versus) == (expected.explained, expected.versus)
    inputs = images.target.reader.read(P[:3]).inputs
    torch.testing.assert_close(images.attribute(inputs, column)[1], images.attribute(inputs, flat)[1])
    for wrong in (make([[0, 1], [1, 0], [0, 1]]), make([[[0]], [[2]], [[1]]])):
        with pytest.raises(
            InputError, match=r"target holds a class for each sample, \[B\]; got the shape \[3"
        ):
            images.explain(P[:3], target=wrong)
    with pytest.raises(InputError, match="target lists 3 classes for 1 sample"):
        images.explain(P[0], target=column)


def test_kind_only_a_class_that_can_be_chosen_is_offered() -> None:
    """A model of one label has no second one, and the error still offered it."""
    single = untrained(bert(labels=1, problem_type="multi_label_classification"), tok(), T[0])
    with pytest.raises(ConfigError, match=r"Classes: LABEL_0, not LABEL_0\.$"):
        single.explain(T[0], target="dog")


def test_kind_the_argument_that_was_given_is_the_one_that_is_named(thesis: Explainer) -> None:
    with pytest.raises(ConfigError, match=r"predicted class only \(versus=0\)"):
        thesis.explain(T[0], versus=0)
    with pytest.raises(ConfigError, match=r"predicted class only \(target=1, versus='second'\)"):
        thesis.explain(T[0], target=1, versus="second")
