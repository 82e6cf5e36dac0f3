"""What ``fit`` takes as data: every kind of it, labels by name, rows to blame, and which rows are held out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from fault_models import SQUARE, P, S, T, bert, eye, tok, untrained
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from sidelight import Explainer, ScorerConfig
from sidelight.checks.chance import chance_doubt
from sidelight.errors import ConfigError, InputError, SidelightError
from sidelight.inputs.collate import Collator
from sidelight.rows.holdout import hold_out, spread
from sidelight.rows.row import NumberedRows, Rows
from sidelight.rows.sources import is_source, open_data, rows_of
from sidelight.targets import TargetModel, as_target
from sidelight.training.diagnostics import warn_of_numbering
from sidelight.training.fit_data import FitData, fit_data
from sidelight.training.network import new_scorer

fit = Explainer.fit
LABELS = [i % 3 for i in range(len(T))]
NAMES = ["contradiction", "neutral", "entailment"]


def text_target(**options: Any) -> TargetModel:
    return as_target(bert(**options), tok())


def named(names: list[str] = NAMES) -> TargetModel:
    return text_target(id2label=dict(enumerate(names)), label2id={n: i for i, n in enumerate(names)})


def labels_of(data: FitData, target: TargetModel) -> dict[int, int]:
    """Class numbers of the rows as a batch holds them, by the row's number in the user's data."""
    collate, found = Collator(target, data.readers), {}
    for part in (data.train, data.evaluation):
        rows = list(NumberedRows(part))
        found |= dict(zip([r.number for r in rows], collate(rows)["labels"].tolist(), strict=True))
    return found


def read(target: TargetModel, rows: Any, source: str = "data", evaluation: Any = None) -> FitData:
    return fit_data(target, rows, evaluation, source, seed=0)


def table(names: list[str] | None = None) -> datasets.Dataset:
    found = datasets.Dataset.from_dict({"text": T, "label": LABELS, "id": list(range(len(T)))})
    label = datasets.ClassLabel(names=names) if names else datasets.Value("int64")
    return found.cast(
        datasets.Features({"text": datasets.Value("string"), "label": label, "id": datasets.Value("int64")})
    )


# -- 13: a text with its label, or a pair of texts? -----------------------------------------


def test_fault_13_a_class_name_is_a_label_and_no_second_text() -> None:
    target = named()
    for source in ("data", "prediction"):
        data = read(target, [(t, NAMES[i % 3].upper()) for i, t in enumerate(T)], source)
        batch = Collator(target, data.readers)(list(NumberedRows(data.train)))
        expected = target.reader.read(
            [T[i] for i in [data.train.number(j) for j in range(len(data.train))]]
        ).inputs
        assert torch.equal(batch["input_ids"], expected["input_ids"])
        assert ("labels" in batch) == (source == "data")
    assert labels_of(read(target, list(zip(T, map(NAMES.__getitem__, LABELS), strict=True))), target) == dict(
        enumerate(LABELS)
    )


def test_fault_13_unknown_names_are_refused_and_listed() -> None:
    rows = [(t, "positive") for t in T]
    with pytest.raises(InputError, match=r"row 0 of train has the label 'positive'.*'neutral'.*class_names="):
        read(named(), rows)
    with pytest.raises(InputError, match=r"no names for its 3 classes.*class_names="):
        read(text_target(), rows)
    with pytest.raises(InputError, match=r"row 0 of train is \(.*'positive'\).*\(\(first, second\), label\)"):
        read(text_target(), rows, "prediction")


def test_fault_13_pairs_stay_pairs() -> None:
    target = named()
    pairs = list(zip(T, T[::-1], strict=True))
    expected = target.reader.read(pairs).inputs["input_ids"]
    forms: list[Any] = [
        [((a, b), i % 3) for i, (a, b) in enumerate(pairs)],
        [(a, b, NAMES[i % 3]) for i, (a, b) in enumerate(pairs)],
        [{"text": a, "text_pair": b, "label": i % 3} for i, (a, b) in enumerate(pairs)],
    ]
    for rows in forms:
        data = read(target, rows)
        found = Collator(target, data.readers)(list(NumberedRows(rows_of(rows))))
        assert torch.equal(found["input_ids"], expected)
        assert found["labels"].tolist() == LABELS
    plain = read(target, pairs, "prediction")
    assert torch.equal(
        Collator(target, plain.readers)(list(NumberedRows(rows_of(pairs))))["input_ids"], expected
    )
    with pytest.raises(InputError, match=r"row 0 of train is .*a pair of texts without a label"):
        read(target, pairs)


def test_fault_13_explain_takes_two_strings_for_a_pair() -> None:
    target = named()
    explainer = Explainer(target, new_scorer(target, T[:1], ScorerConfig()))
    pair, single = explainer.explain((T[0], NAMES[0])), explainer.explain(T[0])
    assert len(pair.scores["text"]) > len(single.scores["text"])


# -- 14: class names -------------------------------------------------------------------------


def test_fault_14_numbers_go_by_name_where_the_order_differs(caplog: pytest.LogCaptureFixture) -> None:
    target, theirs = named(), [" Entailment", "NEUTRAL", "contradiction"]
    found = labels_of(read(target, table(theirs)), target)
    assert found == {i: [2, 1, 0][label] for i, label in enumerate(LABELS)}
    assert "by class name" in caplog.text


def test_fault_14_equal_names_say_nothing(caplog: pytest.LogCaptureFixture) -> None:
    target = named()
    assert labels_of(read(target, table(NAMES)), target) == dict(enumerate(LABELS))
    assert labels_of(read(text_target(), table(NAMES)), text_target()) == dict(enumerate(LABELS))
    assert not caplog.records


def test_fault_14_names_that_differ_in_case_alone_are_told_apart() -> None:
    target = named(["A", "a", "b"])
    rows = [{"text": t, "label": ["A", "a", "B"][i % 3]} for i, t in enumerate(T)]
    assert labels_of(read(target, rows), target) == dict(enumerate(LABELS))
    data = labels_of(read(target, table(["a", "A", "b"])), target)
    assert data == {i: [1, 0, 2][n] for i, n in enumerate(LABELS)}


@pytest.mark.parametrize("names", [["x", "x", "y"], ["X", "\u00e9", "x"]], ids=["written alike", "in case"])
def test_fault_14_a_name_of_several_classes_is_refused(names: list[str]) -> None:
    label = "x" if names[1] == "x" else " x"
    rows = [{"text": t, "label": label} for t in T]
    with pytest.raises(
        InputError, match=r"row 0 of train has the label .*name of 2 classes.*give the number"
    ):
        read(named(names), rows)


def test_fault_14_other_names_are_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    target = named()
    assert labels_of(read(target, table(["a", "b", "c"])), target) == dict(enumerate(LABELS))
    assert "0 a, 1 b, 2 c" in caplog.text
    assert "0 contradiction" in caplog.text


def test_fault_14_torchvision_classes_and_streams_go_by_name_too() -> None:
    target = named()
    theirs = NAMES[::-1]
    expected = {i: 2 - label for i, label in enumerate(LABELS)}
    assert labels_of(read(target, MapStyle(theirs)), target) == expected
    assert labels_of(read(target, Subset(MapStyle(theirs), range(60))), target) == expected
    assert labels_of(read(target, table(theirs).to_iterable_dataset()), target) == expected
    # train and eval may number their classes each in its own way
    both = read(target, table(theirs), evaluation=table(NAMES))
    rows = list(NumberedRows(both.evaluation))
    assert Collator(target, both.readers)(rows)["labels"].tolist() == LABELS


class MapStyle(Dataset[Any]):
    """What torchvision's data sets look like."""

    def __init__(self, classes: list[str]) -> None:
        self.classes, self.targets = classes, LABELS
        self.reads = 0

    def __len__(self) -> int:
        return len(T)

    def __getitem__(self, index: int) -> tuple[str, int]:
        self.reads += 1
        return T[index], LABELS[index]


