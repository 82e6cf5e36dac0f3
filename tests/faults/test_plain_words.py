"""What a newcomer gives in another form than ours is taken, or the message says what is missing and what to give."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
from fault_models import SQUARE, P, T, bert, tok, untrained

import pair_models
import sidelight
from sidelight import Explainer
from sidelight.errors import ConfigError, InputError, InputTypeError
from sidelight.lab import compare
from sidelight.lab.config.files import parse_config
from sidelight.lab.runs.run import Run
from sidelight.rows.sources import open_data
from sidelight.targets import as_target
from tiny_runs import IMAGE


@pytest.fixture(scope="module")
def pairs() -> Explainer:
    processor = (SQUARE, pair_models.make_tokenizer())
    return untrained(pair_models.fusion(), processor, (P[0], "a red square"))


# -- pairs with one half -------------------------------------------------------------


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ((P[0], None), r"sample 0 has no text \(None\). Leave it out, or give \(image, text\)"),
        ((P[0], float("nan")), "the text of sample 0 is not text: NaN"),
        ((P[0], pd.NA), "the text of sample 0 is not text: <NA>"),
        ((None, None), r"sample 0 has no image \(None\)"),
    ],
)
def test_kind_the_missing_half_of_a_pair_is_named(pairs: Explainer, pair: Any, words: str) -> None:
    """Before, the image alone was taken for the sample, and the message said that an Image is no pair."""
    for given in (pair, [pair]):
        with pytest.raises((InputError, InputTypeError), match=words):
            pairs.explain(given)
    with pytest.raises((InputError, InputTypeError), match=words.replace("sample 0", "sample 1")):
        pairs.explain([(P[0], "a red square"), pair])


# -- names of classes ----------------------------------------------------------------

NAMES = ["dull", "fine", "great"]


@pytest.mark.parametrize(
    "given",
    [
        pd.Series(NAMES),
        pd.Index(NAMES),
        pd.Categorical(NAMES),
        np.array(NAMES),
        np.array(NAMES, object),
        {0: "dull", 1: "fine", 2: "great"},
        {"2": "great", "1": "fine", "0": "dull"},
    ],
    ids=lambda given: type(given).__name__,
)
def test_kind_names_of_classes_may_stand_in_a_column_or_by_number(given: Any) -> None:
    assert as_target(bert(), tok(), class_names=given).id2label == dict(enumerate(NAMES))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (pd.Series(NAMES, [2, 1, 0]), r"index is \[2, 1, 0\], so its order is not clear.*sort_index\(\)"),
        (pd.Series(NAMES, [3, 7, 9]), r"give class_names=names\.tolist\(\)"),
        ({"dull": 0, "fine": 1, "great": 2}, r"keys \['dull', 'fine', 'great'\].*sorted\(label2id"),
        ({1: "dull", 2: "fine", 3: "great"}, r"numbers 0, 1, 2.*keys \[1, 2, 3\]"),
        ({0: "a", 1: "b"}.values(), r"must be a list of names; .* Write class_names=list\(\.\.\.\)"),
        ((name for name in NAMES), r"must be a list of names; .* Write class_names=list\(\.\.\.\)"),
        (set(NAMES), "must be a list of names"),
    ],
    ids=["permuted", "filtered", "label2id", "from one", "values", "generator", "set"],
)
def test_kind_names_of_classes_without_a_clear_order_are_refused(given: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        as_target(bert(), tok(), class_names=given)


# -- pipelines of transformers -------------------------------------------------------

COLUMNS: dict[str, Callable[[list[Any]], Any]] = {
    "Series": pd.Series,
    "Index": pd.Index,
    "array": lambda samples: np.array(samples, object),
    "Column": lambda samples: datasets.Dataset.from_list([{"text": s} for s in samples])["text"],
    "Dataset": lambda samples: datasets.Dataset.from_list([{"text": s} for s in samples]),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_kind_a_column_given_to_a_pipeline_is_told_to_be_a_list(texts: Explainer, kind: str) -> None:
    """The plain pipeline refuses them, too. The hint was given for sets and iterators alone."""
    with pytest.raises(InputTypeError, match=r"give them as a list: list\(samples\)\."):
        sidelight.pipeline(explainer=texts)(COLUMNS[kind](T[:3]))


def test_kind_pictures_and_pairs_in_a_column_are_told_to_be_a_list(
    images: Explainer, pairs: Explainer
) -> None:
    for given, explainer in ((pd.Series(P[:3]), images), (pd.Series(["a", "b"]), pairs)):
        with pytest.raises(InputTypeError, match=r"give them as a list: list\(samples\)\."):
            sidelight.pipeline(explainer=explainer)(given)


def test_kind_columns_of_several_texts_are_no_pair(texts: Explainer) -> None:
    """Before, the first two texts of a batch of columns were explained as one pair."""
    pipeline = sidelight.pipeline(explainer=texts)
    with pytest.raises(InputError, match="'text' holds 2 texts: this is a batch of columns, not a row"):
        pipeline({"text": T[:2], "label": [0, 1]})
    one = pipeline({"text": T[:1]})["explanation"]
    assert one.inputs == texts.explain(T[0]).inputs


# -- samples and labels --------------------------------------------------------------

CLASSES = [number % 3 for number in range(20)]
STACKED = np.stack([np.asarray(picture) for picture in P[:20]])


@pytest.mark.parametrize(
    "given",
    [
        [STACKED, CLASSES],
        [STACKED, np.array(CLASSES)],
        [STACKED, torch.tensor(CLASSES)],
        [P[:20], CLASSES],
        [P[:20], ["cat"] * 20],
        [T[:20], CLASSES],
        [pd.Series(T[:20]), pd.Series(CLASSES)],
    ],
)
def test_kind_samples_and_labels_in_a_list_are_told_to_be_a_tuple(given: list[Any]) -> None:
    """Before, the two columns were two rows, and the message was about the first or second of them."""
    for name in ("train", "eval", "samples"):
        with pytest.raises(
            InputError, match=rf"{name} is a list of two columns.*as a tuple, \(samples, labels\)"
        ):
            open_data(given, name)
    assert len(open_data(tuple(given), "train")) == 20


@pytest.mark.parametrize(
    "given",
    [[["a", "b"], ["c", "d"]], [(T[0], T[1], 1), (T[2], T[3], 0)], [[1, 2, 3, 4, 5], [6, 7, 8, 9, 0]], P[:2]],
)
def test_kind_two_rows_stay_two_rows(given: list[Any]) -> None:
    assert list(open_data(given, "train")) == given


def test_kind_columns_of_unlike_lengths_are_called_by_what_they_hold() -> None:
    with pytest.raises(InputError, match="20 of 'samples', 5 of 'labels'"):
        open_data((T[:20], CLASSES[:5]), "train")


# -- words about a class -------------------------------------------------------------


def test_kind_a_class_called_no_is_quoted_in_a_sentence() -> None:
    """The caption of a comparison said "no has probability 0.9"."""
    explainer = untrained(bert(id2label={0: "no", 1: "no, never", 2: "not"}), tok(), T[0])
    found = compare(explainer, T[0], ["occlusion"])
    assert found.caption.startswith(f"'{found.label}' has probability 0.")


# -- configurations ------------------------------------------------------------------


def test_kind_an_unknown_option_of_a_configuration_is_told_in_words_of_the_file(tmp_path: Path) -> None:
    """The message named as_target(), which the writer of a YAML file never called."""
    target = {**IMAGE["target"], "options": {"layer": ["a"]}}
    run = Run.create(tmp_path / "run", parse_config({**IMAGE, "target": target}))
    with pytest.raises(
        ConfigError, match=r"unknown config key 'target\.options\.layer'\. Did you mean 'layers'\?"
    ):
        run.new_target()
