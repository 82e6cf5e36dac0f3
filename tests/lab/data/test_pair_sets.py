"""Image-text sets from parquet files: tiny copies of their layouts."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from sidelight.errors import InputError
from sidelight.lab.data.reading import DATA_VARIABLE
from sidelight.lab.data.sets import DATASETS, load_rows

RGB = {"yellow": (255, 255, 0), "blue": (0, 153, 255), "black": (0, 0, 0)}


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data set can be found but those a test writes."""
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)


def encoded(image: Image.Image) -> dict[str, Any]:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": "x.png"}


def grey(value: int) -> Image.Image:
    return Image.new("L", (10, 8), value)


def write(folder: Path, split: str, **columns: list[Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), folder / f"{split}.parquet")


def test_flickr8k_from_parquet(tmp_path: Path) -> None:
    found = [[f"picture {i} {k}" for k in range(i % 3 + 1)] for i in range(9)]
    write(tmp_path / "flickr8k", "test", image=[encoded(grey(10 * i)) for i in range(9)], captions=found)
    rows = load_rows("flickr8k", "test", data_dir=str(tmp_path), seed=4)
    assert len(rows) == 2 * sum(map(len, found))
    for row in rows:
        assert set(row) == {"image", "text", "label"}
        shown = row["image"].getpixel((0, 0)) // 10
        assert row["text"].startswith(f"picture {shown} ") == bool(row["label"])
    texts = {y: Counter(r["text"] for r in rows if r["label"] == y) for y in (0, 1)}
    assert texts[0] == texts[1]
    again, other = (load_rows("flickr8k", "test", data_dir=str(tmp_path), seed=s) for s in (4, 5))
    assert [r["text"] for r in again] == [r["text"] for r in rows] != [r["text"] for r in other]
    some = load_rows("flickr8k", "test", data_dir=str(tmp_path), count=5, seed=4)
    assert len(some) == 5
    with pytest.raises(InputError, match=r"no train\.parquet in .*holds \['test\.parquet'\]"):
        load_rows("flickr8k", "train", data_dir=str(tmp_path))


def test_flickr8k_from_the_hub_has_a_column_a_caption(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fake(hub_id: str, split: str) -> Any:
        asked.append((hub_id, split))
        columns = {f"caption_{k}": [f"{i} {k}" for i in range(4)] for k in range(5)}
        return datasets.Dataset.from_dict({"image": [encoded(grey(i)) for i in range(4)], **columns})

    monkeypatch.setattr(datasets, "load_dataset", fake)
    rows = load_rows("flickr8k", "validation")
    assert asked == [("jxie/flickr8k", "validation")]
    assert all(r["text"].startswith(f"{r['image'].getpixel((0, 0))} ") == bool(r["label"]) for r in rows)
    assert len(rows) == 40
    bare = datasets.Dataset.from_dict({"image": [encoded(grey(0))]})
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: bare)
    with pytest.raises(
        InputError, match=r"expected a column 'captions' or 'caption_0', ...; got \['image'\]"
    ):
        load_rows("flickr8k", "validation")


@pytest.mark.parametrize("name", ["esnlive", "esnlive_subset"])
def test_esnlive_hypotheses_are_the_text(tmp_path: Path, name: str) -> None:
    pictures = [encoded(grey(i)) for i in range(3)]
    write(
        tmp_path / name,
        "train",
        image=pictures,
        hypothesis=list("abc"),
        label=[2, 0, 1],
        explanation=list("xyz"),
    )
    rows = load_rows("esnlive", "train", data_dir=str(tmp_path))
    assert [(r["image"].getpixel((0, 0)), r["text"], r["label"]) for r in rows] == [
        (0, "a", 2),
        (1, "b", 0),
        (2, "c", 1),
    ]
    assert DATASETS["esnlive"].classes == ("entailment", "neutral", "contradiction")