def test_fault_14_chance_is_warned_about_before_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = bert()
    with torch.no_grad():
        right = [int(model(**tok()(t, return_tensors="pt")).logits.argmax()) for t in T]
    held = [(t, (label + 1) % 3) for t, label in zip(T, right, strict=True)]
    fit(model, held, eval=held, processor=tok(), output_dir=tmp_path, **{**S, "label": "data"})
    (said,) = [r.message for r in caplog.records if "no better than chance" in r.message]
    assert "0% right" in said
    assert "100% would be right if label" in said
    caplog.clear()
    target = as_target(model, tok())
    few, good = read(target, held), read(target, list(zip(T, right, strict=True)))
    warn_of_numbering(
        target, NumberedRows(few.evaluation), Collator(target, few.readers)
    )  # six rows tell nothing
    warn_of_numbering(target, NumberedRows(good.train), Collator(target, good.readers))
    assert "chance" not in caplog.text


def test_fault_14_chance_is_the_entropy_of_the_frequencies() -> None:
    labels = torch.tensor([0] * 24 + [1] * 8)
    known = torch.tensor([0.75, 0.25]).log().expand(32, 2)
    assert chance_doubt(known, labels) is not None  # exactly the frequencies
    better = torch.nn.functional.one_hot(labels, 2) * 2.0
    assert chance_doubt(better, labels) is None
    assert chance_doubt(known[:8], labels[:8]) is None
    assert chance_doubt(1 - better, labels) is not None


# -- 18 and input kinds ----------------------------------------------------------------------


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Any:
        while True:
            yield T[0]


class Some(IterableDataset[Any]):
    def __iter__(self) -> Any:
        yield from ({"text": t, "label": i} for t, i in zip(T, LABELS, strict=True))


