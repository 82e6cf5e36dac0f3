"""Every kind of data that people have, for every modality: the same rows give the same batches and the same maps.

One row of the table is one kind of source. A cell is a modality: what ``fit`` trains on, ``explain`` and ``explain_stream``.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset

import pair_models
from helpers_training import TRANSFORM, classifier, corner_images
from sidelight import Explainer, ScorerConfig
from sidelight.inputs.collate import Collator
from sidelight.rows.row import NumberedRows
from sidelight.targets import TargetModel, as_target
from sidelight.training.fit_data import fit_data
from sidelight.training.network import new_scorer
from text_models import make_pair

COUNT = 12
LABELS = [i % 2 for i in range(COUNT)]
WORDS = [
    "the film was great",
    "a truly awful movie",
    "dull",
    "so good",
    "not great but charming",
    "weak acting",
]
TEXTS = [f"{WORDS[i % 6]} {WORDS[(i * 5 + 1) % 6]}" for i in range(COUNT)]
MODALITIES = ("image", "text", "image+text")


class Table:
    """Twelve rows of one modality, and the folder in which their files lie."""

    def __init__(self, modality: str, folder: Path) -> None:
        self.modality, self.folder = modality, folder
        self.pixels = corner_images(COUNT, seed=3)[0]
        self.columns = [c for c in ("image", "text") if c in modality]
        self.paths = []
        for number, pixels in enumerate(self.pixels):
            path = folder / "pictures" / f"{number:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(self._shown(pixels)).save(path)
            self.paths.append(str(path))

    def _shown(self, pixels: np.ndarray) -> np.ndarray:
        """Grey pixels for the image model, and coloured ones for the model of pairs."""
        return pixels if self.modality == "image" else np.repeat(pixels[..., None], 3, -1)

    def column(self, name: str, pictures: str = "pil") -> list[Any]:
        """The values of a column. ``pictures`` says how pictures are given: pil, path, bytes or array."""
        if name == "text":
            return list(TEXTS)
        if name == "label":
            return list(LABELS)
        given: dict[str, Callable[[str], Any]] = {
            "pil": lambda path: Image.open(path).copy(),
            "path": str,
            "bytes": lambda path: {"bytes": Path(path).read_bytes(), "path": None},
            "array": lambda path: np.asarray(Image.open(path)),
        }
        return [given[pictures](path) for path in self.paths]

    def by_column(self, pictures: str = "pil") -> dict[str, list[Any]]:
        return {name: self.column(name, pictures) for name in (*self.columns, "label")}

    def rows(self, pictures: str = "pil") -> list[dict[str, Any]]:
        columns = self.by_column(pictures)
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


class Map(Dataset):  # type: ignore[type-arg]
    def __init__(self, rows: list[Any]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> Any:
        return self.rows[number]


class Flow(IterableDataset):  # type: ignore[type-arg]
    def __init__(self, rows: list[Any]) -> None:
        self.rows = rows

    def __iter__(self) -> Iterator[Any]:
        return iter(self.rows)


def hub(table: Table) -> datasets.Dataset:
    made = datasets.Dataset.from_dict(table.by_column("path"))
    return made.cast_column("image", datasets.Image()) if "image" in table.columns else made


def arrow(table: Table) -> pa.Table:
    return pa.table(table.by_column("bytes"))


def polars(table: Table) -> Any:
    return pytest.importorskip("polars").DataFrame(table.by_column("path"))


def written(table: Table, kind: str) -> Path:
    path = table.folder / f"rows.{kind}"
    rows = [
        {k: v.removeprefix(f"{table.folder}/") if k == "image" else v for k, v in r.items()}
        for r in table.rows("path")
    ]
    if kind in ("csv", "tsv"):
        out = io.StringIO()
        writer = csv.DictWriter(out, list(rows[0]), delimiter="\t" if kind == "tsv" else ",")
        writer.writeheader()
        writer.writerows(rows)
        path.write_text(out.getvalue(), encoding="utf-8")
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif kind == "json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    else:
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def of_bytes(table: Table) -> Path:
    path = table.folder / "bytes.parquet"
    table.folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(arrow(table), path)
    return path


def class_folders(table: Table) -> Path:
    """Pictures in a folder for each class, in the order of the table within a class."""
    root = table.folder / "classes"
    for number, path in enumerate(table.paths):
        place = root / str(LABELS[number]) / Path(path).name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(Path(path).read_bytes())
    return root


def hub_repository(table: Table) -> Path:
    root = table.folder / "repository"
    (root / "data").mkdir(parents=True)
    hub(table).to_parquet(root / "data" / "train-00000-of-00001.parquet")
    return root


def on_disk(table: Table) -> Path:
    hub(table).save_to_disk(str(table.folder / "saved"))
    return table.folder / "saved"


def plain_collate(rows: list[Any]) -> list[Any]:
    return rows


KINDS: dict[str, Callable[[Table], Any]] = {
    "rows of pictures": lambda t: t.rows(),
    "rows of paths": lambda t: t.rows("path"),
    "rows of bytes": lambda t: t.rows("bytes"),
    "rows of arrays": lambda t: t.rows("array"),
    "columns": lambda t: t.by_column("array"),
    "generator": lambda t: (row for row in t.rows()),
    "datasets.Dataset": hub,
    "datasets.Dataset of splits": lambda t: datasets.DatasetDict(train=hub(t), test=hub(t)),
    "datasets.IterableDataset": lambda t: hub(t).to_iterable_dataset(num_shards=2),
    "datasets.IterableDataset of splits": lambda t: datasets.IterableDatasetDict(
        train=hub(t).to_iterable_dataset()
    ),
    "datasets.IterableDataset of a generator": lambda t: datasets.IterableDataset.from_generator(
        lambda: iter(t.rows("bytes"))
    ),
    "datasets saved to disk": on_disk,
    "repository of the hub": hub_repository,
    "pandas.DataFrame": lambda t: pd.DataFrame(t.by_column("path"), index=range(50, 50 + COUNT)),
    "pandas.DataFrame of pictures": lambda t: pd.DataFrame(t.by_column("pil")),
    "pandas.DataFrame of arrow": lambda t: pd.DataFrame(t.by_column("path")).convert_dtypes(
        dtype_backend="pyarrow"
    ),
    "polars.DataFrame": polars,
    "polars.LazyFrame": lambda t: polars(t).lazy(),
    "pyarrow.Table": arrow,
    "pyarrow.RecordBatch": lambda t: arrow(t).to_batches()[0],
    "pyarrow.RecordBatchReader": lambda t: arrow(t).to_reader(max_chunksize=5),
    "pyarrow Dataset": lambda t: ds.dataset(of_bytes(t)),
    "Parquet of bytes": lambda t: of_bytes(t),
    "CSV": lambda t: written(t, "csv"),
    "TSV": lambda t: written(t, "tsv"),
    "Parquet": lambda t: written(t, "parquet"),
    "JSON": lambda t: written(t, "json"),
    "JSON lines": lambda t: written(t, "jsonl"),
    "torch Dataset": lambda t: Map(t.rows()),
    "torch IterableDataset": lambda t: Flow(t.rows()),
    "torch DataLoader": lambda t: DataLoader(Map(t.rows("array")), batch_size=5),
    "torch DataLoader of lists": lambda t: DataLoader(Map(t.rows()), batch_size=5, collate_fn=plain_collate),
    "torch DataLoader of a stream": lambda t: DataLoader(
        Flow(t.rows()), batch_size=5, collate_fn=plain_collate
    ),
    "torch DataLoader without batches": lambda t: DataLoader(Map(t.rows()), batch_size=None),
}


@pytest.fixture(scope="module")
def explainers() -> dict[str, Explainer]:
    """An untrained scorer beside a tiny classifier of each modality."""
    torch.manual_seed(0)
    found = {}
    for modality in MODALITIES:
        target = target_of(modality)
        sample: Any = {"image": [corner_images(1)[0][0]], "text": TEXTS[:1]}.get(modality)
        if sample is None:
            sample = [(Image.fromarray(np.repeat(corner_images(1)[0][0][..., None], 3, -1)), TEXTS[0])]
        found[modality] = Explainer(target, new_scorer(target, sample, ScorerConfig()))
    return found


def target_of(modality: str) -> TargetModel:
    if modality == "image":
        return as_target(classifier(), TRANSFORM)
    if modality == "text":
        return as_target(*make_pair("bert"))
    return pair_models.make_target("fusion-resnet")


@pytest.fixture(params=MODALITIES)
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Table:
    return Table(request.param, tmp_path)


def batch_of(target: TargetModel, given: Any) -> tuple[dict[str, Any], list[int]]:
    """Inputs and labels of all rows of ``fit``'s data, in the order of the user's rows."""
    data = fit_data(target, given, None, "data", seed=0)
    found = [row for part in (data.train, data.evaluation) for row in NumberedRows(part)]
    found.sort(key=lambda row: row.number)
    batch = Collator(target, data.readers)(found)
    return {k: v for k, v in batch.items() if k != "labels"}, batch["labels"].tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_fit_reads_the_same_rows(kind: str, table: Table, explainers: dict[str, Explainer]) -> None:
    target = explainers[table.modality].target
    expected, labels = batch_of(target, table.rows())
    found, found_labels = batch_of(target, KINDS[kind](table))
    assert found_labels == labels == LABELS
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize("kind", KINDS)
def test_explain_and_explain_stream_give_the_same_maps(
    kind: str, table: Table, explainers: dict[str, Explainer]
) -> None:
    explainer = explainers[table.modality]
    expected = explainer.explain(table.rows(), batch_size=4)
    for found in (
        explainer.explain(KINDS[kind](table), batch_size=4),
        list(
            explainer.explain_stream(KINDS[kind](Table(table.modality, table.folder / "again")), batch_size=4)
        ),
    ):
        assert [e.label for e in found] == [e.label for e in expected]
        for one, other in zip(found, expected, strict=True):
            for name in one.scores:
                np.testing.assert_array_equal(one.scores[name], other.scores[name])


def test_folders_of_classes(tmp_path: Path, explainers: dict[str, Explainer]) -> None:
    table = Table("image", tmp_path)
    explainer, place = explainers["image"], class_folders(table)
    order = sorted(range(COUNT), key=lambda number: (LABELS[number], number))
    rows = [table.rows()[number] for number in order]
    for given in (place, str(place)):
        (expected, labels), (found, found_labels) = (
            batch_of(explainer.target, rows),
            batch_of(explainer.target, given),
        )
        assert found_labels == labels
        assert torch.equal(found["pixel_values"], expected["pixel_values"])
    maps, known = explainer.explain(place), explainer.explain(rows)
    assert all(np.array_equal(a.map, b.map) for a, b in zip(maps, known, strict=True))
    assert len(list(explainer.explain_stream(place))) == COUNT
