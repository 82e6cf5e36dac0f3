"""Tables on disk that are not quite as they should be: too many cells in a row, two columns of one name, damaged lines."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
from fault_models import T, bert, tok, untrained

import sidelight
from pair_models import TEXTS, TRANSFORM, images, make, make_tokenizer, pairs
from sidelight import Explainer
from sidelight.errors import CheckpointError, ConfigError, InputError
from sidelight.targets import ImageTextProcessor


def explained(texts: Explainer, table: Path) -> list[str]:
    """The text of each row, or the reason why it was not explained."""
    found = texts.explain_dataset(table, table.with_suffix(""))
    return ["".join(one.inputs["text"]) if one else one.reason for one in found]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_kind_cells_are_not_moved_if_the_first_row_has_too_many(
    texts: Explainer, tmp_path: Path, separator: str
) -> None:
    """pandas takes the first cells of such a table for names of the rows: labels were explained as texts."""
    table = tmp_path / f"a.{'tsv' if separator == chr(9) else 'csv'}"
    rows = [["text", "label"], [T[0], " and more", "1"], [T[1], "0"], [T[2], "1"]]
    table.write_text("\n".join(separator.join(row) for row in rows))
    first, *others = explained(texts, table)
    assert first.startswith("this row of the table has 3 cells, and the header has 2")
    assert others == T[1:3]
    for read in (texts.explain, lambda path: Explainer.fit(bert(), path, processor=tok())):
        with pytest.raises(InputError, match="Expected 2 fields in line 2, saw 3"):
            read(table)


def test_kind_a_separator_at_the_end_of_each_row_moves_no_cell(texts: Explainer, tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_text(f"text,label\n{T[0]},1,\n{T[1]},0,\n")
    with pytest.raises(InputError, match=r"this row of the table has 3 cells.*end no row with a separator"):
        explained(texts, table)
    table = tmp_path / "b.csv"
    table.write_text(f"text,label,\n{T[0]},1,\n{T[1]},0,\n")  # of the header, too
    assert explained(texts, table) == T[:2]


def test_kind_two_columns_of_one_name_are_told_apart_in_every_table(texts: Explainer, tmp_path: Path) -> None:
    """The first one is read, also if a row has too many cells. It was the last one there."""
    table = tmp_path / "a.csv"
    for more in ("", f"{T[4]},{T[5]},{T[6]}\n"):
        table.write_text(f"text,text\n{T[0]},{T[1]}\n{T[2]},{T[3]}\n{more}")
        found = texts.explain_dataset(table, tmp_path / f"out{len(more)}")
        assert [one.meta["columns"] for one in found[:2]] == [  # type: ignore[union-attr]
            {"text": T[0], "text.1": T[1]},
            {"text": T[2], "text.1": T[3]},
        ]
        assert "".join(found[0].inputs["text"]) == T[0]  # type: ignore[union-attr]


@pytest.mark.parametrize("uneven", ["", f"{T[2]},1,2\n"])
def test_kind_a_quote_that_is_never_closed_swallows_no_rows(
    texts: Explainer, tmp_path: Path, uneven: str
) -> None:
    """All rows after it were one cell, and were explained as one text without a word."""
    table = tmp_path / "a.csv"
    table.write_text(f'text,label\n{T[0]},1\n{uneven}"{T[1]},0\n{T[2]},1\n{T[3]},0\n')
    for read in (lambda path: explained(texts, path), texts.explain):
        with pytest.raises(InputError, match=r"a quote \(\"\) that is never closed"):
            read(table)


def test_kind_a_cell_of_any_length_is_read_also_if_a_row_has_too_many(
    texts: Explainer, tmp_path: Path
) -> None:
    """The csv module refuses cells of more than 131,072 characters, and so the whole table was refused."""
    table, long = tmp_path / "a.csv", f"{T[0]} " * 10_000
    table.write_text(f"text,label\n{T[0]},1\n{T[1]},0,5\n{T[2]},{long}\n")
    before = csv.field_size_limit()
    first, uneven, last = explained(texts, table)
    assert (first, last) == (T[0], T[2])
    assert "has 3 cells, and the header has 2" in uneven
    assert csv.field_size_limit() == before


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("rows", [[{"text": T[0]}, {"text": T[1]}], {"text": T[0], "label": 1}])
def test_kind_one_json_value_in_a_file_of_json_lines_is_told(
    texts: Explainer, tmp_path: Path, rows: Any, indent: int | None
) -> None:
    """A list was taken for a sample with its label, and each line of a value over several lines for a bad row."""
    table = tmp_path / "a.jsonl"
    table.write_text(json.dumps(rows, indent=indent))
    if isinstance(rows, dict) and indent is None:  # that is one line of JSON
        assert explained(texts, table) == T[:1]
        return
    for read in (lambda path: explained(texts, path), texts.explain):
        with pytest.raises(
            InputError, match=r"holds one JSON value, and no JSON lines\. Write each row on a line"
        ):
            read(table)


@pytest.fixture(scope="module")
def both() -> Explainer:
    processor = ImageTextProcessor(TRANSFORM, make_tokenizer())
    return untrained(make("fusion-resnet").eval(), processor, pairs()[0])


def pair_table(folder: Path, ending: str, first: str | None, picture: str = "image") -> Path:
    """A table of three pairs whose pictures lie beside it, the first one perhaps not."""
    for number, image in enumerate(images()):
        image.save(folder / f"{number}.png")
    frame = pd.DataFrame({picture: [first, "1.png", "2.png"], "text": TEXTS})
    table = folder / f"a.{ending}"
    ways: dict[str, Any] = {
        "csv": lambda: frame.to_csv(table, index=False),
        "jsonl": lambda: frame.to_json(table, orient="records", lines=True),
        "json": lambda: frame.to_json(table, orient="records"),
        "parquet": lambda: frame.to_parquet(table),
    }
    ways[ending]()
    return table


@pytest.mark.parametrize("ending", ["csv", "jsonl", "json", "parquet"])
@pytest.mark.parametrize("first", [None, "gone.png"])
def test_kind_a_pair_without_its_picture_in_the_first_row_costs_that_row_only(
    both: Explainer, tmp_path: Path, ending: str, first: str | None
) -> None:
    """The table was refused: it "has no column that is known to hold the image and text; it has image, text"."""
    found = list(both.explain_dataset(pair_table(tmp_path, ending, first), tmp_path / "out"))
    assert [bool(one) for one in found] == [False, True, True]
    assert ("gone.png" if first else "None") in found[0].reason  # type: ignore[union-attr]


def test_kind_a_table_of_pairs_is_told_which_column_is_not_found(both: Explainer, tmp_path: Path) -> None:
    """Both were said to be missing, and the advice was to name one. With one named, each row was "not an image with a text"."""
    images(1)[0].save(tmp_path / "1.png")
    (tmp_path / "a.csv").write_text(f"photo,said\n1.png,{TEXTS[0]}\n")
    alone = tmp_path / "alone"
    alone.mkdir()
    images(1)[0].save(alone / "1.png")
    named = r"for each, in this order: columns=\['IMAGE', 'TEXT'\] .*--column IMAGE --column TEXT"
    with pytest.raises(
        InputError, match=f"no column that is known to hold the text; it has photo, said.*{named}"
    ):
        both.explain_dataset(tmp_path / "a.csv", tmp_path / "out")
    with pytest.raises(InputError, match=f"image and text, and one column is named, 'said'.*{named}"):
        both.explain_dataset(tmp_path / "a.csv", tmp_path / "out", columns=["said"])
    with pytest.raises(InputError, match="holds pictures alone, and this classifier reads image and text"):
        both.explain_dataset(alone, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (found,) = both.explain_dataset(tmp_path / "a.csv", tmp_path / "out", columns=["photo", "said"])
    assert found
    assert found.inputs["text"] == both.explain((images(1)[0], TEXTS[0])).inputs["text"]
    whole = [{"pair": pairs()[0], "number": 1}]
    assert len(both.explain_dataset(whole, tmp_path / "whole", columns=["pair"])) == 1


def test_kind_a_missing_text_in_the_first_row_of_a_frame_costs_that_row_only(
    texts: Explainer, tmp_path: Path
) -> None:
    found = list(texts.explain_dataset(pd.DataFrame({"text": [float("nan"), T[0]]}), tmp_path / "out"))
    assert [bool(one) for one in found] == [False, True]


def test_kind_changed_pictures_are_seen_if_the_first_row_names_none(both: Explainer, tmp_path: Path) -> None:
    table = pair_table(tmp_path, "parquet", None)
    both.explain_dataset(table, tmp_path / "out")
    images(1, seed=9)[0].resize((50, 50)).save(tmp_path / "1.png")
    with pytest.raises(ConfigError, match="content of the source"):
        both.explain_dataset(table, tmp_path / "out")


@pytest.mark.parametrize("ending", ["csv", "jsonl", "json", "parquet"])
def test_kind_pictures_lie_beside_every_table_also_in_a_named_column(
    both: Explainer, tmp_path: Path, ending: str
) -> None:
    """Of a table in JSON the paths of a named column counted from the working directory alone."""
    table = pair_table(tmp_path, ending, "0.png", "path")
    asked: dict[str, Any] = {"columns": ["path", "text"]}
    found = list(both.explain_dataset(table, tmp_path / "out", **asked))
    assert all(found)
    assert {one.meta["columns"]["path"] for one in found} == {"0.png", "1.png", "2.png"}  # type: ignore[union-attr]
    images(1, seed=9)[0].resize((50, 50)).save(tmp_path / "1.png")
    with pytest.raises(ConfigError, match="content of the source"):
        both.explain_dataset(table, tmp_path / "out", **asked)


@pytest.mark.parametrize(
    "damage",
    [{"version": v} for v in (0, "2", None, True)] + [{"ends": e} for e in ([-1], [2, 1], ["1"], [1.0])],
)
def test_kind_a_damaged_manifest_of_answers_is_told(
    texts: Explainer, tmp_path: Path, damage: dict[str, Any]
) -> None:
    """It was said to be of a newer version, failed in ``len``, or was read."""
    texts.explain_dataset(T[:2], tmp_path / "out")
    manifest = tmp_path / "out" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **damage}))
    with pytest.raises(CheckpointError, match="or is damaged"):
        list(sidelight.read_explanations(tmp_path / "out"))


def test_kind_a_column_named_twice_makes_no_pair(texts: Explainer, tmp_path: Path) -> None:
    """A text was explained as a pair with itself."""
    frame, columns = pd.DataFrame({"text": T[:2]}), ["text", "text"]
    for call in (
        lambda: texts.explain_dataset(frame, tmp_path / "out", columns=columns),
        lambda: texts.row_function(columns=columns),
    ):
        with pytest.raises(ConfigError, match="columns names 'text' twice: name each column once"):
            call()


def test_kind_a_name_in_place_of_a_list_of_columns_is_told(texts: Explainer, tmp_path: Path) -> None:
    """Its letters were looked for: "there is no column 'i'"."""
    found = texts.explain_dataset(T[:2], tmp_path / "out")
    for read in (found.to_arrow, found.to_pandas):
        with pytest.raises(
            ConfigError, match=r"columns must be a list of names, e\.g\. columns=\['label'\]; got 'id'"
        ):
            read("id")


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, pd.NaT])
def test_kind_a_missing_text_of_any_kind_is_told_how_to_drop_it(texts: Explainer, missing: Any) -> None:
    frame = pd.DataFrame({"text": pd.Series([T[0], missing], dtype=object)})
    _, failed = texts.explain(frame, errors="skip")
    assert "Drop the" in failed.reason
    assert "rows" in failed.reason


def test_kind_a_folder_without_answers_is_told_what_should_be_in_it(texts: Explainer, tmp_path: Path) -> None:
    """It was only said that a file is missing, whose name nobody knows."""
    texts.explain_dataset(T[:2], tmp_path / "out")
    for place in ("nowhere", "out/parts", "out/explanations.csv"):
        with pytest.raises(
            CheckpointError, match=r"holds no explanations.*the folder that explain_dataset or"
        ):
            sidelight.read_explanations(tmp_path / place)
    with pytest.raises(CheckpointError, match="names no folder: give its path"):
        sidelight.read_explanations("")


def test_kind_names_in_the_table_of_a_folder_count_from_that_folder(both: Explainer, tmp_path: Path) -> None:
    """If their column was named, they counted from the folder above it."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    pair_table(folder, "csv", "0.png", "file_name").rename(folder / "metadata.csv")
    assert all(both.explain_dataset(folder, tmp_path / "out", columns=["file_name", "text"]))


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_kind_a_bad_first_line_costs_that_row_only(texts: Explainer, tmp_path: Path, ending: str) -> None:
    table = tmp_path / f"a.{ending}"
    good = [f'{{"text": "{t}"}}' for t in T[:2]] if ending == "jsonl" else T[:2]
    head = ["{broken"] if ending == "jsonl" else ["text", "a, b"]
    table.write_text("\n".join([*head, *good]))
    first, *others = explained(texts, table)
    assert first.startswith("this row of the table")
    assert others == T[:2]