KINDS: dict[str, Callable[[], Any]] = {
    "list of rows": lambda: [{"text": t, "label": i} for t, i in zip(T, LABELS, strict=True)],
    "tuple of pairs": lambda: tuple(zip(T, LABELS, strict=True)),
    "lists as JSON has them": lambda: [[t, i] for t, i in zip(T, LABELS, strict=True)],
    "data set": lambda: table(),
    "data set of torch": lambda: table().with_format("torch"),
    "stream": lambda: table().to_iterable_dataset(),
    "generator": lambda: ({"text": t, "label": i} for t, i in zip(T, LABELS, strict=True)),
    "zip": lambda: zip(T, LABELS, strict=True),
    "map-style": lambda: MapStyle(["LABEL_0", "LABEL_1", "LABEL_2"]),
    "iterable-style": Some,
    "subset": lambda: Subset(MapStyle(["LABEL_0", "LABEL_1", "LABEL_2"]), range(60)),
    "loader": lambda: DataLoader(table(), batch_size=7),  # type: ignore[arg-type]
    "loader of batches": lambda: DataLoader(
        table(),  # type: ignore[arg-type]
        batch_size=7,
        collate_fn=lambda r: {k: [x[k] for x in r] for k in r[0]},
    ),
    "loader with a sampler": lambda: DataLoader(
        table(),  # type: ignore[arg-type]
        batch_size=7,
        sampler=range(60),
    ),
    "loader of pairs": lambda: DataLoader(list(zip(T, LABELS, strict=True)), batch_size=7, sampler=range(60)),  # type: ignore[arg-type]
    "data frame": lambda: frame(),
    "filtered data frame": lambda: pd.concat([frame(), frame()]).iloc[60:],
    "dictionary of columns": lambda: {"text": T, "label": np.asarray(LABELS)},
    "data set's own columns": lambda: table()[:],
    "samples and labels": lambda: (T, LABELS),
    "arrays of samples and labels": lambda: (np.asarray(T), np.asarray(LABELS)),
    "objects and labels": lambda: (np.asarray(T, dtype=object), pd.Series(LABELS, index=range(60, 0, -1))),
    "arrow table": lambda: pa.table({"text": T, "label": LABELS}),
    "splits": lambda: datasets.DatasetDict(train=table(), test=table()),
}


def frame() -> pd.DataFrame:
    return pd.DataFrame({"text": T, "label": LABELS, "id": range(len(T))}).set_index(
        pd.Index(range(100, 160))
    )


@pytest.mark.parametrize("kind", KINDS)
def test_fault_18_kinds_of_data_are_the_same_rows(kind: str) -> None:
    target = text_target()
    data = read(target, KINDS[kind]())
    assert labels_of(data, target) == dict(enumerate(LABELS))
    expected = target.reader.read([T[data.evaluation.number(i)] for i in range(len(data.evaluation))]).inputs
    batch = Collator(target, data.readers)(list(NumberedRows(data.evaluation)))
    assert torch.equal(batch["input_ids"], expected["input_ids"])


PLAIN: dict[str, Callable[[], Any]] = {
    "column of a data set": lambda: table()["text"],
    "pandas column": lambda: frame().text,
    "filtered pandas column": lambda: pd.concat([frame(), frame()]).iloc[60:].text,
    "array of strings": lambda: np.asarray(T),
    "array of objects": lambda: np.asarray(T, dtype=object),
    "iterator": lambda: iter(T),
    "arrow column": lambda: pa.chunked_array([T]),
    "values of a dict": lambda: dict(enumerate(T)).values(),
}


@pytest.mark.parametrize("kind", PLAIN)
def test_fault_18_texts_alone_in_every_form(kind: str) -> None:
    assert list(rows_of(PLAIN[kind]())) == T
    assert list(open_data(PLAIN[kind](), "samples")) == T


class PolarsLike:
    """A data frame as polars has it, as far as it is asked."""

    __module__ = "polars.dataframe.frame"

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        self._columns = columns
        self.columns = list(columns)

    def __getitem__(self, name: str) -> Any:
        return pd.Series(self._columns[name])


PolarsLike.__name__ = "DataFrame"


def test_fault_18_polars_by_what_it_offers() -> None:
    rows = rows_of(PolarsLike({"text": T, "label": LABELS}))
    assert rows[59] == {"text": T[59], "label": LABELS[59]}


