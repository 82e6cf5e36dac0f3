"""Known evidence and labels of own rows: what is impossible is told with its row, and measured by nobody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fault_models import T, bert, tok
from PIL import Image
from sklearn.metrics import average_precision_score

from sidelight.errors import InputError, InputTypeError
from sidelight.lab.config.files import parse_config
from sidelight.lab.data.boxes import BoxEvidence
from sidelight.lab.data.sets import DATASETS, DataSet
from sidelight.lab.evaluation.batches import TestBatches
from sidelight.lab.metrics.localisation import auprc
from sidelight.lab.runs.classifier import accuracy
from sidelight.lab.runs.run import Run
from sidelight.targets import as_target
from tiny_runs import IMAGE

pytestmark = pytest.mark.usefixtures("kept_data_sets")


def read(text: str, *spans: Any, **more: str) -> Any:
    reader = as_target(bert(), tok()).reader
    return reader.read([{"text": text, **more, "evidence": {"text": list(spans)}}], evidence=True)


LENGTH = len(T[0])


@pytest.mark.parametrize(
    "span", [(9, 4), (4, 4), (0, 0), (-5, 3), (LENGTH, LENGTH + 5), (500, 530), (3, LENGTH + 1)]
)
def test_kind_places_that_no_text_has_are_told(span: tuple[int, int]) -> None:
    """They marked nothing, or other words, so AUPRC left the row out or was of something else."""
    with pytest.raises(
        InputError, match=rf"evidence of row 0 holds .*, which is no place in its text of {LENGTH}"
    ):
        read(T[0], (0, 3), span)


@pytest.mark.parametrize("segment", [1, 2, -1])
def test_kind_places_in_a_text_that_the_row_has_not_are_told(segment: int) -> None:
    with pytest.raises(InputError, match=f"evidence of row 0 is in text {segment}, and the row has 1 text"):
        read(T[0], (0, 3, segment))


def test_kind_the_second_text_of_a_pair_has_its_own_length() -> None:
    short = T[0][:5]
    assert read(T[1], (0, 5, 1), (0, len(T[1])), text_pair=short).truth["text"].any()
    with pytest.raises(InputError, match="no place in its text of 5 characters"):
        read(T[1], (0, 6, 1), text_pair=short)


def test_kind_auprc_is_that_of_other_libraries_on_the_words_of_the_evidence() -> None:
    text = T[0]
    first = text.split()[0]
    batch = read(text, (0, len(first)), (LENGTH - 3, LENGTH))
    offsets = tok()(text, return_offsets_mapping=True)["offset_mapping"]
    marked = [b > a and (a < len(first) or b > LENGTH - 3) for a, b in offsets]
    assert batch.truth["text"][0].tolist() == marked
    real = torch.tensor([[b > a for a, b in offsets]])
    scores = torch.rand(1, len(offsets), generator=torch.Generator().manual_seed(0))
    wanted = average_precision_score(batch.truth["text"][real].numpy(), scores[real].numpy())
    assert auprc(scores, batch.truth["text"], real).item() == pytest.approx(wanted)


@pytest.mark.parametrize(
    "box", [(9, 2, 4, 8), (4, 4, 4, 8), (40, 2, 50, 8), (-9, 2, -1, 8), (2, 9, 8, 3), (0.1, 0.1, 0.9, 0.5)]
)
def test_kind_boxes_that_no_picture_has_are_told(box: tuple[float, ...]) -> None:
    with pytest.raises(
        InputError, match=r"row 1 has the box .*, which is no part of its picture of 20 × 10 pixels"
    ):
        BoxEvidence([(10, 20)] * 2, [[], [(0, 0, 3, 3), box]])[1]


# -- the row of a message --------------------------------------------------------------------


def rows(count: int, bad: int, **more: Any) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    found = [
        {"image": Image.fromarray(rng.integers(0, 255, (20, 20), dtype=np.uint8)), "label": i % 2}
        for i in range(count)
    ]
    found[bad].update(more)
    return found


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize(
    ("label", "words"),
    [
        (7, "this row of the data set has the label 7, and the classifier knows 2 classes"),
        (None, "this row of the data set has no label"),
        ("left", "a label must be the integer index of a class; got the text 'left'"),
        ([0, 1], r"this row of the data set has the label \[0, 1\]\. Lists of flags do not fit"),
    ],
)
def test_kind_a_bad_label_of_a_run_is_told_with_its_row(
    tmp_path: Path, split: str, label: Any, words: str
) -> None:
    """The message said "a row", or the row's place in a shuffled batch."""
    found = {
        s: rows(40, 29, **({"label": label} if s == split else {})) for s in ("train", "validation", "test")
    }
    DATASETS.add("mine", DataSet(("image",), ("left", "right"), lambda split, **asked: found[split], "here"))
    run = Run.create(tmp_path / "run", parse_config({**IMAGE, "data": {"name": "mine"}}))
    with pytest.raises(InputError, match=rf"row 29 of {split}: .*{words}"):
        run.fit()


@pytest.mark.parametrize(
    ("image", "words"),
    [(None, "got NoneType"), ("no.png", "no.png"), (np.full((20, 20), np.nan), "must be uint8")],
)
def test_kind_a_bad_picture_of_a_run_is_told_with_its_row(tmp_path: Path, image: Any, words: str) -> None:
    DATASETS.add(
        "mine", DataSet(("image",), ("left", "right"), lambda **asked: rows(40, 29, image=image), "here")
    )
    run = Run.create(tmp_path / "run", parse_config({**IMAGE, "data": {"name": "mine"}}))
    with pytest.raises((InputError, InputTypeError), match=rf"row 29 of train: .*{words}"):
        run.fit()


def texts(bad: Callable[[int], Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"text": t, "label": i % 3, "evidence": {"text": [(0, 3)]}} for i, t in enumerate(T)
    ]
    found[17].update(bad(17))
    return found


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (lambda i: {"evidence": {"text": [(9, 4)]}}, r"evidence of this row holds \(9, 4\)"),
        (lambda i: {"evidence": {"text": ["great"]}}, "evidence of this row must be a list of places"),
        (lambda i: {"text": None}, "this row is not text: None"),
    ],
)
def test_kind_a_bad_row_of_an_evaluation_is_told_with_its_place_in_the_data(
    bad: Callable[[int], Any], words: str
) -> None:
    batches = TestBatches(as_target(bert(), tok()), texts(lambda i: {}), 8)
    order = [i for n in range(len(batches)) for i in batches.ids(n)]
    batches.source.rows = batches.rows = texts(bad)
    with pytest.raises((InputError, InputTypeError), match=rf"row 17 of the measured rows: .*{words}"):
        batches[order.index(17) // 8]


def test_kind_a_row_whose_evidence_does_not_fit_the_others_is_told_with_its_place_in_the_data() -> None:
    batches = TestBatches(as_target(bert(), tok()), texts(lambda i: {"evidence": None}), 8)
    order = [i for n in range(len(batches)) for i in batches.ids(n)]
    with pytest.raises(InputError, match="do not fit together: the evidence of row 17 must be a mapping"):
        batches[order.index(17) // 8]


def test_kind_an_accuracy_names_the_row_of_a_bad_label() -> None:
    found = [{"text": t, "label": 0 if i != 33 else 9} for i, t in enumerate(T[:50])]
    with pytest.raises(InputError, match="row 33 of test: this row of the data set has the label 9"):
        accuracy(as_target(bert(), tok()), found, batch_size=8, name="test")