# -- what is kept with an answer ----------------------------------------------------


@pytest.mark.parametrize(
    "kind", [np.int64, torch.tensor, Decimal, lambda n: UUID(int=n), lambda n: pd.Timestamp(2020, 1, 1 + n)]
)
def test_kind_an_id_of_any_kind_stays_with_its_row(texts: Explainer, tmp_path: Path, kind: Any) -> None:
    """Ids that were no plain numbers were dropped, and rows got their own number as id, which was that of another row."""
    places = [3, 0, 2, 1]
    rows = [{"id": kind(place), "text": T[place] if place else ""} for place in places]
    found = texts.explain_dataset(rows, tmp_path / "out")
    ids = [str(row["id"].item() if isinstance(row["id"], torch.Tensor) else row["id"]) for row in rows]
    assert found.to_arrow(["id"])["id"].to_pylist() == ids
    assert "".join(found[ids[0]].inputs["text"]) == T[3]  # type: ignore[union-attr]
    assert str(next(found.errors()).columns["id"]) == ids[1]
    assert [str(one.meta["columns"]["id"]) for one in texts.explain(rows[2:])] == ids[2:]


def test_kind_a_missing_id_is_the_number_of_its_row(texts: Explainer, tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"id": ["a", None, float("nan"), pd.NaT], "text": [*T[:2], "", T[3]], "score": float("nan")}
    )
    found = texts.explain_dataset(frame, tmp_path / "out")
    table = found.to_arrow(["id", "meta"])
    assert table["id"].to_pylist() == ["a", "1", "2", "3"]
    assert not any("NaN" in meta for meta in table["meta"].to_pylist())  # which no JSON has


def test_kind_a_table_of_ours_may_be_explained_again_and_again(texts: Explainer, tmp_path: Path) -> None:
    """The third time our columns had the names of those of the second time, and were overwritten by them."""
    table = tmp_path / "rows.csv"
    pd.DataFrame({"text": T[:3]}).to_csv(table, index=False)
    for number in range(4):
        other = untrained(bert(seed=number), tok(), T[0])
        found = other.explain_dataset(table, tmp_path / str(number))
        table = tmp_path / str(number) / "explanations.csv"
        written = pd.read_csv(table)["sidelight_" * number + "probability"]
        expected = [one.probability for one in found]  # type: ignore[union-attr]
        np.testing.assert_allclose(written, expected, atol=1e-6)


# -- data sets ----------------------------------------------------------------------


@pytest.mark.parametrize("form", ["pandas", "arrow"])
def test_kind_a_data_set_in_the_format_of_a_table_is_read_by_rows(texts: Explainer, form: str) -> None:
    rows = datasets.Dataset.from_dict({"text": T[:3], "label": [0, 1, 2]})
    found = texts.explain(rows.with_format(form))
    assert [one.meta["columns"] for one in found] == list(rows)
