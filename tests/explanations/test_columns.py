"""Columns straight from tensors are those of packed explanations, whatever rows hold. Types of stored scores."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from helpers_training import TRANSFORM, classifier, corner_images
from sidelight import Explainer, Explanation, ScorerConfig, read_explanations
from sidelight.checks.quality import CLASSES, CLUES, Quality
from sidelight.core.tensors import best_first
from sidelight.errors import CheckpointError, ConfigError
from sidelight.explanations.block_tables import BlockOptions, block_table
from sidelight.explanations.blocks import with_columns
from sidelight.explanations.columns import table_of
from sidelight.explanations.packing import packed_table
from sidelight.explanations.score_types import SCORE_TYPES
from sidelight.inputs.words import _scan, _walk
from sidelight.targets import as_target
from sidelight.training.network import new_scorer
from text_models import TEXTS, make_pair

#: texts that are cut, that hold what no word is, and of several scripts
ODD = ["word " * 700, "  \x01 hm\x1c yes ", "naïve 你好 👍🏽 é’s", "https://a.b/c?d, x@y.zz 1,000.5!", "good"]


def foretelling(explainer: Explainer) -> Explainer:
    count = len(CLUES) + CLASSES
    explainer.scorer.quality = Quality((0.5,) * count, (1.0,) * count, (0.01,) * count, 0.2, 0.5, 99)
    return explainer


@pytest.fixture(scope="module", params=["bert", "gpt2"])
def texts(request: pytest.FixtureRequest) -> Explainer:
    target = as_target(*make_pair(request.param), class_names=["bad", "fair", "good"])
    torch.manual_seed(0)
    return foretelling(Explainer(target, new_scorer(target, TEXTS[:1], ScorerConfig(by_class=True))))


@pytest.fixture(scope="module")
def images() -> Explainer:
    target = as_target(classifier(), TRANSFORM)
    torch.manual_seed(0)
    return foretelling(Explainer(target, new_scorer(target, [corner_images(1)[0][0]], ScorerConfig())))


def both(explainer: Explainer, rows: list[Any], scores: str | None = None, **chosen: Any) -> tuple[Any, Any]:
    """The columns of a batch straight from its tensors, and those of its explanations."""
    pack = explainer.packing(**chosen)
    found = pack.answer(pack.batch(rows, range(len(rows))), range(len(rows)))
    direct = table_of(explainer.target, found, rows, range(len(rows)), scores)
    explanations = map(with_columns, explainer.explain(rows, batch_size=len(rows), **chosen), rows)
    return direct, packed_table(enumerate(explanations), scores)


def same(one: pa.Table, other: pa.Table) -> None:
    assert one.schema == other.schema
    for name in one.column_names:
        assert one[name].to_pylist() == other[name].to_pylist(), name


@pytest.mark.filterwarnings("ignore:.*longer than")
@pytest.mark.parametrize("scores", [None, *SCORE_TYPES])
def test_columns_are_those_of_explanations(texts: Explainer, images: Explainer, scores: str | None) -> None:
    rows = [{"text": t, "id": i, "tags": ["a", None]} for i, t in enumerate([*TEXTS, *ODD])]
    same(*both(texts, rows, scores))
    same(*both(texts, rows, scores, target="good", versus="bad"))
    same(*both(texts, rows, scores, target="second"))
    pictures = [{"image": picture, "id": ""} for picture in corner_images(5, seed=2)[0]]
    same(*both(images, pictures, scores))


def test_what_utf_8_cannot_hold_takes_the_way_of_explanations(texts: Explainer) -> None:
    rows = [{"text": "good \ud800 film"}, {"text": "dull", "id": "\udfff"}]
    for row in rows:
        direct, whole = both(texts, [row])
        assert direct is None
        same(texts.packing()([row], [0], None), whole)


def test_a_bad_row_is_left_out_of_its_batch_only(texts: Explainer) -> None:
    rows = [{"text": t} for t in (*TEXTS[:2], "", TEXTS[2])]
    found = block_table(list(enumerate(rows, start=7)), texts.packing(), BlockOptions(4)).to_pylist()
    assert [row["row"] for row in found] == [7, 8, 9, 10]
    assert [bool(row["error"]) for row in found] == [False, False, True, False]
    assert "empty" in found[2]["error"]


def test_a_map_with_no_numbers_is_refused(texts: Explainer, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = [{"text": np.zeros(0, np.float32)}]
    monkeypatch.setattr(type(texts.target.reader), "show_scores", lambda *args: nothing)
    with pytest.raises(Exception, match="finite and not empty"):
        texts.packing()(["good"], [0])


@pytest.mark.parametrize("kind", SCORE_TYPES)
def test_scores_come_back_within_the_rounding(kind: str, images: Explainer, tmp_path: Path) -> None:
    pixels = list(corner_images(6, seed=2)[0])
    found = images.explain_dataset(pixels, tmp_path / kind, block_rows=4, scores=kind)
    stored = found.to_arrow(["image_scores"]).schema.field("image_scores").type
    assert stored.value_type == pa.from_numpy_dtype(SCORE_TYPES[kind][0])
    for answer, exact in zip(found, images.explain(pixels), strict=True):
        assert isinstance(answer, Explanation)
        assert answer.map.dtype == np.float32
        assert np.abs(answer.map - exact.map).max() <= SCORE_TYPES[kind][1] + 1e-6
        assert {0.0, 1.0} <= set(answer.map.ravel().tolist())  # the ends of a map are exact
    version = json.loads((tmp_path / kind / "manifest.json").read_text())["version"]
    assert version == (3 if kind == "uint8" else 2)
    with pytest.raises(ConfigError, match="another job"):
        images.explain_dataset(pixels, tmp_path / kind, block_rows=4)


def test_an_unknown_type_of_scores_is_refused(images: Explainer, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="float32, float16, uint8"):
        images.explain_dataset(["x.png"], tmp_path, scores="int4")


def test_a_later_format_is_refused(images: Explainer, tmp_path: Path) -> None:
    images.explain_dataset(list(corner_images(2)[0]), tmp_path / "a")
    manifest = tmp_path / "a" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"version": 2', '"version": 4'))
    with pytest.raises(CheckpointError, match="newer version"):
        read_explanations(tmp_path / "a")


def test_pictures_are_kept_to_the_level(images: Explainer, tmp_path: Path) -> None:
    pixels = list(corner_images(3, seed=2)[0])
    found = images.explain_dataset(pixels, tmp_path / "a").to_arrow(["image_picture"])
    for stored, exact in zip(found["image_picture"].to_pylist(), images.explain(pixels), strict=True):
        shown = np.asarray(Image.open(io.BytesIO(stored)))
        levels = np.round(exact.inputs["image"] * 255).astype(np.uint8)
        assert np.array_equal(shown.reshape(levels.shape), levels)


@given(
    st.text(alphabet=st.sampled_from([*map(chr, range(128)), *"abc123#@'-.,: é’·你👍🏽\u200d🇩🇪\u3000\x85"]))
)
@settings(max_examples=300, deadline=None)
def test_words_of_plain_texts_are_those_found_one_by_one(text: str) -> None:
    assert _scan(text, 0, len(text)) == _walk(text, 0, len(text))


def test_best_first_is_a_stable_sort() -> None:
    torch.manual_seed(0)
    values = (torch.randn(6, 5_000) * 3).round() / 3
    values[:, ::3], values[:, 1::5], values[:, 2::5] = -torch.inf, 0.0, -0.0
    expected = values.argsort(dim=1, descending=True, stable=True)
    assert torch.equal(best_first(values), expected)
    assert torch.equal(best_first(values.double()), expected)
