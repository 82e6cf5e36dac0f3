"""Data sets of a user's own, as ``docs/extend/data-set.md`` registers them: labels, evidence and rows that are wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import toy_models
from face_toys import TRANSFORM, image_model
from sidelight.errors import ConfigError, InputError
from sidelight.lab.config.files import parse_config
from sidelight.lab.data.sets import DATASETS, DataSet, load_rows
from sidelight.lab.evaluation.judge import accuracy_without, agreement
from sidelight.lab.evaluation.preflight import check_run
from sidelight.lab.evaluation.run import evaluate_run
from sidelight.lab.runs.classifier import accuracy
from sidelight.lab.runs.labelled import Renumbered
from sidelight.lab.runs.run import Run
from sidelight.targets import TargetModel, as_target
from tiny_runs import IMAGE, tiny_run

pytestmark = pytest.mark.usefixtures("kept_data_sets")


def rows(count: int, **more: Callable[[int], Any]) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 255, (20, 20), dtype=np.uint8) for _ in range(count)]
    return [{"image": Image.fromarray(p), **{k: f(i) for k, f in more.items()}} for i, p in enumerate(pixels)]


def put(found: Any) -> None:
    """Register a function that returns ``found``, whatever it is asked for."""
    DATASETS.add("mine", DataSet(("image",), ("left", "right"), lambda **asked: found, "made here"))


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, "got NoneType"),
        ((row for row in ()), "got generator"),
        (pd.DataFrame({"text": ["a"]}), r"got DataFrame.*to_dict\('records'\)"),
        ({"image": [1], "label": [0]}, "got dict"),
    ],
)
def test_kind_what_is_no_list_of_rows_is_told(found: Any, words: str) -> None:
    put(found)
    with pytest.raises(InputError, match=f"data set 'mine' must return a list of rows.*{words}"):
        load_rows("mine", "train", count=1)


def test_kind_a_function_that_returns_more_rows_than_were_asked_for_is_cut_to_them() -> None:
    put(rows(30, label=lambda i: i % 2))
    drawn = load_rows("mine", "test", count=8, seed=1)
    assert len(drawn) == 8
    assert [id(row) for row in drawn] == [id(row) for row in load_rows("mine", "test", count=8, seed=1)]
    assert len({id(row) for row in drawn}) == 8
    assert len(load_rows("mine", "test")) == len(load_rows("mine", "test", count=50)) == 30


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (lambda i: 2 * (i == 3), r"label 2, and the classifier knows 2 classes: 0 \(left\), 1 \(right\)"),
        (lambda i: i % 2 - 1, "label -1"),
        (lambda i: None if i == 3 else 0, "has no label"),
    ],
)
def test_kind_a_label_that_is_no_class_is_told(
    tmp_path: Path, label: Callable[[int], Any], words: str
) -> None:
    put(rows(12, label=label))
    sizes = {"name": "mine", "train": 12, "validation": 4, "test": 4}
    run = Run.create(tmp_path / "run", parse_config({**IMAGE, "data": sizes}))
    with pytest.raises(InputError, match=words):
        run.fit()


@pytest.mark.parametrize("lacking", ["train", "validation", "test"])
def test_kind_a_split_without_rows_is_told_before_anything_is_trained(tmp_path: Path, lacking: str) -> None:
    found = rows(8, label=lambda i: i % 2)

    def load(split: str, **asked: Any) -> list[dict[str, Any]]:
        return [] if split == lacking else found

    DATASETS.add("mine", DataSet(("image",), ("left", "right"), load, "made here"))
    config = parse_config({**IMAGE, "data": {"name": "mine"}})
    run = Run.create(tmp_path / "run", config)
    for whoever in (run.fit, lambda: check_run(config, tmp_path / "other")):
        with pytest.raises(InputError, match=f"data set 'mine' has no rows in its split '{lacking}'"):
            whoever()
    assert not (run.folder / "target").exists()
    assert not (run.folder / "fit.json").exists()


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("0", r"got the text '0'. Give a number, e.g. int\(label\)"),
        (
            "left",
            r"got the text 'left'. Give its place among the classes, from 0 on, e.g. classes.index\(label\)",
        ),
        (b"1", r"got the text b'1'. Give a number, e.g. int\(label\)"),
        (0.5, "integer index of a class; got 0.5"),
    ],
)
def test_kind_a_label_that_is_a_text_is_told_what_to_give(tmp_path: Path, label: Any, words: str) -> None:
    put(rows(12, label=lambda i: label))
    run = Run.create(tmp_path / "run", parse_config({**IMAGE, "data": {"name": "mine"}}))
    with pytest.raises(InputError, match=words):
        run.fit()


def test_kind_a_text_in_place_of_a_tuple_is_told() -> None:
    for modalities, classes in (("image", ("a", "b")), (("image",), "ab"), (("image",), (0, 1))):
        with pytest.raises(ConfigError, match="of a data set must be a tuple of texts"):
            DataSet(modalities, classes, lambda **asked: [], "")  # type: ignore[arg-type]


MASK = np.arange(400).reshape(20, 20) % 2 == 0


def test_kind_evidence_that_only_some_rows_bring_is_told_and_never_dropped() -> None:
    reader = as_target(image_model(), TRANSFORM).reader
    known = {"evidence": {"image": MASK}}
    for order in ([known, {}], [{}, known], [known, {"evidence": None}], [{"evidence": None}, known]):
        found = [{**row, **more} for row, more in zip(rows(2), order, strict=True)]
        with pytest.raises(InputError, match=r"evidence of row . must be a mapping with the key 'image'"):
            reader.read(found, evidence=True)
    assert reader.read(rows(2, evidence=lambda i: None), evidence=True).truth is None


@pytest.mark.parametrize(
    "evidence",
    [MASK, {"pixels": MASK}, {"image": MASK[None]}, {"image": "left"}, {"image": np.zeros((0, 0))}],
)
def test_kind_evidence_that_is_no_mask_is_told(evidence: Any) -> None:
    reader = as_target(image_model(), TRANSFORM).reader
    with pytest.raises(InputError, match="the evidence of row 0 must be a m"):
        reader.read(rows(1, evidence=lambda i: evidence), evidence=True)


def test_kind_a_mask_may_be_a_picture_or_an_array_of_bytes() -> None:
    reader = as_target(image_model(), TRANSFORM).reader
    masks = [MASK, MASK.astype(np.uint8) * 255, Image.fromarray(MASK.astype(np.uint8) * 255), MASK.tolist()]
    found = [reader.read(rows(1, evidence=lambda i, m=m: {"image": m}), evidence=True).truth for m in masks]
    assert all(truth is not None and (truth["image"] == found[0]["image"]).all() for truth in found)  # type: ignore[index]


def pretrained_run(tmp_path: Path, names: tuple[str, ...], **options: Any) -> Run:
    """A run of the rows 0, 1, 0, ... with a saved classifier of these class names, which says 0 for each picture."""
    put(rows(12, label=lambda i: i % 2))
    numbers = {name: number for number, name in enumerate(names)}
    model = toy_models.resnet(
        num_labels=len(names), num_channels=1, id2label=dict(enumerate(names)), label2id=numbers
    )
    model.classifier[-1].weight.data.zero_()
    model.classifier[-1].bias.data = torch.arange(len(names), 0, -1).float()
    model.save_pretrained(tmp_path / "model")
    target = {
        "pretrained": str(tmp_path / "model"),
        "transform": IMAGE["target"]["transform"],
        "options": options,
    }
    return Run.create(tmp_path / "run", parse_config({**IMAGE, "data": {"name": "mine"}, "target": target}))


@pytest.mark.parametrize(
    ("names", "options", "wanted"),
    [
        (("left", "right"), {}, [0, 1]),
        (("Right", "Left"), {}, [1, 0]),
        (("LABEL_0", "LABEL_1"), {}, [0, 1]),
        (("LABEL_0", "LABEL_1"), {"class_names": ["right", "left"]}, [1, 0]),
        (("left", "neither", "right"), {}, [0, 2]),
        (("up", "down"), {}, [0, 1]),
    ],
)
def test_kind_labels_go_by_name_where_a_trained_classifier_counts_its_classes_in_another_order(
    tmp_path: Path, names: tuple[str, ...], options: dict[str, Any], wanted: list[int]
) -> None:
    run = pretrained_run(tmp_path, names, **options)
    target, found = run.open_target(), run.rows("test")
    assert [found[0]["label"], found[1]["label"]] == wanted
    assert target.reader.read([found[i] for i in range(4)]).labels.tolist() == wanted * 2  # type: ignore[union-attr]
    zeros = sum(int(found[i]["label"] == 0) for i in range(12))
    assert accuracy(target, found) == zeros / 12


def test_kind_flags_of_independent_labels_go_by_name_too() -> None:
    found = Renumbered(
        [{"text": "a", "label": [1, 0, 0]}, ("b", [0, 1, 1]), {"text": "c"}], {0: 2, 1: 0, 2: 1}
    )
    assert [found[0], found[1], found[2]] == [
        {"text": "a", "label": [0, 0, 1]},
        ("b", [1, 1, 0]),
        {"text": "c"},
    ]


def test_kind_classes_that_the_rows_number_otherwise_are_told() -> None:
    import datasets

    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["right", "left"])}
    )
    put(datasets.Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]}, features=features))
    with pytest.raises(
        InputError, match=r"classes left, right, but its rows number them in another order: right, left"
    ):
        load_rows("mine", "train")


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (lambda i: i % 3 - 1, "label -1, and the classifier knows 2 classes"),
        (lambda i: [i % 2, 1], "do not fit a classifier of exclusive classes"),
    ],
)
def test_kind_a_label_that_is_no_class_is_not_counted_as_a_wrong_answer(
    tmp_path: Path, label: Callable[[int], Any], words: str
) -> None:
    target = pretrained_run(tmp_path, ("left", "right")).open_target()
    with pytest.raises(InputError, match=words):
        accuracy(target, rows(6, label=label))


def test_kind_one_class_number_is_no_answer_about_independent_labels() -> None:
    target = as_target(image_model(), TRANSFORM, output="labels")
    count = len(target.id2label) // 2
    for label in (0, [1] * (count + 1)):
        with pytest.raises(InputError, match=f"which needs lists of {count} flags"):
            accuracy(target, rows(count, label=lambda i, found=label: found))


@pytest.mark.parametrize("count", [4, 6])  # as many rows as labels, and others
def test_kind_a_judge_is_measured_over_every_independent_label(count: int) -> None:
    def saying(*logits: float) -> TargetModel:
        """A classifier that says the same of every picture."""
        model = image_model()
        head = [m for m in model.modules() if isinstance(m, torch.nn.Linear)][-1]
        head.weight.data.zero_()
        head.bias.data = torch.tensor(logits)
        return as_target(model, TRANSFORM, output="labels")

    target, judge = saying(3.0, 2.0, -1.0, -2.0), saying(3.0, -2.0, 1.0, -2.0)
    found = rows(count, label=lambda i: [1, 1, 0, int(i == 0)])
    right = (4 * count - 1) / (4 * count)  # the last label of the first row
    assert accuracy(target, found) == pytest.approx(right)
    assert accuracy_without(target, found, 0.1, ["zero"]) == pytest.approx(right)
    assert agreement(target, judge, found) == pytest.approx(0.5)
    assert agreement(target, target, found) == 1


def test_kind_metrics_of_which_no_sample_has_a_value_are_told(tmp_path: Path) -> None:
    empty = {"image": np.zeros((20, 20), dtype=bool)}
    put(rows(6, label=lambda i: i % 2, evidence=lambda i: empty))
    evaluation = {**IMAGE["evaluation"], "metrics": ["auprc", "f1"], "rivals": ["random"]}
    run = tiny_run(tmp_path / "run", data={"name": "mine"}, evaluation=evaluation)
    with pytest.raises(InputError, match="the evidence of every sample is empty"):
        evaluate_run(run)
    assert not (run.folder / "results.json").exists()


def test_kind_imported_maps_that_count_the_rows_of_the_whole_split_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a split with more rows than are evaluated some are drawn, and an id is the place of a row among them."""
    found, file = rows(24, label=lambda i: i % 2), tmp_path / "theirs.npz"
    put(found)

    def evaluated(pictures: list[dict[str, Any]]) -> list[str]:
        caplog.clear()
        np.savez(file, ids=np.arange(len(pictures)), image=[np.asarray(r["image"]) for r in pictures])
        maps = {"name": "theirs", "path": str(file)}
        section = {**IMAGE["evaluation"], "metrics": ["mean_score"], "rivals": [], "imported": [maps]}
        data = {"name": "mine", "train": 24, "validation": 8}
        run = tiny_run(tmp_path / str(len(pictures)), {**IMAGE, "data": data, "evaluation": section})
        evaluate_run(run)
        drawn = [np.asarray(r["image"]).mean() for r in run.tested_rows(8)]
        assert drawn != [np.asarray(r["image"]).mean() for r in found[:8]]
        return [m for m in caplog.messages if "theirs.npz" in m]

    (warning,) = evaluated(found)
    assert "ids up to 23, and 8 samples are evaluated, 0 to 7" in warning
    assert "run.tested_rows(run.config.evaluation.count)" in warning
    assert evaluated(found[:8]) == []
