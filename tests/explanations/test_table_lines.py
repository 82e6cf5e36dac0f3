"""The tables beside stored explanations: the same lines whether the parts are read once or twice."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sidelight import ExplainFailure, Explanation
from sidelight.errors import CheckpointError
from sidelight.explanations import table_lines
from sidelight.explanations.stored import StoredExplanations, part_of
from sidelight.explanations.table_lines import write_tables


def answer(row: int, **columns: Any) -> Explanation:
    scores = {"text": np.array([0.0, 1.0, row / 10], np.float32)}
    meta = {"columns": columns} if columns else {}
    return Explanation(
        scores, {"text": ["so", " good", "!"]}, prediction=1, label="good", probability=0.75, meta=meta
    )


def stored(folder: Path, *parts: list[Any]) -> StoredExplanations:
    found = StoredExplanations.open(folder, {})
    for part in parts:
        found.add(part)
    return found


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the parts in the order in which they are read."""
    found: list[int] = []
    own = table_lines.lines_of_part

    def counted(stored: StoredExplanations, number: int) -> Any:
        found.append(number)
        return own(stored, number)

    monkeypatch.setattr(table_lines, "lines_of_part", counted)
    return found


def test_lines_of_the_same_columns_are_read_once(tmp_path: Path, reads: list[int]) -> None:
    parts = [[answer(i, note=f"n{i}", label="own") for i in own] for own in ((0, 1), (2, 3), (4,))]
    found = write_tables(stored(tmp_path, *parts))
    assert (found.good, found.bad, found.renamed, reads) == (5, 0, ["sidelight_label"], [0, 1, 2])
    lines = table(tmp_path / "explanations.csv")
    assert list(lines[0]) == [
        *("row", "sidelight_label", "probability", "truncated", "text_top", "text_mean_score"),
        *("note", "label"),
    ]
    assert [line["row"] for line in lines] == list("01234")
    assert [(line["note"], line["label"], line["sidelight_label"]) for line in lines[3:]] == [
        ("n3", "own", "good"),
        ("n4", "own", "good"),
    ]
    means = [round(float(np.array([0, 1, i / 10], np.float32).astype(float).mean()), 6) for i in range(5)]
    assert [float(line["text_mean_score"]) for line in lines] == means
    assert not (tmp_path / "errors.csv").exists()


def test_columns_that_come_later_are_in_all_lines(tmp_path: Path, reads: list[int]) -> None:
    found = write_tables(stored(tmp_path, [answer(0, a=1)], [answer(1, a=2, label="x")], [answer(2)]))
    assert (found.good, found.renamed, reads) == (3, ["sidelight_label"], [0, 1, 2, 0, 1, 2])
    lines = table(tmp_path / "explanations.csv")
    assert [(line["a"], line["label"], line["sidelight_label"]) for line in lines] == [
        ("1", "", "good"),
        ("2", "x", "good"),
        ("", "", "good"),
    ]


def test_only_parts_with_bad_rows_are_read_again(tmp_path: Path, reads: list[int]) -> None:
    bad = [ExplainFailure(row, f"reason {row}", {"id": row}) for row in (2, 4)]
    found = write_tables(stored(tmp_path, [answer(0), answer(1)], [bad[0], answer(3)], [bad[1]], [answer(5)]))
    assert (found.good, found.bad, found.first_error) == (4, 2, "reason 2")
    assert reads == [0, 1, 2, 3, 1, 2]
    assert table(tmp_path / "errors.csv") == [
        {"row": "2", "error": "reason 2", "id": "2"},
        {"row": "4", "error": "reason 4", "id": "4"},
    ]
    assert [line["row"] for line in table(tmp_path / "explanations.csv")] == ["0", "1", "3", "5"]


def test_no_row_was_explained(tmp_path: Path) -> None:
    assert write_tables(stored(tmp_path, [ExplainFailure(0, "why")])).good == 0
    assert (tmp_path / "explanations.csv").read_text() == "row,label,probability,truncated\n"


def test_a_part_that_is_missing_is_named(tmp_path: Path) -> None:
    own = stored(tmp_path, [answer(0)])
    part_of(tmp_path, 0).unlink()
    with pytest.raises(CheckpointError, match=r"part-00000\.parquet is missing"):
        write_tables(own)
    assert not (tmp_path / "explanations.csv").exists()


def test_arrays_in_remarks_are_plain_values() -> None:
    one = answer(0)
    one.meta = {"a": np.arange(3), "b": np.array([[0.5, np.nan]]), "c": np.float32(0.5), "d": np.array(True)}
    assert json.loads(json.dumps(one.to_dict()["meta"])) == {
        "a": [0, 1, 2],
        "b": [[0.5, None]],
        "c": 0.5,
        "d": True,
    }