def test_fault_18_pictures_in_every_form(tmp_path: Path) -> None:
    pixels = torch.stack([SQUARE(p) for p in P])
    arrays = np.stack([np.asarray(p) for p in P])
    target = as_target(eye(), SQUARE)
    labels = torch.arange(len(P)) % 3
    for data in (
        pixels,
        (pixels, labels),
        TensorDataset(pixels, labels),
        TensorDataset(pixels),
        arrays,
        (arrays, labels.tolist()),
        (pd.Series(P).to_numpy(), labels.numpy()),
        {"pixel_values": pixels, "labels": labels},
        DataLoader(TensorDataset(pixels, labels), 7),
        DataLoader(TensorDataset(pixels, labels), 7, sampler=range(len(P))),
        DataLoader(pixels, 7, sampler=range(len(P))),  # type: ignore[arg-type]
    ):
        found = read(target, data, "prediction")
        batch = Collator(target, found.readers)(list(NumberedRows(found.evaluation)))
        held = [found.evaluation.number(i) for i in range(len(found.evaluation))]
        torch.testing.assert_close(batch["pixel_values"], pixels[held], atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_kind_a_loader_of_inputs_and_labels_gives_rows(size: int) -> None:
    """Its batches are (mapping of the model's inputs, labels), and the mapping was counted by its keys."""

    def batch(texts: list[str]) -> tuple[Any, torch.Tensor]:
        return tok()(texts, padding="max_length", max_length=16, return_tensors="pt"), torch.arange(
            len(texts)
        )

    explainer = untrained(bert(), tok(), T[0])
    found = explainer.explain(DataLoader(T[:4], batch_size=size, collate_fn=batch))  # type: ignore[arg-type]
    for one, alone in zip(found, explainer.explain(T[:4]), strict=True):
        np.testing.assert_allclose(one.probabilities, alone.probabilities, atol=1e-5)
    rows = list(rows_of(DataLoader([({"text": t}, 1) for t in T[:4]], batch_size=size, drop_last=size == 3)))
    assert [row[0]["text"] for row in rows] == T[: len(rows)]


def test_fault_18_a_sampler_that_shows_a_part_is_heeded() -> None:
    part = DataLoader(table(), batch_size=4, sampler=[3, 5, 7])  # type: ignore[arg-type]
    assert [r["id"] for r in rows_of(part)] == [3, 5, 7]
    batches = DataLoader(table(), batch_sampler=[[9, 2], [4]])  # type: ignore[arg-type]
    assert [int(r["id"]) for r in rows_of(batches)] == [9, 2, 4]


def test_fault_18_a_stream_is_kept_up_to_a_limit() -> None:
    with pytest.raises(InputError, match=r"more than 50 rows.*\.take\(n\).*islice"):
        rows_of(Endless(), most=50)
    with pytest.raises(InputError, match=r"more than \d+ rows"):
        rows_of((np.zeros(1000) for _ in range(100)), most_bytes=50_000)
    assert len(rows_of((t for t in T), most=60)) == 60
    stream = iter(open_data(Endless(), "samples"))
    assert [next(stream) for _ in range(3)] == [T[0]] * 3


def test_fault_18_pictures_of_a_stream_stay_encoded(tmp_path: Path) -> None:
    P[0].save(tmp_path / "a.png")
    held = datasets.Dataset.from_dict({"image": [str(tmp_path / "a.png")]}).cast_column(
        "image", datasets.Image()
    )
    (row,) = rows_of(held.to_iterable_dataset())
    assert isinstance(row["image"], dict)
    target = as_target(eye(), SQUARE)
    assert torch.equal(Collator(target)([row])["pixel_values"][0], SQUARE(P[0]))


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "None": (lambda: None, "train is None. Give rows in a list"),
    "number": (lambda: 3, "which holds no rows"),
    "bytes": (lambda: b"abc", "train is bytes"),
    "set": (lambda: set(T), "no order"),
    "function": (lambda: lambda: T, "call it"),
    "class": (lambda: dict, "the class dict itself"),
    "one picture": (lambda: torch.zeros(3, 32, 32), "add an axis"),
    "one row": (lambda: {"text": "a", "label": 0}, "put rows in a list"),
    "unequal columns": (lambda: {"text": T, "label": [0]}, "60 of 'text', 1 of 'label'"),
    "unequal parts": (lambda: (torch.zeros(5, 3, 8, 8), [0, 1]), "differ in length"),
    "hub id": (lambda: "stanfordnlp/imdb", r"load_dataset\('stanfordnlp/imdb'"),
    "empty path": (lambda: "", "empty path"),
    "empty": (lambda: [], "empty"),
    "empty frame": (lambda: frame().iloc[:0], "empty"),
    "empty generator": (lambda: iter(()), "empty"),
    "column twice": (lambda: pd.concat([frame().text, frame().text], axis=1), "several columns text"),
    "splits without train": (lambda: datasets.DatasetDict(a=table(), b=table()), r"train=data\['a'\]"),
    "an exception in the middle": (lambda: failing(), "row 1 of train cannot be read .ZeroDivisionError"),
}


def failing() -> Any:
    yield T[0]
    raise ZeroDivisionError("division by zero")


@pytest.mark.parametrize("kind", BAD)
def test_fault_18_what_cannot_be_taken_is_told(kind: str, tmp_path: Path) -> None:
    make, message = BAD[kind]
    with pytest.raises(SidelightError, match=message):
        fit(bert(), make(), processor=tok(), output_dir=tmp_path, **S)


def test_kind_files_and_folders(tmp_path: Path) -> None:
    own = frame().assign(label=[NAMES[i] for i in LABELS])
    own.to_csv(tmp_path / "a.csv", index=False)
    own.to_csv(tmp_path / "b.csv", index=False, sep=";")
    own.to_csv(tmp_path / "c.tsv", index=False, sep="\t")
    own.to_csv(tmp_path / "d.csv.gz", index=False)
    own.to_parquet(tmp_path / "e.parquet")
    own.to_json(tmp_path / "f.jsonl", orient="records", lines=True)
    own.to_json(tmp_path / "g.json", orient="records")
    (tmp_path / "h.json").write_text(json.dumps({"text": T, "label": own.label.tolist()}))
    table(NAMES).to_parquet(tmp_path / "i.parquet")
    table(NAMES).save_to_disk(tmp_path / "saved")
    target = named()
    for path in sorted(p for p in tmp_path.iterdir()):
        for given in (path, str(path)):
            data = read(target, given)
            assert labels_of(data, target) == dict(enumerate(LABELS)), path
            assert [r["text"] for r in rows_of(given)] == T


