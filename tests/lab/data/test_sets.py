"""Data sets by name from parquet files, from the hub, and what is said when there is neither."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from sidelight.errors import ConfigError, InputError, UnknownNameError
from sidelight.inputs.collate import Collator
from sidelight.inputs.images import ImageTransform
from sidelight.inputs.row_parts import split_row
from sidelight.lab.data.reading import DATA_VARIABLE
from sidelight.lab.data.sets import DATASETS, load_rows
from sidelight.targets.image import ImageTarget
from tiny_models import pixels, tiny


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (28, 28), value).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``mnist/test.parquet`` of ten grey squares, laid out as on the hub: image {bytes, path}, label."""
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sets" / "mnist").mkdir(parents=True)
    images = pa.array(
        [{"bytes": png(20 * i), "path": f"{i}.png"} for i in range(10)],
        type=pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )
    table = pa.table({"image": images, "label": pa.array(range(10), pa.int64())})
    pq.write_table(table, tmp_path / "sets" / "mnist" / "test.parquet")
    return tmp_path / "sets"


def value(row: Any) -> int:
    transform = ImageTransform((28, 28), "L", (0.0,), (1.0,))
    return round(float(transform(row["image"]).mean() * 255))


def test_a_parquet_file_is_read_and_counted(folder: Path) -> None:
    rows = load_rows("mnist", "test", data_dir=str(folder))
    assert len(rows) == 10
    assert [(value(rows[i]), rows[i]["label"]) for i in range(10)] == [(20 * i, i) for i in range(10)]
    some, same, other = (
        [r["label"] for r in load_rows("mnist", "test", data_dir=str(folder), count=4, seed=seed)]
        for seed in (0, 0, 1)
    )
    assert some == same != other
    assert len(set(some)) == 4
    assert len(load_rows("mnist", "test", data_dir=str(folder), count=99)) == 10


def test_the_folder_may_come_from_the_environment_or_lie_here(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(folder))
    assert len(load_rows("mnist", "test")) == 10
    monkeypatch.delenv(DATA_VARIABLE)
    folder.rename(folder.parent / "data")
    assert len(load_rows("mnist", "test")) == 10


def test_missing_folders_splits_and_names(folder: Path) -> None:
    with pytest.raises(InputError, match=r"no train\.parquet in .*holds \['test\.parquet'\]"):
        load_rows("mnist", "train", data_dir=str(folder))
    with pytest.raises(InputError, match="no folder 'cifar10' in data_dir"):
        load_rows("cifar10", "test", data_dir=str(folder))
    with pytest.raises(UnknownNameError, match="Did you mean 'mnist'"):
        load_rows("mnits", "test")


def test_a_corrupt_parquet_file_is_a_clear_error(folder: Path) -> None:
    path = folder / "mnist" / "test.parquet"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"cannot read .*test\.parquet"):
        load_rows("mnist", "test", data_dir=str(folder))


def test_the_hub_is_asked_where_no_folder_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def fake(hub_id: str, split: str) -> Any:
        asked.append((hub_id, split))
        column = "img" if "cifar" in hub_id else "image"
        return datasets.Dataset.from_dict({column: [1, 2], "label": [0, 1]})

    monkeypatch.setattr(datasets, "load_dataset", fake)
    assert load_rows("cifar10", "train").column_names == ["image", "label"]  # type: ignore[attr-defined]
    assert load_rows("mnist", "train").column_names == ["image", "label"]  # type: ignore[attr-defined]
    assert asked == [("uoft-cs/cifar10", "train"), ("ylecun/mnist", "train")]


def test_a_hub_out_of_reach_says_where_to_put_the_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: Any, **__: Any) -> Any:
        raise ConnectionError("offline")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(InputError, match=rf"offline.*{DATA_VARIABLE} or data\.data_dir.*mnist/test\.parquet"):
        load_rows("mnist", "test")


def test_every_image_set_names_its_classes() -> None:
    assert {"digits", "mnist", "cifar10", "imagenette"} <= set(DATASETS)
    assert all(len(DATASETS[n].classes) == 10 for n in ("digits", "mnist", "cifar10", "imagenette"))
    assert len(load_rows("digits", "validation", count=3)) == 3


def test_the_collator_takes_rows_pairs_and_samples() -> None:
    target = ImageTarget(tiny("vit"), ImageTransform((32, 48)))
    collate = Collator(target)
    picture = np.full((32, 48, 3), 255, np.uint8)
    rows = [{"image": picture, "label": 3, "id": "a"}, {"image": picture, "label": 4, "id": "b"}]
    for given in (rows, [(r, r["label"]) for r in rows], [(picture, 3), (picture, 4)]):
        batch = collate(given)
        assert torch.equal(batch["labels"], torch.tensor([3, 4]))
        assert torch.equal(batch["pixel_values"], torch.ones(2, 3, 32, 48))
    assert set(collate([picture])) == {"pixel_values"}
    x = pixels()
    ready = collate([{"pixel_values": x[0], "labels": 1}, {"pixel_values": x[1], "labels": 0}])
    assert torch.equal(ready["pixel_values"], x)
    assert ready["labels"].tolist() == [1, 0]
    beside = collate([{"pixel_values": v, "label": 1, "id": "a"} for v in x])
    assert torch.equal(beside["pixel_values"], x)
    named = collate([{"image": v, "label": 1} for v in x])
    assert torch.equal(named["pixel_values"], x)
    assert split_row({"image": 1, "label": 2}) == ({"image": 1}, 2)


def test_the_collator_refuses_what_it_cannot_use() -> None:
    collate = Collator(ImageTarget(tiny("vit"), ImageTransform((32, 48))))
    with pytest.raises(InputError, match=r"needs the column\(s\) \['image'\].*holds \['snapshot'\]"):
        collate([{"label": 2, "snapshot": 1}])
    with pytest.raises(InputError, match="batch is empty"):
        collate([])
    picture = np.zeros((32, 48, 3), np.uint8)
    with pytest.raises(InputError, match=r"label.*'cat'"):
        collate([{"image": picture, "label": "cat"}])


def test_counts_below_one_are_refused(folder: Path) -> None:
    for count in (0, -2):
        with pytest.raises(ConfigError, match="count must be at least 1"):
            load_rows("mnist", "test", data_dir=str(folder), count=count)
