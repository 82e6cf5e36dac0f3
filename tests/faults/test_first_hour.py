"""What a newcomer gets wrong in the first hour: the message says what was given, what is expected, and what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fault_models import P, T, bert, tok

import sidelight
from sidelight import Explainer, ImageTransform
from sidelight.errors import CheckpointError, ConfigError, InputError, InputTypeError, UnsupportedTargetError


def test_kind_values_without_a_name_are_told_the_names(texts: Explainer, tmp_path: Path) -> None:
    """Before, Python counted arguments: "takes 2 positional arguments but 3 were given"."""
    calls: list[tuple[Callable[[], Any], str]] = [
        (
            lambda: texts.explain(T[0], "LABEL_1"),
            r"takes only samples without a name; 2 values .*target=\.\.\.",
        ),  # type: ignore[call-overload]
        (lambda: texts.explain(P[0], T[0]), r"put them into a tuple, e\.g\. \(image, text\)"),  # type: ignore[call-overload]
        (lambda: Explainer.fit(bert(), tok(), T), r"takes only model, train .*processor=\.\.\."),  # type: ignore[misc]
        (lambda: sidelight.load(tmp_path, bert(), tok()), r"takes only folder, model .*processor=\.\.\."),  # type: ignore[misc]
    ]
    for call, words in calls:
        with pytest.raises(TypeError, match=words) as caught:
            call()
        assert isinstance(caught.value, ConfigError)


def test_kind_things_in_the_place_of_the_model_or_the_data_are_told(texts: Explainer) -> None:
    for given, words in ((T, "The model comes first"), (texts, r"give it\.target")):
        with pytest.raises(UnsupportedTargetError, match=words):
            Explainer.fit(given, T, processor=tok())  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match=r"has a name of its own: processor="):
        Explainer.fit(bert(), tok())


def test_kind_the_folder_of_a_model_is_no_scorer(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}), encoding="utf-8")
    with pytest.raises(CheckpointError, match="belongs to a model and is not a sidelight scorer"):
        sidelight.load(tmp_path)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (1.0, "write 1"),
        ((n for n in (0, 1)), "give a list"),
        ({0, 1}, "give a list"),
        ([None, 1], "Leave the argument out"),
    ],
)
def test_kind_a_class_of_another_kind_is_told_the_way_on(given: Any, words: str, texts: Explainer) -> None:
    with pytest.raises(ConfigError, match=words):
        texts.explain(T[:2], target=given)


def test_kind_columns_are_named_where_there_is_such_an_option(texts: Explainer) -> None:
    with pytest.raises(InputError, match="Rename one of them to 'text', or name it in the call of fit"):
        texts.explain(pd.DataFrame({"foo": T[:2]}))


def test_kind_settings_of_a_transform_are_shown_by_an_example() -> None:
    with pytest.raises(InputError, match=r"e\.g\. \(224, 224\); got 224"):
        ImageTransform(224)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"a tuple .*; got 0\.5"):
        ImageTransform((4, 4), mean=0.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "words"), [("explain", r"explainer\.explain"), ("from_pretrained", "load"), ("train", "fit")]
)
def test_kind_names_that_people_try_are_told_the_right_one(name: str, words: str) -> None:
    with pytest.raises(AttributeError, match=words):
        getattr(sidelight, name)
