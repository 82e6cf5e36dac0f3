"""Rows as users of data frames, Arrow tables, streams and joined data sets have them."""

from __future__ import annotations

import io
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from fault_models import SQUARE, P, T, bert, eye, tok
from torch.utils.data import ConcatDataset, DataLoader, Dataset

from sidelight import Explainer
from sidelight.errors import InputError, InputTypeError
from sidelight.rows.labels import Classes, label_reader
from sidelight.rows.sources import open_data, rows_of
from sidelight.targets import as_target
from sidelight.training.fit_data import fit_data


def png(picture: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


STORED = [{"bytes": png(picture), "path": None} for picture in P[:4]]


@pytest.mark.parametrize("kind", ["list", "labelled", "column", "pandas", "arrow"])
def test_kind_a_stored_picture_is_a_picture_and_no_row(images: Explainer, kind: str) -> None:
    table = datasets.Dataset.from_dict({"image": P[:4]}).cast_column("image", datasets.Image(decode=False))
    given: dict[str, Any] = {
        "list": STORED,
        "labelled": [(row, 0) for row in STORED],
        "column": table["image"],
        "pandas": table.to_pandas()["image"],
        "arrow": table.with_format("arrow")[:]["image"],
    }
    found = images.explain(given[kind])
    assert [one.prediction for one in found] == [images.explain(picture).prediction for picture in P[:4]]


def test_kind_stored_pictures_of_a_named_column_are_explained(images: Explainer, tmp_path: Path) -> None:
    table = pa.table({"png": STORED, "id": list("abcd")})
    pq.write_table(table, tmp_path / "rows.parquet")
    stream = datasets.Dataset(table).to_iterable_dataset()
    expected = [images.explain(picture).prediction for picture in P[:4]]
    for name, source in (("table", tmp_path / "rows.parquet"), ("stream", stream)):
        found = images.explain_dataset(source, tmp_path / name, columns=["png"])
        assert found.to_arrow(["prediction"])["prediction"].to_pylist() == expected


@pytest.mark.parametrize("form", ["arrow", "pandas"])
def test_kind_a_stream_in_the_format_of_a_table_is_read_by_rows(form: str) -> None:
    table = datasets.Dataset.from_dict({"text": T[:5], "label": [0, 1, 2, 0, 1]})
    expected = list(table)
    assert list(open_data(table.to_iterable_dataset().with_format(form), "train")) == expected
    assert list(rows_of(table.to_iterable_dataset().with_format(form))) == expected


def test_kind_columns_that_datasets_cannot_hold_cost_no_table(tmp_path: Path) -> None:
    names = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["a", "b"])}
    )
    table = datasets.Dataset.from_dict({"text": T[:3], "label": [0, 1, 0]}, features=names).with_format(
        "arrow"
    )[:]
    ids = [uuid.UUID(int=number) for number in range(3)]
    table = table.append_column("id", pa.array([one.bytes for one in ids], pa.uuid()))
    table = table.append_column("tags", pa.array([[("k", 1)]] * 3, pa.map_(pa.string(), pa.int64())))
    pq.write_table(table, tmp_path / "rows.parquet")
    for source in (table, tmp_path / "rows.parquet"):
        rows = rows_of(source)
        assert (len(rows), rows.label_names, rows.labels()) == (3, ("a", "b"), [0, 1, 0])
        assert rows[1] == {"text": T[1], "label": 1, "id": ids[1], "tags": [("k", 1)]}
        assert [row["id"] for row in rows.__getitems__([2, 0])] == [ids[2], ids[0]]


def test_kind_joined_data_sets_keep_the_names_of_their_classes() -> None:
    names = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["pos", "neg"])}
    )
    half = datasets.Dataset.from_dict({"text": T[:20], "label": [0, 1] * 10}, features=names)
    model = bert(labels=2)
    target = as_target(model, tok(), class_names=["neg", "pos"])
    data = fit_data(target, ConcatDataset([half, half]), None, "data", 0)
    reader = data.readers["train"].labels
    assert reader is not None
    assert reader(0, "row 0") == 1
    other = half.cast_column("label", datasets.ClassLabel(names=["neg", "pos"]))
    assert rows_of(ConcatDataset([half, other])).label_names == ()  # a number means either


