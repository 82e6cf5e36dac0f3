"""Scenes: what the pixels show and the words say, read back without the code that drew and wrote them."""

from __future__ import annotations

import colorsys
import re
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sidelight.errors import ConfigError
from sidelight.inputs.base import Batch
from sidelight.inputs.collate import Collator
from sidelight.inputs.images import ImageTransform
from sidelight.inputs.tokenizing import Tokenizing
from sidelight.lab.data.scenes import (
    BLANK,
    CANVAS,
    CLASSES,
    COLOURS,
    EMPTY,
    NEGATED,
    SHAPES,
    SINGLE,
    SPLITS,
    TEXT_ONLY,
    Scene,
    Shape,
    object_rows,
    scene_rows,
    scene_tokenizer,
    scenes,
)
from sidelight.lab.data.sets import DATASETS, load_rows
from sidelight.targets.image import ImageTarget
from tiny_models import tiny

HUES = {"red": 0.0, "yellow": 0.14, "green": 0.36, "blue": 0.63}
#: share of its box that a shape covers
FILL = {"square": 1.0, "circle": 0.78, "triangle": 0.52}
NEGATIONS = {"no", "none", "not", "never"}
CORNERS = {"triangle": "three", "square": "four"}

settings.register_profile("scenes", deadline=None, max_examples=25)
settings.load_profile("scenes")


@cache
def many() -> list[Scene]:
    return scenes(3000, seed=11)


def seen(image: np.ndarray) -> list[tuple[str, str, np.ndarray]]:
    """``(colour, shape, mask)`` of each object, from the pixels alone: grey has no saturation."""
    values = image.astype(int)
    parts, count = ndimage.label(np.ptp(values, axis=2) > 60, structure=np.ones((3, 3)))
    found = []
    for part in range(1, count + 1):
        mask = parts == part
        hue, _, _ = colorsys.rgb_to_hsv(*values[mask].mean(0) / 255)
        colour = min(HUES, key=lambda name: min(abs(hue - HUES[name]), 1 - abs(hue - HUES[name])))
        box = mask[ndimage.find_objects(mask.astype(int))[0]]
        shape = min(FILL, key=lambda name: abs(box.mean() - FILL[name]))
        found.append((colour, shape, mask))
    return found


def decide(text: str, objects: list[tuple[str, str, np.ndarray]]) -> tuple[int, str, np.ndarray, list[str]]:
    """Label, deciding modality, deciding pixels and deciding words, by reading the caption word by word."""
    words = text.split()
    negation = [w for w in words if w in NEGATIONS]
    assert len(negation) <= 1
    colours, shapes = [w for w in words if w in COLOURS], [w for w in words if w in SHAPES]
    numbers = [w for w in words if w in CORNERS.values()]
    nothing = np.zeros((CANVAS, CANVAS), dtype=bool)
    # of a statement on colours without its deciding words a shape may be left; a claim about the picture never reads so
    statement = rf"(by definition a|any|a) \[PAD\] ({'|'.join(SHAPES)}) is( always| also| \[PAD\])? \[PAD\]"
    if re.fullmatch(statement, text) or not (colours or shapes):  # blanked out
        assert BLANK in words
        assert not negation
        return 2, "text", nothing, []
    if len(colours) == 2 or numbers or len(shapes) == 2:
        if len(colours) == 2:
            compared, true = colours, colours[0] == colours[1]
        elif numbers:
            compared, true = [shapes[0], numbers[0]], CORNERS[shapes[0]] == numbers[0]
        else:
            compared, true = shapes, shapes[0] == shapes[1]
        return int(true != bool(negation)), "text", nothing, compared + negation
    meant = [
        mask
        for colour, shape, mask in objects
        if (not colours or colour == colours[0]) and (not shapes or shape == shapes[0])
    ]
    pixels = np.logical_or.reduce([nothing, *meant])
    return int(bool(meant) != bool(negation)), "both", pixels, colours + shapes + negation


@given(seed=st.integers(0, 2**31), stream=st.integers(0, 5))
@example(seed=321, stream=1)  # "a [PAD] that [PAD] yellow can [PAD] [PAD]"
def test_what_is_seen_and_read_gives_label_and_evidence(seed: int, stream: int) -> None:
    for scene in scenes(6, seed, stream):
        objects = seen(scene.image)
        assert sorted(o[:2] for o in objects) == sorted((o.colour, o.shape) for o in scene.objects)
        label, decided_by, pixels, words = decide(scene.text, objects)
        assert (scene.label, scene.decided_by) == (label, decided_by), scene.text
        assert np.array_equal(scene.pixels, pixels)
        assert sorted(scene.text[a:b] for a, b in scene.spans) == sorted(words)


