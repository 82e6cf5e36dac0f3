"""Evidence as boxes: a tiny copy of the layout, with pictures of different sizes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image, ImageDraw
from torch import nn

from sidelight.errors import InputError
from sidelight.inputs.image import PIXELS, ImageReader
from sidelight.inputs.images import ImageTransform
from sidelight.lab.data.boxes import BoxEvidence
from sidelight.lab.data.reading import DATA_VARIABLE
from sidelight.lab.data.sets import DATASETS, load_rows

SIZES = ((20, 30), (44, 24), (32, 32))
BOXES = ([[3, 2, 12, 11]], [[0, 20, 24, 44], [10, 1, 20, 9]], [[8.4, 7.6, 30.49, 31.51]])


def painted(size: tuple[int, int], boxes: list[list[float]]) -> dict[str, Any]:
    """A black picture with the boxes in white, drawn by Pillow."""
    image = Image.new("RGB", size[::-1])
    for left, top, right, bottom in boxes:
        corners = (round(left), round(top), round(right) - 1, round(bottom) - 1)
        ImageDraw.Draw(image).rectangle(corners, fill="white")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": "x.png"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    height, width = zip(*SIZES, strict=True)
    images = [painted(size, boxes) for size, boxes in zip(SIZES, BOXES, strict=True)]
    columns = {"image": images, "label": [0, 1, 1], "boxes": [[*map(list, b)] for b in BOXES]}
    (tmp_path / "object_boxes").mkdir()
    table = pa.table(
        {
            **columns,
            "boxes": pa.array([[[float(v) for v in box] for box in b] for b in BOXES]),
            "width": list(width),
            "height": list(height),
        }
    )
    pq.write_table(table, tmp_path / "object_boxes" / "test.parquet")
    return tmp_path


def test_rows_hold_what_pillow_painted(folder: Path) -> None:
    rows = load_rows("object_boxes", "test", data_dir=str(folder))
    assert DATASETS["object_boxes"].truth
    for row, size in zip(rows, SIZES, strict=True):
        mask = row["evidence"]["image"]
        assert mask.shape == size
        assert np.array_equal(mask, np.asarray(row["image"])[..., 0] == 255)
    assert [row["label"] for row in rows] == [0, 1, 1]
    assert len(load_rows("object_boxes", "test", data_dir=str(folder), count=2)) == 2


@pytest.mark.parametrize(
    "options",
    [
        {"size": (16, 16), "crop": True},
        {"size": (16, 16), "crop": True, "resize_to": 24},
        {"size": (12, 18), "crop": True, "resize_to": (20, 26), "resample": "bicubic"},
    ],
)
def test_the_evidence_goes_the_way_of_its_picture(folder: Path, options: dict[str, Any]) -> None:
    """A picture that is white where its evidence is: after any preprocessing both are still the same."""
    rows = load_rows("object_boxes", "test", data_dir=str(folder))
    batch = ImageReader(ImageTransform(**options)).read([rows[i] for i in range(3)], evidence=True)
    assert batch.truth is not None
    white = batch.inputs[PIXELS].mean(1, keepdim=True)
    found = batch.truth["image"]
    assert found.shape == white.shape
    assert 0 < found.float().mean() < 1
    certain = white.abs() > 0.05  # a pixel on a border may be half white
    assert np.array_equal((white > 0)[certain].numpy(), found[certain].numpy())
    assert certain.float().mean() > 0.9


def test_evidence_beside_a_picture_that_is_only_stretched_takes_the_nearest_pixel(folder: Path) -> None:
    """As in evaluations of earlier versions, which go on with the same numbers."""
    rows = load_rows("object_boxes", "test", data_dir=str(folder))
    batch = ImageReader(ImageTransform((16, 16))).read([rows[i] for i in range(3)], evidence=True)
    assert batch.truth is not None
    for i in range(3):
        mask = torch.as_tensor(rows[i]["evidence"]["image"]).float()[None, None]
        expected = nn.functional.interpolate(mask, size=(16, 16), mode="nearest")[0, 0] > 0.5
        assert torch.equal(batch.truth["image"][i, 0], expected)


def test_what_a_transform_adds_is_no_evidence() -> None:
    class Padding(ImageTransform):
        """Two columns of grey on the right."""

        def __call__(self, source: Any) -> Any:
            return nn.functional.pad(super().__call__(source), (0, 2))

    reader = ImageReader(Padding((8, 8)))
    row = {"image": Image.new("RGB", (8, 8), "white"), "evidence": {"image": np.ones((8, 8), dtype=bool)}}
    truth = reader.read([row], labelled=False, evidence=True).truth
    assert truth is not None
    assert truth["image"][0, 0].float().mean(0).tolist() == [1.0] * 8 + [0.0] * 2


def test_a_box_over_the_border_is_cut_and_an_empty_list_is_no_evidence() -> None:
    evidence = BoxEvidence([(4, 4), (4, 4)], [[(-1.0, -0.4, 2.0, 9.0)], []])
    assert evidence[0]["image"].sum(0).tolist() == [4, 4, 0, 0]
    assert not evidence[1]["image"].any()
    assert "text" not in evidence[0]


def test_a_copy_without_boxes_is_refused(folder: Path) -> None:
    path = folder / "object_boxes" / "test.parquet"
    pq.write_table(pq.read_table(path).drop(["boxes"]), path)
    with pytest.raises(InputError, match=r"lacks the column\(s\) \['boxes'\]"):
        load_rows("object_boxes", "test", data_dir=str(folder))
    with pytest.raises(InputError, match=r"no folder .object_boxes."):
        load_rows("object_boxes", "test", data_dir=str(folder / "nowhere"))
