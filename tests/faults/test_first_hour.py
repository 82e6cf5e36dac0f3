"""What a newcomer gets wrong in the first hour: the message says what was given, what is expected, and what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fault_models import P, S, T, bert, tok

import sidelight
from sidelight import Explainer, Explanation, ImageTransform, ObjectiveConfig, ScorerConfig, TrainingConfig
from sidelight.checks.verdict_check import name_bad_rows
from sidelight.core.registry import nearest
from sidelight.errors import (
    CheckpointError,
    ConfigError,
    InputError,
    InputTypeError,
    NotFiniteError,
    UnsupportedTargetError,
)
from sidelight.inputs.limits import Limits
from sidelight.inputs.pairs import ImageTextProcessor, read_pairs
from sidelight.inputs.samples import read_texts
from sidelight.rows.row import NumberedRows, Rows, as_row
from sidelight.serving.settings import ServeOptions


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
    told = "Rename one of them to 'text', or name it in the call of fit or explain_dataset: columns="
    with pytest.raises(InputError, match=re.escape(f"{told}['foo'].")):
        texts.explain(pd.DataFrame({"foo": T[:2]}))
    pair = {"question": T[0], "answer": T[1], "label": "yes", "score": 2}
    with pytest.raises(
        InputError, match=re.escape(f"{told}['question'], or columns=['question', 'answer'] for")
    ):
        texts.explain(pair)


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


def test_kind_what_is_missing_is_told_by_names_that_users_know(texts: Explainer, tmp_path: Path) -> None:
    """Before, Python named the class within the library: "Streaming.explain_dataset() missing 1 required ..."."""
    calls: list[tuple[Callable[[], Any], str]] = [
        (
            lambda: texts.explain_dataset(T),
            r"^Explainer\.explain_dataset\(\) needs source, out; out is missing",
        ),  # type: ignore[call-arg]
        (lambda: texts.save_pretrained(), r"^Explainer\.save_pretrained\(\) needs folder"),  # type: ignore[call-arg]
        (lambda: texts.explain(), r"^Explainer\.explain\(\) needs samples"),  # type: ignore[call-overload]
        (lambda: texts.export(tmp_path, path=tmp_path), r"^Explainer\.export\(\) got multiple values"),  # type: ignore[misc]
        (
            lambda: Explainer(bert()),
            r"^Explainer\(\) needs target, scorer; scorer is missing.*fit\(model, data",
        ),  # type: ignore[arg-type, call-arg]
        (lambda: Explanation({}), r"^Explanation\(\) needs .*probability are missing"),  # type: ignore[call-arg]
        (lambda: ImageTransform(), r"^ImageTransform\(\) needs size; size is missing"),  # type: ignore[call-arg]
    ]
    for call, words in calls:
        with pytest.raises(TypeError, match=words):
            call()


def test_kind_a_wrong_field_of_settings_is_told_as_in_a_mapping() -> None:
    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: ScorerConfig(byclass=True), r"ScorerConfig\(\) has no argument 'byclass'.* 'by_class'"),  # type: ignore[call-arg]
        (lambda: ObjectiveConfig(fils=["zero"]), "'fills'"),  # type: ignore[call-arg]
        (lambda: TrainingConfig(epoch=1), "'epochs'"),  # type: ignore[call-arg]
        (lambda: ImageTransform(sise=(4, 4)), "'size'"),  # type: ignore[call-arg]
        (lambda: ServeOptions(time_out=3), "'timeout'"),  # type: ignore[call-arg]
        (lambda: Limits(pixel=3), "'pixels'"),  # type: ignore[call-arg]
        (lambda: ImageTextProcessor(tokeniser=3), "'tokenizer'"),  # type: ignore[call-arg]
    ]
    for call, words in calls:
        with pytest.raises(
            ConfigError, match=f"Did you mean.*{words}" if words[0] == "'" else words
        ) as caught:
            call()
        assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("name", ["eval", "validation"])
def test_kind_validation_rows_are_called_as_the_user_called_them(name: str) -> None:
    for given, words in (
        (0.1, rf"^{name} is of type float.*leave {name} out, and fit holds out a tenth"),
        ([], f"^the {name} data set is empty"),
        ([3], f"^row 0 of {name}: "),
        ("no.csv", f"^{name}: 'no.csv' is neither"),
    ):
        with pytest.raises((InputError, InputTypeError), match=words):
            Explainer.fit(bert(), T, processor=tok(), **{name: given})


def test_kind_the_name_of_the_validation_rows_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [{"text": t, "label": i % 2} for i, t in enumerate(T)]
    settings = {**S, "label": "data", "processor": tok(), "output_dir": tmp_path / "run"}
    Explainer.fit(model := bert(), rows[:40], eval=rows[40:], **settings)
    with caplog.at_level("INFO", "sidelight"):
        Explainer.fit(model, rows[:40], validation=rows[40:], **settings)
    assert "nothing is trained" in caplog.text


def test_kind_rows_that_fit_held_out_are_those_of_train() -> None:
    """Their numbers count in the data of the user, who gave no ``eval``."""
    held = NumberedRows(Rows(T, "train").pick([7, 9]))

    def fail(inputs: Any) -> None:
        raise NotFiniteError("the model's output", [1])

    target: Any = SimpleNamespace(to_device=lambda inputs: inputs, encode=fail)
    collate: Any = SimpleNamespace(read=lambda rows: SimpleNamespace(inputs={}))
    with pytest.raises(NotFiniteError, match=r"\(train rows\) .*\[9\]"):
        name_bad_rows(target, {"eval": held}, collate, 4)


def test_kind_only_a_near_name_is_suggested(texts: Explainer) -> None:
    with pytest.raises(ConfigError, match="'epochs'") as caught:
        texts.explain(T, epochs=1)  # type: ignore[call-overload]
    assert "Did you mean" not in str(caught.value)
    assert nearest("num_epochs", ["epochs", "others"]) == " Did you mean 'epochs'?"


def test_kind_the_part_that_is_empty_is_named() -> None:
    for call, words in (
        (lambda: read_pairs([(P[0], "")]), "^the text of sample 0 is empty"),
        (lambda: read_pairs([(P[0], ("a", " "))]), "^the second text of sample 0 is only white space"),
        (lambda: read_pairs([(P[0], 5)]), "^the text of sample 0 is not text"),
        (lambda: read_texts([("", "b")]), "^the first text of sample 0 is empty"),
        (lambda: read_texts(["a", ""]), "^sample 1 is empty"),
    ):
        with pytest.raises((InputError, InputTypeError), match=words):
            call()  # type: ignore[no-untyped-call]


def test_kind_one_sample_in_the_place_of_a_path_is_told(images: Explainer) -> None:
    with pytest.raises(InputError, match="of a picture"):
        images.explain("")
    for text in ("one text", "a longer text. With two sentences, and more"):
        with pytest.raises(InputError, match=r"^train: '.* is neither .*If it is a text, put it into a list"):
            Explainer.fit(bert(), text, processor=tok())


def test_kind_a_modality_that_was_not_explained_is_told(texts: Explainer) -> None:
    found = texts.explain(T[0])
    for maps in (found.scores, found.ranking, found.effects):
        assert maps is not None
        with pytest.raises(KeyError, match=r"^no modality 'image'.*text") as caught:
            maps["image"]
        assert isinstance(caught.value, ConfigError)
        assert maps.get("image") is None
        assert "image" not in maps


def test_kind_a_caption_is_a_text_of_a_usual_name() -> None:
    assert read_pairs([{"image": P[0], "caption": "a cat"}]) == [(P[0], "a cat")]
    assert read_texts([{"caption": "a cat", "label": 1}]) == [("a cat",)]
    assert read_texts([{"caption": "a cat", "text": "a dog"}]) == [("a dog",)]
    assert as_row(pd.DataFrame({"image": ["a.png"], "caption": ["a cat"]}).iloc[0]) == {
        "image": "a.png",
        "caption": "a cat",
    }


def test_kind_settings_of_a_transform_are_the_same_in_a_list() -> None:
    """A list made a transform that was unequal to that of a tuple, and one of ``resize_to`` failed at the first picture."""
    inside: dict[str, Any] = {"mean": [0.1] * 3, "std": [0.2] * 3, "crop": True, "resize_to": [10, 9]}
    listed = ImageTransform([8, 8], **inside)  # type: ignore[arg-type]
    plain = ImageTransform((8, 8), **{k: tuple(v) if isinstance(v, list) else v for k, v in inside.items()})
    assert (listed, hash(listed)) == (plain, hash(plain))
    assert np.array_equal(listed(P[0]), plain(P[0]))