@given(seed=st.integers(0, 2**31))
def test_a_mask_is_exactly_what_is_drawn(seed: int) -> None:
    (scene,) = scenes(1, seed)
    drawn = {(colour, shape): mask for colour, shape, mask in seen(scene.image)}
    assert len(drawn) == len(scene.objects)
    for o in scene.objects:
        assert np.array_equal(o.mask(), drawn[o.colour, o.shape])
        assert o.mask().any(0).sum() == 2 * o.radius + 1  # nothing is cut off by the edge


@given(st.integers(0, 2**31), st.integers(0, 12), st.integers(0, 6))
def test_the_seed_decides_and_a_longer_list_starts_with_the_shorter(seed: int, count: int, more: int) -> None:
    for one, two in zip(scenes(count, seed), scenes(count + more, seed), strict=False):
        assert one.text == two.text
        assert np.array_equal(one.image, two.image)


def test_splits_and_seeds_are_drawn_apart() -> None:
    lists = [scene_rows(split, count=40, seed=seed) for split in SPLITS for seed in (0, 1)]
    pictures = [{row["image"].tobytes() for row in rows} for rows in lists]
    assert [len(found) for found in pictures] == [40] * 6
    assert len(set().union(*pictures)) == 240


def test_shares_of_kinds_labels_and_negations() -> None:
    claims = [s for s in many() if s.label < 2]
    share = {
        "claims": len(claims) / len(many()),
        "label": np.mean([s.label for s in claims]),
        "text": np.mean([s.decided_by == "text" for s in claims]),
        "negated": np.mean([bool(NEGATIONS & set(s.text.split())) for s in claims]),
        "pixels": np.mean([s.pixels.any() for s in claims]),
    }
    expected = {
        "claims": 1 - EMPTY,
        "label": 0.5,
        "text": TEXT_ONLY,
        "negated": NEGATED,
        "pixels": (1 - TEXT_ONLY) / 2,
    }
    assert share == pytest.approx(expected, abs=0.03)
    assert {len(s.objects) for s in many()} == {1, 2, 3}
    assert len({s.text for s in many()}) > 800
    assert all(not s.pixels.any() for s in many() if s.decided_by == "text")
    for kind in ("text", "both"):
        assert np.mean([s.label for s in claims if s.decided_by == kind]) == pytest.approx(0.5, abs=0.04)
    remarks = [s for s in many() if s.label == 2]
    assert all(s.decided_by == "text" and not s.spans for s in remarks)
    assert len({s.text for s in remarks}) > 25
    # a blank says nothing of the label: irrelevant words are blanked as well
    blank = [s for s in claims if BLANK in s.text.split()]
    assert len(blank) > 0.3 * len(claims)
    assert np.mean([s.label for s in blank]) == pytest.approx(0.5, abs=0.05)


def statistics(scene: Scene) -> list[float]:
    """Of the picture alone: mean and spread of each channel, how much is coloured, and how."""
    values = scene.image.reshape(-1, 3).astype(float)
    amounts = [coloured(scene, colour) for colour in COLOURS]
    return [*values.mean(0), *values.std(0), *amounts, sum(amounts), float(len(scene.objects))]


def coloured(scene: Scene, colour: str) -> float:
    distance = np.abs(scene.image.astype(float) - np.asarray(COLOURS[colour])).max(2)
    return float((distance < 30).sum())


def right(model: Any, inputs: Any, labels: list[int]) -> float:
    """Accuracy on the last quarter after training on the rest."""
    cut = 3 * len(labels) // 4
    return float(model.fit(inputs[:cut], labels[:cut]).score(inputs[cut:], labels[cut:]))


def words(found: list[Scene]) -> Any:
    return CountVectorizer(ngram_range=(1, 2)).fit_transform([s.text for s in found])


def test_no_modality_alone_tells_the_label_where_both_decide() -> None:
    both = [s for s in many() if s.decided_by == "both"]
    labels = [s.label for s in both]
    assert right(LogisticRegression(max_iter=500), words(both), labels) == pytest.approx(0.5, abs=0.055)
    table = np.array([statistics(s) for s in both])
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    assert right(linear, table, labels) == pytest.approx(0.5, abs=0.055)
    forest = RandomForestClassifier(40, min_samples_leaf=5, random_state=0)
    assert right(forest, table, labels) == pytest.approx(0.5, abs=0.055)


def test_the_same_probes_see_what_there_is_to_see() -> None:
    both = [s for s in many() if s.decided_by == "both"]
    named = [[c for c in COLOURS if c in s.text.split()] for s in both]
    negated = [bool(NEGATIONS & set(s.text.split())) for s in both]
    crossed = np.array(
        [
            [float(any(coloured(s, c) for c in found) != no), no]
            for s, found, no in zip(both, named, negated, strict=True)
        ]
    )
    assert right(LogisticRegression(), crossed, [s.label for s in both]) > 0.65
    text = [s for s in many() if s.decided_by == "text" and s.label < 2]
    forest = RandomForestClassifier(40, random_state=0)
    assert right(forest, words(text), [s.label for s in text]) > 0.7


