"""The real data sets, where they are: their columns, labels and sizes are what the loaders expect."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from sidelight.inputs.images import read_image
from sidelight.lab.data.reading import find_folder
from sidelight.lab.data.sets import DATASETS, load_rows

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
SIZES = {"mnist": (28, 28), "cifar10": (32, 32), "imagenette": (224, 224)}


def data_dir(name: str) -> str | None:
    """The folder to load from, or a skip that says why."""
    if find_folder(name, None) is not None:
        return None
    if not (SHARED / name).is_dir():
        pytest.skip(f"{name} is neither under $SIDELIGHT_DATA nor in ../shared/data beside the checkout")
    return str(SHARED)


@pytest.mark.realdata
@pytest.mark.parametrize("name", sorted(SIZES))
def test_images_open_at_their_size_and_every_class_occurs(name: str) -> None:
    rows = load_rows(name, "validation", data_dir=data_dir(name), count=200)
    assert len(rows) == 200
    assert {int(r["label"]) for r in rows} == set(range(len(DATASETS[name].classes)))
    assert {read_image(r["image"]).size for r in rows.select(range(20))} == {SIZES[name]}


PAIRS = {"flickr8k": "flickr8k", "esnlive": "esnlive_subset", "nlvr": "nlvr"}
NLVR_RGB = {"yellow": (255, 255, 0), "blue": (0, 153, 255), "black": (0, 0, 0)}

NAMES = DATASETS["nlvr_objects"].classes


@pytest.mark.realdata
@pytest.mark.parametrize("name", sorted(PAIRS))
def test_pairs_have_both_columns_and_every_class(name: str) -> None:
    rows = load_rows(name, "test", data_dir=data_dir(PAIRS[name]))
    assert len(rows) > 300
    assert {r["label"] for r in rows[:100]} == set(range(len(DATASETS[name].classes)))
    for row in rows[:20]:
        assert min(read_image(row["image"]).size) >= 80
        assert row["text"].strip()
        assert ("evidence" in row) == DATASETS[name].truth


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["flickr8k", "nlvr"])
def test_neither_words_nor_picture_tell_a_match_alone(name: str) -> None:
    train, test = (load_rows(name, split, data_dir=data_dir(PAIRS[name])) for split in ("train", "test"))
    words = CountVectorizer(min_df=2, ngram_range=(1, 2))
    model = LogisticRegression(max_iter=300).fit(
        words.fit_transform(train.columns["text"]), train.columns["label"]
    )
    assert model.score(words.transform(test.columns["text"]), test.columns["label"]) == pytest.approx(
        0.5, abs=0.06
    )
    for rows in (train, test):
        by_picture = Counter[int]()
        for number, label in zip(rows.picture, rows.columns["label"], strict=True):
            by_picture[number] += 2 * label - 1
        assert not any(by_picture.values())


@pytest.mark.realdata
def test_flickr8k_splits_share_no_picture() -> None:
    place = data_dir("flickr8k")
    pictures = [
        {found["bytes"] for found in load_rows("flickr8k", split, data_dir=place).pictures.rows["image"]}
        for split in ("train", "validation", "test")
    ]
    assert len(set().union(*pictures)) == sum(map(len, pictures)) == 1000


@pytest.mark.realdata
def test_nlvr_evidence_is_inked_in_the_colour_and_shape_spoken_of() -> None:
    share = {"square": (0.95, 1.0), "circle": (0.6, 0.9), "triangle": (0.35, 0.7)}
    rows = load_rows("nlvr", "test", data_dir=data_dir("nlvr"), count=150)
    shown = 0
    for row in rows:
        colour, shape = sorted(
            (row["text"][a:b] for a, b in row["evidence"]["text"]), key=lambda w: w in share
        )
        mask = row["evidence"]["image"]
        assert mask.any() == bool(row["label"])
        if row["label"]:
            near = np.abs(np.asarray(row["image"])[mask].astype(int) - NLVR_RGB[colour]).max(1) < 60
            low, high = share[shape]
            shown += low <= near.mean() <= high
    assert shown > 0.95 * sum(r["label"] for r in rows)


@pytest.mark.realdata
def test_nlvr_objects_stand_alone_in_pictures_of_the_same_size() -> None:
    rows = load_rows("nlvr_objects", "validation", data_dir=data_dir("nlvr"))
    counts = Counter(rows.columns["label"])
    assert len(counts) == 9
    assert min(counts.values()) == max(counts.values()) > 100
    ground = {(211, 211, 211), (128, 128, 128)}
    for row in rows.select(range(0, len(rows), 40)):
        assert row["image"].size == (400, 100)
        pixels, box = np.asarray(row["image"]), row["evidence"]["image"]
        assert set(map(tuple, pixels[~box])) == ground
        assert (
            np.abs(pixels[box].astype(int) - NLVR_RGB[NAMES[row["label"]].split()[0]]).max(1) < 60
        ).mean() > 0.3
