"""Own rows in tables: none is moved, dropped or named otherwise without a word."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fault_models import T
from PIL import Image

from sidelight import Explainer
from sidelight.errors import InputError
from sidelight.inputs.images import read_image
from sidelight.lab.data.sets import load_rows
from sidelight.rows.sources import rows_of
from sidelight.rows.table_blocks import parquet_rows
from sidelight.rows.table_source import with_columns_chosen


@pytest.mark.parametrize("above", ["", "\n\n", "  \n"])
@pytest.mark.parametrize("between", ["", "\n", "  \n"])
@pytest.mark.parametrize("separator", [",", "\t"])
def test_kind_blank_lines_move_no_row_if_a_row_has_too_many_cells(
    texts: Explainer, tmp_path: Path, above: str, between: str, separator: str
) -> None:
    """The header was explained as the first row, the last row was lost, and white space counted as a row."""
    table = tmp_path / ("a.tsv" if separator == "\t" else "a.csv")
    rows = [f"{T[0]},1\n", f'"{T[1]}\n\n{T[2]}",0\n', f"{T[3]},1,2\n", f"{T[4]},0\n"]
    table.write_text((above + "text,label\n" + between.join(rows)).replace(",", separator))
    found = list(texts.explain_dataset(table, tmp_path / "out"))
    shown = ["".join(one.inputs["text"]) if one else one.reason for one in found]
    assert shown[2].startswith("row 2 of the table has 3 cells, and the header has 2")
    assert [shown[0], shown[1], shown[3]] == [T[0], f"{T[1]}\n\n{T[2]}", T[4]]
    assert len(shown) == 4


TWICE = pa.Table.from_arrays([pa.array(T[:2]), pa.array(T[2:4])], names=["text", "text"])


def written(folder: Path) -> Path:
    pq.write_table(TWICE, folder / "a.parquet")
    return folder / "a.parquet"


@pytest.mark.parametrize(
    "given",
    [written, lambda _: TWICE, lambda _: TWICE.to_batches()[0], lambda _: TWICE.to_reader()],
    ids=["file", "table", "batch", "reader"],
)
def test_kind_two_columns_of_one_name_are_refused_in_every_arrow_table(
    texts: Explainer, tmp_path: Path, given: Callable[[Path], Any]
) -> None:
    """The last one was explained without a word, or an error of Arrow did not say what to do."""
    for read in (lambda data: texts.explain_dataset(data, tmp_path / "out"), rows_of):
        with pytest.raises(InputError, match="has several columns text: name each column once"):
            read(given(tmp_path))


def saved(folder: Path, *names: str) -> Path:
    splits = {n: datasets.Dataset.from_dict({"text": T[:2]}) for n in names}
    datasets.DatasetDict(splits).save_to_disk(folder / "saved")
    return folder / "saved"


def test_kind_splits_that_are_not_read_are_told(
    texts: Explainer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Only the rows of the training split were explained, and nothing said so."""
    with caplog.at_level(logging.WARNING):
        texts.explain_dataset(saved(tmp_path, "test", "train"), tmp_path / "out")
    told = [r.getMessage() for r in caplog.records if "holds the splits" in r.getMessage()]
    assert len(told) == 1
    assert (
        "holds the splits test, train: only the training split is read. To read test, give it by itself"
        in told[0]
    )
    caplog.clear()
    rows_of({"train": [T[0]], "test": [T[1]]}, "train")
    assert not caplog.records  # it is what a training asks for


def test_kind_splits_of_unknown_names_are_told_how_one_is_given(texts: Explainer, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"Choose one, e\.g\. one, and give it by itself: its own folder or table, or"
    ):
        texts.explain_dataset(saved(tmp_path, "one", "two"), tmp_path / "out")


# -- the data sets of configurations ---------------------------------------------------------


def local(folder: Path, name: str, rows: pd.DataFrame | datasets.Dataset) -> Callable[[], Any]:
    (folder / name).mkdir()
    rows.to_parquet(folder / name / "train.parquet")
    return lambda: load_rows("imdb" if name == "imdb" else "tweets", "train", data_dir=str(folder))


@pytest.mark.parametrize("name", ["tweets", "tweet_sentiment_extraction"])
def test_kind_own_tweets_lie_in_the_folder_that_the_guide_names(tmp_path: Path, name: str) -> None:
    """Only the second name was looked for, so the hub's tweets came in the place of the user's own rows."""
    rows = local(tmp_path, name, pd.DataFrame({"text": T[:3], "label": [0, 1, 2]}))()
    assert [(r["text"], r["label"]) for r in rows] == [(T[0], 0), (T[2], 1)]


@pytest.mark.parametrize(
    ("labels", "got"),
    [
        ([0, 1, 1], "got 0, 1"),
        (["negative", "positive", "positive"], "got 'negative', 'positive'"),
        ([1, 2, 3], "got 1, 2, 3"),
    ],
)
def test_kind_tweets_of_other_label_numbers_are_not_dropped_as_neutral(
    tmp_path: Path, labels: list[Any], got: str
) -> None:
    with pytest.raises(InputError, match=rf"0 negative, 1 neutral and 2 positive.*{got}\. If there are two"):
        local(tmp_path, "tweets", pd.DataFrame({"text": T[:3], "label": labels}))()


def test_kind_a_tweet_without_a_selection_has_empty_evidence(tmp_path: Path) -> None:
    """NaN could not become a number, so the command ended in a traceback."""
    frame = pd.DataFrame(
        {"text": T[:2], "label": [0, 2], "selected_start": [4, None], "selected_end": [8, None]}
    )
    rows = local(tmp_path, "tweets", frame)()
    assert [r["evidence"] for r in rows] == [{"text": [[4, 8]]}, {"text": []}]