def test_kind_true_and_false_go_by_the_names_of_the_classes() -> None:
    read = label_reader(Classes.of({0: "True", 1: "False"}, {}, 2))
    assert [read(label, "row 0") for label in (True, False, "true", 1)] == [0, 1, 0, 1]
    liar = label_reader(Classes.of(dict(enumerate(["false", "half-true", "true"])), {}, 3))
    assert liar(True, "row 0") == 2


def test_kind_a_table_in_place_of_a_row_is_told(texts: Explainer, images: Explainer) -> None:
    frames = [pd.DataFrame({"text": T[:3], "image": P[:3]})] * 2
    batch = pa.table({"text": T[:3]}).to_batches()[0]
    for given in (frames, iter(frames), [batch]):
        with pytest.raises((InputError, InputTypeError), match="table of several rows"):
            texts.explain(given)
    with pytest.raises((InputError, InputTypeError), match="table of several rows"):
        images.explain(frames)


def test_kind_a_folder_of_many_tables_is_told_how_it_is_read(tmp_path: Path) -> None:
    pq.write_to_dataset(
        pa.table({"text": T[:6], "part": [0, 1] * 3}), tmp_path / "nested", partition_cols=["part"]
    )
    (tmp_path / "flat").mkdir()
    for number in range(2):
        pq.write_table(pa.table({"text": T[:3]}), tmp_path / "flat" / f"part-{number}.parquet")
    for name in ("nested", "flat"):
        with pytest.raises(InputError, match=r"pyarrow\.dataset\.dataset"):
            rows_of(tmp_path / name)


@pytest.mark.parametrize("form", ["numpy", "torch"])
def test_kind_pictures_in_the_format_of_arrays_are_read_as_the_pictures_that_they_are(form: str) -> None:
    """As tensors they were refused, and as arrays the colours of a palette were its numbers."""
    reader, palettes = as_target(eye(), processor=SQUARE).reader, [p.quantize(16) for p in P[:4]]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    table = datasets.Dataset.from_dict({"image": palettes, "label": [0, 1, 1, 0]}, features=features)
    expected = reader.read(palettes).inputs["pixel_values"]
    for columns in (None, ["image", "label"]):
        rows = rows_of(table.with_format(form, columns=columns))
        assert torch.equal(reader.read(list(rows)).inputs["pixel_values"], expected)
        assert rows.labels() == [0, 1, 1, 0]
    others = rows_of(table.with_format(form, columns=["label"]))
    assert [set(row) for row in others] == [{"label"}] * 4


class Told(NamedTuple):
    label: str
    text: str


def test_kind_named_tuples_of_a_loader_keep_their_names() -> None:
    """The loader's batches are named tuples of columns. Taken by their places, a label was the first of two texts."""
    rows = [Told("good", text) for text in T[:5]]
    loader = DataLoader(rows, batch_size=2, sampler=range(5))  # type: ignore[arg-type]
    assert list(rows_of(loader)) == [row._asdict() for row in rows]


class FetchesColumns(Dataset[Any]):
    """Gives several rows at once in the form of ``answer``, and not as a list of rows."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def __len__(self) -> int:
        return len(T)

    def __getitem__(self, number: int) -> dict[str, Any]:
        return {"text": T[number], "label": number % 2}

    def __getitems__(self, numbers: Sequence[int]) -> Any:
        return self.answer([self[number] for number in numbers])


@pytest.mark.parametrize(
    "answer",
    [lambda rows: {key: [row[key] for row in rows] for key in rows[0]}, lambda rows: rows[:-1], iter],
    ids=["columns", "too few", "iterator"],
)
def test_kind_several_rows_at_once_that_are_no_list_of_rows_are_read_one_by_one(answer: Any) -> None:
    """Two rows as two columns were the names of the columns."""
    assert rows_of(FetchesColumns(answer)).__getitems__([3, 1]) == [
        {"text": T[3], "label": 1},
        {"text": T[1], "label": 1},
    ]
