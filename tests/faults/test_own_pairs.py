"""Own pairs and own tensors in rows: whatever their columns are called, they are read as what they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fault_models import SQUARE, P, T

import pair_models
from sidelight import Explainer, ScorerConfig
from sidelight.errors import InputError
from sidelight.lab.config.files import parse_config
from sidelight.lab.data.sets import DATASETS, DataSet
from sidelight.lab.data.tokenizers import TOKENIZERS
from sidelight.lab.runs.run import Run
from sidelight.training.network import new_scorer
from tiny_runs import IMAGE, TEXT

PICTURE, WORDS = pair_models.pairs()[1]
PIXELS = pair_models.TRANSFORM(PICTURE)
NUMBER = torch.tensor(3)


@pytest.fixture(autouse=True)
def _registries() -> Iterator[None]:
    before = [(found, dict(found.items())) for found in (DATASETS, TOKENIZERS)]
    yield
    for found, entries in before:
        found._entries.clear()
        found._entries.update(entries)


@pytest.fixture(scope="module")
def pairs() -> Explainer:
    target = pair_models.make_target("fusion-resnet")
    target.model.eval()
    torch.manual_seed(0)
    return Explainer(target, new_scorer(target, pair_models.pairs(), ScorerConfig(by_class=True)))


@pytest.mark.parametrize(
    "row",
    [
        {"image": PIXELS, "sentence": WORDS},
        {"img": PIXELS, "text": WORDS},
        {"photo": PICTURE, "review": WORDS, "idx": NUMBER},
        {"img": PICTURE, "text": WORDS, "features": torch.zeros(5)},
    ],
    ids=["sentence", "img", "number", "features"],
)
def test_kind_tensors_beside_a_pair_make_it_no_input_of_the_model(
    pairs: Explainer, row: dict[str, Any]
) -> None:
    """The pair was left out, and the message said that the row lacks pixel_values and input_ids."""
    (found,) = pairs.explain([row])
    assert found.probability == pytest.approx(pairs.explain((PICTURE, WORDS)).probability)


def test_kind_tensors_beside_a_text_or_a_picture_are_no_inputs_either(
    texts: Explainer, images: Explainer
) -> None:
    """``datasets`` gives each number as a tensor (``with_format("torch")``), for example GLUE's ``idx``."""
    (found,) = texts.explain([{"sentence": T[0], "idx": NUMBER, "label": NUMBER}])
    assert found.probability == pytest.approx(texts.explain(T[0]).probability)
    (found,) = texts.explain([{"premise": T[0], "hypothesis": T[1], "idx": NUMBER}])
    assert found.probability == pytest.approx(texts.explain((T[0], T[1])).probability)
    (found,) = images.explain([{"img": SQUARE(P[0]), "idx": NUMBER}])
    assert found.probability == pytest.approx(images.explain(P[0]).probability)


def test_kind_rows_that_were_tokenized_keep_their_text_beside_the_ids(texts: Explainer) -> None:
    ready = dict(texts.target.reader.tokenizer(T[0]))
    (found,) = texts.explain([{"sentence": "something else", **ready}])
    assert found.probability == pytest.approx(texts.explain(T[0]).probability)


def test_kind_a_pair_whose_text_has_no_known_name_is_told(pairs: Explainer) -> None:
    with pytest.raises(InputError, match=r"the text of .* is missing; the columns are \['image', 'said'\]"):
        pairs.explain([{"image": PIXELS, "said": WORDS}])


@pytest.mark.parametrize(
    "names",
    [
        ("question", "sentence"),
        ("text", "hypothesis"),
        ("question1", "question2"),
        ("question", "passage"),
        ("text1", "text2"),
    ],
    ids="/".join,
)
def test_silent_both_texts_of_usual_pairs_are_read(texts: Explainer, names: tuple[str, str]) -> None:
    """QNLI's `sentence` and the `text` beside a `hypothesis` were read alone, and nothing said so."""
    (found,) = texts.explain([{**dict(zip(names, T[:2], strict=True)), "label": 1, "idx": 7}])
    assert found.probability == texts.explain((T[0], T[1])).probability
    assert found.probability != texts.explain(T[0]).probability


@pytest.mark.parametrize("names", [("sentence",), ("premise", "hypothesis")])
def test_kind_a_run_trains_on_pairs_whose_texts_have_other_usual_names(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    """It ended in a KeyError, because pictures that are prepared once are tensors."""
    rows = [
        {"image": r["image"], "label": r["label"], **dict.fromkeys(names, r["text"])}
        for r in pair_models.match_rows(8)
    ]
    DATASETS.add("mine", DataSet(("image", "text"), ("no", "yes"), lambda **_: rows, ""))
    TOKENIZERS.add("mine", pair_models.make_tokenizer)
    words = {"architecture": TEXT["target"]["architecture"], "tokenizer": "mine"}
    picture = {
        "architecture": {**IMAGE["target"]["architecture"], "num_channels": 3},
        "transform": {"size": [16, 16]},
    }
    fusion = {"text": words, "image": picture, "width": 16, "layers": 1, "heads": 2}
    target = {"fusion": fusion, "training": {"epochs": 1, "batch_size": 4}}
    scorer = {"channels": [8], "width": 8, "layers": 1, "heads": 2}
    facts = Run.create(
        tmp_path / "run",
        parse_config({**IMAGE, "data": {"name": "mine"}, "target": target, "scorer": scorer}),
    ).fit()
    assert facts["target"]["accuracy_n"] == 8


def test_kind_a_run_trains_a_classifier_of_one_independent_label(tmp_path: Path) -> None:
    """The message asked for "lists of 1 flags", and these were refused, because one flag was taken for no list of them."""
    rows = [{"text": text, "label": [number % 2]} for number, text in enumerate(T[:8])]
    DATASETS.add("mine", DataSet(("text",), ("there",), lambda **_: rows, ""))
    target = {**TEXT["target"], "options": {"output": "labels"}}
    run = Run.create(tmp_path / "run", parse_config({**TEXT, "data": {"name": "mine"}, "target": target}))
    facts = run.fit()
    said = [found.probability >= 0.5 for found in run.explainer().explain(T[:8])]
    right = [yes == bool(number % 2) for number, yes in enumerate(said)]
    assert facts["target"]["accuracy"] == sum(right) / 8


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ([2], r"row 1 of train: a label must be the integer index of a class; got \[2\]"),
        (1, r"the label 1 does not fit .*, which needs lists of 1 flags: .* not the number of a class"),
    ],
)
def test_kind_what_is_no_flag_of_one_label_is_told(tmp_path: Path, label: Any, words: str) -> None:
    rows = [{"text": text, "label": [0] if label == [2] and text == T[0] else label} for text in T[:2]]
    DATASETS.add("mine", DataSet(("text",), ("there",), lambda **_: rows, ""))
    target = {**TEXT["target"], "options": {"output": "labels"}}
    run = Run.create(tmp_path / "run", parse_config({**TEXT, "data": {"name": "mine"}, "target": target}))
    with pytest.raises(InputError, match=words):
        run.fit()