def test_kind_damaged_and_foreign_files(tmp_path: Path) -> None:
    cases = {
        "a.parquet": (b"PAR1....", "cannot read .*a.parquet"),
        "b.jsonl": (b'{"text": "a"}\n{"text": ', "line 2 of .*b.jsonl"),
        "c.csv": (b"text\n\xff\xfe", r"c\.csv' is no text in UTF-8 .*Save it as UTF-8"),
        "d.xlsx": (b"", "no table that can be read"),
        "e.csv": (b"", "cannot read .*e.csv"),
        "f.png": (b"", "one picture"),
    }
    for name, (content, message) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SidelightError, match=message):
            rows_of(tmp_path / name)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError, match="holds no pictures"):
        rows_of(str(tmp_path / "nothing"))


def folder_of(root: Path, names: list[str], count: int = 12) -> Path:
    for number, picture in enumerate(P[: count * len(names)]):
        place = root / names[number % len(names)]
        place.mkdir(parents=True, exist_ok=True)
        picture.save(place / f"{number}.png")
    (root / names[0] / "notes.txt").write_text("no picture")
    return root


def test_kind_folder_of_class_folders_goes_by_name(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "pets", ["ant", "bee", "cat"])
    model = eye(id2label={0: "Cat", 1: "Bee", 2: "Ant"}, label2id={"Cat": 0, "Bee": 1, "Ant": 2})
    target = as_target(model, SQUARE)
    data = read(target, folder)
    found = labels_of(data, target)
    rows = rows_of(str(folder))
    assert len(rows) == 36
    assert found == {
        i: {"ant": 2, "bee": 1, "cat": 0}[Path(r["image"]).parent.name] for i, r in enumerate(rows)
    }
    with pytest.raises(InputError, match="class_names="):
        read(as_target(eye(), SQUARE), folder)
    flat = rows_of(str(folder / "ant"))
    assert [set(r) for r in flat] == [{"image"}] * 12
    splits = tmp_path / "splits"
    folder_of(splits / "train", ["ant", "bee", "cat"])
    folder_of(splits / "val", ["ant", "bee"], count=4)
    both = read(target, str(splits))
    assert (len(both.train), len(both.evaluation)) == (36, 8)


def test_kind_folder_frame_parquet_and_generator_train_and_explain(tmp_path: Path) -> None:
    folder_of(tmp_path / "pets", ["LABEL_0", "LABEL_1"])
    frame().to_parquet(tmp_path / "t.parquet")
    settings = {**S, "label": "data"}
    seen = fit(eye(), str(tmp_path / "pets"), processor=SQUARE, output_dir=tmp_path / "a", **settings)
    assert seen.explain(rows_of(tmp_path / "pets")[0]).map.shape == (32, 32)
    for number, data in enumerate((frame(), tmp_path / "t.parquet", KINDS["generator"]())):
        made = fit(bert(), data, processor=tok(), output_dir=tmp_path / str(number), **settings)
        rows = rows_of(frame())
        assert rows[3]["id"] == 3  # columns of the user stay
        assert len(made.explain([rows[i] for i in range(3)])) == 3


def test_kind_table_of_paths_beside_it(tmp_path: Path) -> None:
    folder_of(tmp_path / "p", ["a"], count=4)
    for column in ("image", "file_name"):
        path = tmp_path / f"{column}.csv"
        pd.DataFrame({column: [f"p/a/{i}.png" for i in range(4)], "label": [0, 1, 2, 0]}).to_csv(
            path, index=False
        )
        target = as_target(eye(), SQUARE)
        data = read(target, path)
        batch = Collator(target, data.readers)(list(NumberedRows(data.train)))
        assert torch.equal(
            batch["pixel_values"], torch.stack([SQUARE(P[data.train.number(i)]) for i in range(3)])
        )


def test_kind_what_is_a_data_set_and_what_a_sample(tmp_path: Path) -> None:
    frame().to_csv(tmp_path / "t.csv")
    many = [table(), frame(), iter(T), {"text": T}, tmp_path / "t.csv", tmp_path, DataLoader(T)]  # type: ignore[arg-type]
    one = [T[0], {"text": T[0]}, tmp_path / "a.png", P[0], torch.zeros(3, 8, 8), (T[0], T[1])]
    assert all(map(is_source, many))
    assert not any(map(is_source, one))


def test_kind_prepared_inputs_as_lists_and_of_unequal_length() -> None:
    target = text_target()
    ready = [dict(tok()(t, padding="max_length", max_length=16)) | {"label": 1} for t in T]
    data = read(target, ready)
    batch = Collator(target, data.readers)(list(NumberedRows(data.train)))
    assert batch["input_ids"].shape == (54, 16)
    assert set(batch["labels"].tolist()) == {1}
    with pytest.raises(InputError, match=r"'input_ids' differ in shape.*raw samples"):
        Collator(target)([dict(tok()("a")), dict(tok()("a film film"))])


# -- 25: labels ------------------------------------------------------------------------------