def nlvr(folder: Path, count: int = 40) -> None:
    """Pictures of squares and circles in two colours, up to three objects each, drawn inside their boxes."""
    rng = np.random.default_rng(0)
    columns: dict[str, list[Any]] = {k: [] for k in ("image", "object_shape", "object_color", "object_box")}
    for _ in range(count):
        image = Image.new("RGB", (60, 20), (211, 211, 211))
        pen, shapes, colours, boxes = ImageDraw.Draw(image), [], [], []
        for place in rng.permutation(3)[: rng.integers(1, 4)].tolist():
            shapes.append(["square", "circle"][rng.integers(2)])
            colours.append(list(RGB)[rng.integers(3)])
            left, top = 20 * place + 2, int(rng.integers(0, 8))
            boxes.append([left, top, left + 10, top + 10])
            draw = pen.rectangle if shapes[-1] == "square" else pen.ellipse
            draw((left, top, left + 9, top + 9), fill=RGB[colours[-1]])
        for name, value in zip(columns, (encoded(image), shapes, colours, boxes), strict=True):
            columns[name].append(value)
    write(folder, "train", **columns, sentence=[f"s {i}" for i in range(count)], label=[0, 1] * (count // 2))


def test_nlvr_labels_and_evidence_are_what_the_pixels_show(tmp_path: Path) -> None:
    nlvr(tmp_path / "nlvr")
    rows = load_rows("nlvr", "train", data_dir=str(tmp_path))
    assert len(rows) > 40
    for row in rows:
        colour, shape = sorted(
            (row["text"][a:b] for a, b in row["evidence"]["text"]), key=lambda w: w not in RGB
        )
        pixels = np.asarray(row["image"])
        mask = row["evidence"]["image"]
        assert mask.shape == pixels.shape[:2]
        inked = (pixels == RGB[colour]).all(2)
        parts, _ = ndimage.label(inked)
        # a square fills its box
        squares = [parts[box].all() for box in ndimage.find_objects(parts)]
        assert (any(square == (shape == "square") for square in squares)) == bool(row["label"])
        assert mask.any() == bool(row["label"])
        assert not row["label"] or (pixels[mask] == RGB[colour]).all(1).mean() > 0.7
    by_text = Counter[tuple[str, ...]]()
    by_picture = Counter[int]()
    made: Any = rows
    for number, row in zip(made.picture, rows, strict=True):
        words = tuple(sorted(row["text"][a:b] for a, b in row["evidence"]["text"]))
        by_text[words] += 2 * row["label"] - 1
        by_picture[number] += 2 * row["label"] - 1
    assert not any(by_text.values())
    assert not any(by_picture.values())


def test_nlvr_objects_stand_alone_at_their_places_and_each_kind_is_as_frequent(tmp_path: Path) -> None:
    nlvr(tmp_path / "nlvr")
    rows = load_rows("nlvr_objects", "train", data_dir=str(tmp_path))
    names = [DATASETS["nlvr_objects"].classes[row["label"]].split() for row in rows]
    assert len(set(Counter(map(tuple, names)).values())) == 1
    assert len(set(map(tuple, names))) == 6
    whole = load_rows("nlvr", "train", data_dir=str(tmp_path)).pictures
    drawn = {np.asarray(whole[i]).tobytes() for i in range(len(whole))}
    for row, (colour, shape) in zip(rows, names, strict=True):
        pixels, box = np.asarray(row["image"]), row["evidence"]["image"]
        inked = (pixels == RGB[colour]).all(2)
        assert (pixels[~box] == 211).all()
        assert inked[box].all() == (shape == "square")
        assert inked.sum() > 0.6 * box.sum() == 60
    assert any(np.asarray(row["image"]).tobytes() not in drawn for row in rows)


def test_what_cannot_be_found_or_lacks_columns(tmp_path: Path) -> None:
    for name in ("esnlive", "nlvr", "nlvr_objects"):
        with pytest.raises(
            InputError, match=rf"read from a local folder.*{DATA_VARIABLE}.*test\.parquet with the col"
        ):
            load_rows(name, "test")
    write(tmp_path / "esnlive", "test", image=[encoded(grey(0))], sentence=["a"])
    with pytest.raises(InputError, match=r"lacks the column\(s\) \['hypothesis', 'label'\]; it has"):
        load_rows("esnlive", "test", data_dir=str(tmp_path))


def test_a_column_that_holds_no_pictures(tmp_path: Path) -> None:
    write(tmp_path / "esnlive", "test", image=[1, 2], hypothesis=["a", "b"], label=[0, 1])
    with pytest.raises(InputError, match="column 'image' must hold pictures"):
        load_rows("esnlive", "test", data_dir=str(tmp_path))


def test_every_pair_set_is_listed_with_both_modalities() -> None:
    pairs = {name for name, entry in DATASETS.items() if entry.modalities == ("image", "text")}
    assert pairs == {
        "scenes", "flickr8k", "hateful_memes", "snli_ve", "esnlive", "nlvr",
    }  # fmt: skip
    assert {n for n in pairs if DATASETS[n].truth} == {"scenes", "nlvr"}