@pytest.mark.parametrize("name", ["tweets", "imdb"])
@pytest.mark.parametrize("column", ["text", "label"])
def test_kind_a_column_that_is_not_there_is_told(tmp_path: Path, name: str, column: str) -> None:
    frame = pd.DataFrame({"text": T[:2], "label": [0, 2]}).rename(columns={column: "other"})
    with pytest.raises(InputError, match=rf"train\.parquet lacks the column\(s\) \['{column}'\]; it has"):
        local(tmp_path, name, frame)()


def test_kind_label_numbers_that_rows_name_otherwise_are_refused_in_every_set(tmp_path: Path) -> None:
    """The names were lost with the data frame, so all labels of reviews were turned round."""
    rows = datasets.Dataset.from_dict({"text": T[:2], "label": [0, 1]})
    names = datasets.ClassLabel(names=["positive", "negative"])
    with pytest.raises(InputError, match="its rows number them in another order: positive, negative"):
        local(tmp_path, "imdb", rows.cast_column("label", names))()


def test_kind_two_columns_of_one_name_are_told_in_a_local_copy(tmp_path: Path) -> None:
    (tmp_path / "imdb").mkdir()
    pq.write_table(TWICE, tmp_path / "imdb" / "train.parquet")
    with pytest.raises(InputError, match="has several columns text: name each column once"):
        load_rows("imdb", "train", data_dir=str(tmp_path))


def test_kind_rows_whose_classes_have_other_names_than_the_registered_ones_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Their numbers were taken for those of the registered classes, so that all results named other classes."""
    for name, classes, told in (
        ("mnist", ["cat", "dog", "cow"], True),
        ("imdb", ["neg", "pos"], False),
        ("cifar10", ["0", "1"], False),
        ("imagenette", ["tench", "other"], False),
    ):
        (tmp_path / name).mkdir()
        rows = datasets.Dataset.from_dict({"text": T[:2], "image": [None, None], "label": [0, 1]})
        rows = rows.cast_column("label", datasets.ClassLabel(names=classes))
        rows.to_parquet(tmp_path / name / "train.parquet")
        caplog.clear()
        for _ in range(2):
            load_rows(name, "train", data_dir=str(tmp_path))
        found = [r.getMessage() for r in caplog.records if "name their classes" in r.getMessage()]
        assert len(found) == told
        if told:
            assert (
                "the rows of data set 'mnist' name their classes cat, dog, cow, and it is registered"
                in found[0]
            )


# -- pictures that a table names -------------------------------------------------------------


def grey(path: Path, value: int) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.new("L", (4, 4), value).save(path)


@pytest.mark.parametrize("columns", [[], ["path"]])
def test_kind_a_picture_that_lies_in_two_places_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, columns: list[str]
) -> None:
    """Some pictures of a table were those of another folder, and nothing said so."""
    for name in ("1.png", "2.png", "3.png"):
        grey(tmp_path / "table" / name, 1)
    for name in ("2.png", "3.png"):
        grey(tmp_path / "work" / name, 2)
    name = columns[0] if columns else "image"
    pd.DataFrame({name: ["1.png", "2.png", "3.png"]}).to_csv(tmp_path / "table" / "a.csv", index=False)

    def values() -> list[int]:
        rows = rows_of(tmp_path / "table" / "a.csv")
        if not columns:
            return [np.asarray(Image.open(row["image"]))[0, 0] for row in rows]
        chosen = with_columns_chosen(rows, columns, tmp_path / "table")
        return [np.asarray(Image.open(row.sample))[0, 0] for row in chosen]

    monkeypatch.chdir(tmp_path / "work")
    assert values() == [1, 2, 2]
    told = [r.getMessage() for r in caplog.records if "beside the table" in r.getMessage()]
    assert len(told) == 1
    assert told[0].startswith("the picture '2.png' of a table lies in the working directory (")
    caplog.clear()
    monkeypatch.chdir(tmp_path / "table")
    assert values() == [1, 1, 1]
    monkeypatch.chdir(tmp_path)
    assert values() == [1, 1, 1]
    assert not caplog.records


def test_kind_stored_pictures_without_bytes_count_from_the_folder_of_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They counted from the working directory alone, though a column of the same paths did not."""
    for name in ("1.png", "2.png"):
        grey(tmp_path / "table" / name, 1)
    stored = [{"bytes": None, "path": name} for name in ("1.png", "2.png")]
    pd.DataFrame({"image": stored}).to_parquet(tmp_path / "table" / "a.parquet")
    monkeypatch.chdir(tmp_path)
    for rows in (rows_of(tmp_path / "table" / "a.parquet"), parquet_rows(tmp_path / "table" / "a.parquet")):
        assert [np.asarray(read_image(row["image"])).flat[0] for row in rows] == [1, 1]


def test_kind_pictures_without_bytes_are_found_after_one_with_bytes(tmp_path: Path) -> None:
    """The first row alone told whether files are looked for beside the table."""
    for value in (1, 2):
        grey(tmp_path / f"{value}.png", value)
    content = (tmp_path / "1.png").read_bytes()
    stored = [{"bytes": content, "path": "gone.png"}, {"bytes": None, "path": "2.png"}]
    for column in ("image", "img"):
        pd.DataFrame({column: stored, "label": [0, 1]}).to_parquet(tmp_path / "a.parquet")
        for rows in (rows_of(tmp_path / "a.parquet"), parquet_rows(tmp_path / "a.parquet")):
            found = [row.get("image", row.get(column)) for row in rows]
            assert [np.asarray(read_image(one)).flat[0] for one in found] == [1, 2]
            assert set(rows[0]) == {column, "label"}