def rows_with(label: Any, at: int = 17) -> list[Any]:
    return [{"text": t, "label": label if i == at else LABELS[i]} for i, t in enumerate(T)]


BAD_LABELS: dict[str, tuple[Any, str]] = {
    "None": (None, r"row 17 of train has no label \(None\)"),
    "NaN": (float("nan"), r"row 17 of train has no label \(nan\)"),
    "NA": (pd.NA, "row 17 of train has no label"),
    "blank": ("  ", "row 17 of train has no label"),
    "name": ("neg", "row 17 of train has the label 'neg'"),
    "fraction": (0.5, "row 17 of train has the label 0.5"),
    "infinite": (float("inf"), "row 17 of train has the label inf"),
    "list": ([1, 2], "row 17 of train .* a list"),
    "one-hot": ([0.0, 1.0, 0.0], "row 17 of train .*one-hot.* here 1"),
    "one-hot tensor": (torch.tensor([0, 0, 1]), "one-hot.* here 2"),
    "too large": (3, "row 17 of train: label 3 is none of the model's 3 classes.*subtract 1"),
    "far too large": (99, "label 99 is none of the model's 3 classes"),
    "ignored": (-100, "label -100 is none .*stands for no label"),
    "mapping": ({"id": 1}, "row 17 of train has the label"),
}


@pytest.mark.parametrize("kind", BAD_LABELS)
def test_fault_25_a_bad_label_is_named_with_its_row(kind: str, tmp_path: Path) -> None:
    label, message = BAD_LABELS[kind]
    with pytest.raises(InputError, match=message):
        fit(bert(), rows_with(label), processor=tok(), output_dir=tmp_path, **{**S, "label": "data"})
    assert not any(tmp_path.rglob("*.safetensors"))
    # unread labels may be anything
    data = read(text_target(), rows_with(label), "prediction")
    assert "labels" not in Collator(text_target(), data.readers)(list(NumberedRows(data.train)))


def test_fault_25_several_missing_labels_are_counted() -> None:
    with pytest.raises(InputError, match=r"row 2 of train has no label.*58 rows have none.*row 3 of train"):
        read(text_target(), [{"text": t, "label": 0 if i < 2 else None} for i, t in enumerate(T)])
    with pytest.raises(ConfigError, match=r"label='data' needs labels.*row 0 holds text, sentiment"):
        read(text_target(), [{"text": t, "sentiment": 1} for t in T])


GOOD_LABELS: dict[str, Callable[[int], Any]] = {
    "float": float,
    "numpy": np.int64,
    "numpy float": np.float32,
    "tensor": torch.tensor,
    "tensor of one": lambda i: torch.tensor([i]),
    "array": np.asarray,
    "digits": str,
    "digits of pandas": lambda i: f"{i}.0",
    "name": lambda i: NAMES[i],
    "name in capitals": lambda i: f" {NAMES[i].upper()} ",
    "bytes": lambda i: NAMES[i].encode(),
}


@pytest.mark.parametrize("kind", GOOD_LABELS)
def test_fault_25_labels_in_every_form(kind: str) -> None:
    target, make = named(), GOOD_LABELS[kind]
    data = read(target, [{"text": t, "label": make(i)} for t, i in zip(T, LABELS, strict=True)])
    assert labels_of(data, target) == dict(enumerate(LABELS))


def test_fault_25_true_and_false_are_numbers() -> None:
    target = text_target(labels=2)
    data = read(target, [(t, i % 2 == 1) for i, t in enumerate(T)])
    assert labels_of(data, target) == {i: i % 2 for i in range(60)}


def test_fault_25_digits_are_names_first() -> None:
    target = named(["2", "1", "0"])
    assert labels_of(read(target, [(t, str(i)) for t, i in zip(T, LABELS, strict=True)]), target) == {
        i: 2 - label for i, label in enumerate(LABELS)
    }


def test_fault_25_class_names_are_shown_and_kept(tmp_path: Path) -> None:
    names = ["low", "middle", "high"]
    rows = [(t, names[i]) for t, i in zip(T, LABELS, strict=True)]
    made = fit(
        bert(), rows, processor=tok(), class_names=names, output_dir=tmp_path / "a", **{**S, "label": "data"}
    )
    shown = made.explain(T[0])
    assert shown.label == names[shown.prediction]
    made.save_pretrained(tmp_path / "s")
    assert (
        Explainer.from_pretrained(tmp_path / "s", bert(), processor=tok()).explain(T[0]).label == shown.label
    )
    for wrong, message in ((names[:2], "2 names, but the model tells 3"), (["a", "a", "b"], "'a' twice")):
        with pytest.raises(ConfigError, match=message):
            fit(bert(), T, processor=tok(), class_names=wrong, output_dir=tmp_path / "b", **S)


# -- 26: validation --------------------------------------------------------------------------


def test_fault_26_validation_is_drawn_from_every_class() -> None:
    target = text_target(labels=2)
    rows = [{"text": t, "label": int(i >= 30)} for i, t in enumerate(T)]
    data = read(target, rows)
    held = [data.evaluation.number(i) for i in range(len(data.evaluation))]
    kept = [data.train.number(i) for i in range(len(data.train))]
    assert Counter(int(i >= 30) for i in held) == {0: 3, 1: 3}
    assert sorted(held + kept) == list(range(60))
    again, other = fit_data(target, rows, None, "data", 0), fit_data(target, rows, None, "data", 1)
    assert [again.evaluation.number(i) for i in range(6)] == held
    assert [other.evaluation.number(i) for i in range(6)] != held