def test_what_is_absent_is_often_missed_by_little() -> None:
    shared = []
    for s in many():
        colours, shapes = ([w for w in s.text.split() if w in kind] for kind in (COLOURS, SHAPES))
        if s.decided_by == "both" and len(colours) == len(shapes) == 1 and not s.pixels.any():
            has = {o.colour for o in s.objects}, {o.shape for o in s.objects}
            shared.append((colours[0] in has[0], shapes[0] in has[1]))
    for kind in ((True, True), (True, False), (False, True), (False, False)):
        assert shared.count(kind) > 0.1 * len(shared)


def test_rows_as_a_data_set() -> None:
    entry = DATASETS["scenes"]
    assert (entry.modalities, entry.classes, entry.truth) == (("image", "text"), CLASSES, True)
    rows = load_rows("scenes", "test", count=30, seed=3)
    assert len(rows) == 30
    for row, scene in zip(rows, scenes(30, 3, stream=2), strict=True):
        assert set(row) == {"image", "text", "label", "decided_by", "evidence"}
        assert row["image"].shape == (CANVAS, CANVAS, 3)
        assert row["image"].dtype == np.uint8
        assert (row["text"], row["label"], row["decided_by"]) == (scene.text, scene.label, scene.decided_by)
        assert np.array_equal(row["evidence"]["image"], scene.pixels)
        assert row["evidence"]["text"] == scene.spans
    assert len(load_rows("scenes", "validation")) == SPLITS["validation"]


def test_pictures_of_one_object_are_named_by_what_is_seen() -> None:
    rows = load_rows("scene_objects", "test", count=150, seed=2)
    classes = DATASETS["scene_objects"].classes
    assert len(set(classes)) == len(COLOURS) * len(SHAPES)
    for row in (rows[i] for i in range(len(rows))):
        ((colour, shape, mask),) = seen(row["image"])
        assert classes[row["label"]] == f"{colour} {shape}"
        assert np.array_equal(row["evidence"]["image"], mask)
    labels = [rows[i]["label"] for i in range(len(rows))]
    assert set(labels) == set(range(len(classes)))
    assert max(labels.count(k) for k in range(len(classes))) < 30
    lists = [object_rows(split, count=20, seed=seed) for split in SINGLE for seed in (0, 1)]
    assert len({image.tobytes() for found in lists for image in found.images}) == 120
    assert np.array_equal(object_rows("test", count=5).images, object_rows("test", count=20).images[:5])


def test_a_collator_takes_the_column_it_needs_and_truth_is_laid_on_pixels() -> None:
    rows = list(load_rows("scenes", "train", count=8))
    target = ImageTarget(tiny("vit"), ImageTransform((32, 48)))
    batch = Collator(target)(rows)
    assert set(batch) == {"pixel_values", "labels"}
    assert batch["labels"].tolist() == [row["label"] for row in rows]
    truth = target.reader.truth([row["evidence"] for row in rows], Batch(batch))["image"]
    assert truth.flatten(1).any(1).tolist() == [bool(row["evidence"]["image"].any()) for row in rows]


def test_the_tokenizer_knows_every_word() -> None:
    tokenizer = scene_tokenizer()
    view = Tokenizing(tokenizer)
    texts = [s.text for s in many()]
    assert all(tokenizer.unk_token_id not in ids for ids in tokenizer(texts)["input_ids"])
    assert not any(v.truncated for v in view.read(texts).views)
    for scene, found in zip(many()[:100], view.read(texts[:100]).views, strict=True):
        hit = [
            scene.text[a:b]
            for (a, b), on in zip(found.offsets, found.tokens_in(scene.spans), strict=True)
            if on
        ]
        assert hit == [scene.text[a:b] for a, b in scene.spans]


@pytest.mark.parametrize(
    "bad",
    [{"count": -1}, {"count": 1, "seed": -1}, {"count": 1, "stream": -1}, {"count": 1, "text_only": 1.1}],
)
def test_numbers_out_of_range(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="0 or more"):
        scenes(**bad)


def test_bad_splits_and_counts() -> None:
    with pytest.raises(ConfigError, match="split must be one of train, validation, test; got 'dev'"):
        scene_rows("dev")
    with pytest.raises(ConfigError, match="count must be at least 1"):
        scene_rows("test", count=0)
    with pytest.raises(ConfigError, match="split must be one of"):
        object_rows("dev")
    with pytest.raises(ConfigError, match="seed of 0 or more; got -1"):
        object_rows("test", count=1, seed=-1)


def test_shapes_at_their_smallest() -> None:
    rows = [
        [Shape(name, "red", 4, 4, 2).mask(9)[r].sum() for r in range(2, 7)]
        for name in ("square", "circle", "triangle")
    ]
    assert rows == [[5, 5, 5, 5, 5], [3, 5, 5, 5, 3], [1, 1, 3, 3, 5]]