@pytest.mark.parametrize("count", [2, 3, 10, 57, 1000])
@pytest.mark.parametrize("classes", [1, 2, 7])
def test_fault_26_held_out_rows_are_a_tenth_and_of_all_classes(count: int, classes: int) -> None:
    labels = sorted((i * i) % classes for i in range(count))
    kept, held = hold_out(count, labels, seed=3)
    assert sorted(kept + held) == list(range(count))
    assert kept
    assert 1 <= len(held) <= max(1, count // 10, count // 4)
    sizes = Counter(labels)
    if sum(s > 1 for s in sizes.values()) <= count // 10:
        assert {labels[i] for i in held} >= {c for c, s in sizes.items() if s > 1}
        shares = Counter(labels[i] for i in held)
        assert all(abs(shares[c] - s / 10) <= 1 for c, s in sizes.items())
    assert {labels[i] for i in kept} == set(labels) or count < 4


def test_fault_26_without_labels_and_with_odd_ones() -> None:
    for labels in (None, [None] * 50, [[1, 2]] * 50, list(range(50))):
        _, held = hold_out(50, labels, seed=0)
        assert len(held) == 5
        assert held != list(range(45, 50))


def test_fault_26_few_rows_that_stand_for_many_are_spread() -> None:
    picked = spread(10_000, 64)
    assert len(set(picked)) == 64
    assert min(picked) < 1000 < 9000 < max(picked)
    assert spread(10, 64) == list(range(10))


def test_fault_26_warnings_about_fills_see_all_classes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import sidelight.training.diagnostics

    seen: list[int] = []
    monkeypatch.setattr(
        sidelight.training.diagnostics,
        "blind_fills",
        lambda target, inputs, fills, encoding: seen.append(len(inputs["input_ids"])) or [],
    )
    own: list[int] = []

    class Watching(MapStyle):
        def __getitem__(self, index: int) -> tuple[str, int]:
            own.append(index)
            return super().__getitem__(index)

    target, rows = text_target(), Rows(Watching(NAMES))
    rows.base.targets = [0] * 30 + [1] * 30
    sidelight.training.diagnostics.warn_of_removal(target, NumberedRows(rows), ["zero"], count=16)
    assert seen == [16]
    assert min(own) < 30 <= max(own)


# -- rows to blame ---------------------------------------------------------------------------


BAD_TEXTS: dict[str, tuple[Any, str]] = {
    "None": (None, "row 41 of train: .*None"),
    "empty": ("", "row 41 of train: .*empty"),
    "white space": (" \n", "row 41 of train: .*white space"),
    "number": (3, "row 41 of train: .*int"),
    "NaN": (float("nan"), "row 41 of train: .*NaN"),
}


@pytest.mark.parametrize("kind", BAD_TEXTS)
@pytest.mark.parametrize("form", ["rows", "frame", "lazy"])
def test_kind_a_bad_text_is_named_with_its_row(kind: str, form: str, tmp_path: Path) -> None:
    value, message = BAD_TEXTS[kind]
    texts = [value if i == 41 else t for i, t in enumerate(T)]

    class Lazy(Dataset[Any]):
        def __len__(self) -> int:
            return len(texts)

        def __getitem__(self, index: int) -> Any:
            return {"text": texts[index], "label": 0}

    make: dict[str, Callable[[], Any]] = {
        "rows": lambda: [{"text": t, "label": 0} for t in texts],
        "frame": lambda: pd.DataFrame({"text": pd.Series(texts, dtype=object), "label": 0}),
        "lazy": Lazy,
    }
    with pytest.raises(SidelightError, match=message) as caught:
        fit(bert(), make[form](), processor=tok(), output_dir=tmp_path, **S)
    assert "sample 0" not in str(caught.value)


@pytest.mark.parametrize("workers", [0, 1])
def test_kind_a_bad_picture_is_named_with_its_row(workers: int, tmp_path: Path) -> None:
    pictures: list[Any] = [*P[:30], b"not a picture", *P[30:]]
    with pytest.raises(InputError, match=r"^row 30 of train: cannot read 13 bytes") as caught:
        fit(
            eye(),
            pictures,
            eval=P[:8],
            processor=SQUARE,
            output_dir=tmp_path,
            extra={"dataloader_num_workers": workers},
            **S,
        )
    assert "Traceback" not in str(caught.value)
    for value, message in (
        ("none.png", "does not exist"),
        (None, "no picture"),
        (3, "got int"),
        (tmp_path, "folder"),
    ):
        with pytest.raises(SidelightError, match=f"row 5 of eval: .*{message}"):
            fit(eye(), P, eval=[*P[:5], value], processor=SQUARE, output_dir=tmp_path, **S)


def test_kind_eval_of_another_size_and_nan_pixels(tmp_path: Path) -> None:
    pixels = torch.stack([SQUARE(p) for p in P])
    with pytest.raises(InputError, match=r"row 0 of eval: .*32×32 pixels; got 48×48"):
        fit(eye(), pixels, eval=torch.zeros(8, 3, 48, 48), output_dir=tmp_path, **S)
    pixels[33, 0, 0, 0] = float("nan")
    with pytest.raises(InputError, match=r"row 33 of train: .*NaN"):
        fit(eye(), pixels, eval=pixels[:8], output_dir=tmp_path, **S)
    other = [torch.zeros(3, 32, 32)] * 8 + [torch.zeros(3, 32, 40)] * 8
    with pytest.raises(InputError, match=r"row \d+ of train"):
        fit(eye(), other, eval=pixels[:8], output_dir=tmp_path, **S)


class Small(nn.Module):
    """A plain classifier of pictures of any size."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 8, 3, 2, 1), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.stem(x).relu().mean((2, 3)))


def test_kind_pictures_of_unlike_sizes_beside_a_net_that_takes_any(tmp_path: Path) -> None:
    sizes = [torch.randn(3, 32, 32)] * 8 + [torch.randn(3, 32, 40)] * 8
    with pytest.raises(InputError, match=r"rows \d.* of train do not fit together: .*one shape"):
        fit(Small().eval(), sizes, eval=torch.randn(8, 3, 32, 32), layers=["stem"], output_dir=tmp_path, **S)


# -- options ---------------------------------------------------------------------------------


BAD_OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "layers as a string": (
        {"layers": "stem"},
        r"layers must be a list of names; got 'stem'. Write layers=\['stem'\]",
    ),
    "layers as a number": ({"layers": 3}, "layers are names of submodules"),
    "another model's module": ({"layers": [nn.Linear(1, 1)]}, "no submodule of the Small"),
    "unknown": ({"layer": ["stem"]}, r"no option 'layer'. Did you mean 'layers'"),
    "misspelt setting": ({"layers": ["stem"], "epoch": 1}, "Did you mean 'epochs'"),
    "of another family": ({"layers": ["stem"], "max_length": 3}, "no option 'max_length'"),
    "no states": ({"layers": ["stem"], "max_states": 0}, "max_states must be at least 1; got 0"),
    "flag": ({"layers": ["stem"], "max_states": True}, "max_states must be a whole number"),
    "class names": ({"layers": ["stem"], "class_names": "abc"}, "class_names must be a list of names"),
    "objective": (
        {"layers": ["stem"], "objective": [1]},
        r"objective must be a ObjectiveConfig or a preset \(thesis, robust\) or a mapping",
    ),
    "field": (
        {"layers": ["stem"], "objective": {"fils": ["zero"]}},
        "objective has no field 'fils'. Did you mean 'fills'",
    ),
    "value": ({"layers": ["stem"], "training": {"epochs": -1}}, "epochs"),
    "eval twice": ({"layers": ["stem"], "eval": [], "validation": []}, "eval and validation"),
}


@pytest.mark.parametrize("kind", BAD_OPTIONS)
def test_kind_options_are_held_to_their_types(kind: str, tmp_path: Path) -> None:
    options, message = BAD_OPTIONS[kind]
    with pytest.raises(ConfigError, match=message):
        fit(Small(), P, processor=SQUARE, output_dir=tmp_path, **{**S, **options})


def test_kind_text_and_pair_options(tmp_path: Path) -> None:
    for options, message in (
        ({"columns": "text"}, r"Write columns=\['text'\]"),
        ({"layers": ["a"]}, r"layers are numbers of its hidden states"),
        ({"layers": -1}, r"Write layers=\[-1\]"),
        ({"max_length": 0}, "max_length"),
    ):
        with pytest.raises(ConfigError, match=message):
            fit(bert(), T, processor=tok(), output_dir=tmp_path, **options, **S)


def test_kind_settings_as_mappings_and_modules_as_layers(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Small().eval()
    training = {k: v for k, v in S.items() if k != "label"}
    one = fit(
        net,
        P,
        validation=P[:8],
        processor=SQUARE,
        layers=[net.stem],
        objective={"label": "prediction"},
        training=training,
        output_dir=tmp_path / "a",
    )
    other = fit(net, P, eval=P[:8], processor=SQUARE, layers=["stem"], output_dir=tmp_path / "b", **S)
    assert one.target.options()["layers"] == ["stem"]
    pairs = zip(one.scorer.state_dict().values(), other.scorer.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_kind_a_target_with_options_is_a_conflict(tmp_path: Path) -> None:
    target = as_target(eye(), SQUARE)
    for options in ({"processor": SQUARE}, {"max_states": 2}):
        with pytest.raises(ConfigError, match=f"leave out {next(iter(options))}"):
            fit(target, P, output_dir=tmp_path, **options, **S)
    assert fit(target, P, output_dir=tmp_path, **S).target is target


def test_kind_pair_options_are_read_from_the_signature() -> None:
    from sidelight.targets.families import TARGETS
    from sidelight.targets.options import family_options

    assert {"context", "states", "fused", "candidates", "threshold"} <= set(
        family_options(TARGETS["image+text"])
    )
    assert "model" not in family_options(TARGETS["text"])
