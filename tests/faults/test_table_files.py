"""Tables on disk that are not quite as they should be: too many cells in a row, two columns of one name, damaged lines."""

from __future__ import annotations

from pathlib import Path

import pytest
from fault_models import T, bert, tok
from test_everyday import untrained

from sidelight import Explainer
from sidelight.errors import InputError


@pytest.fixture(scope="module")
def texts() -> Explainer:
    return untrained(bert(), tok(), T[0])


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


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_kind_a_bad_first_line_costs_that_row_only(texts: Explainer, tmp_path: Path, ending: str) -> None:
    table = tmp_path / f"a.{ending}"
    good = [f'{{"text": "{t}"}}' for t in T[:2]] if ending == "jsonl" else T[:2]
    head = ["{broken"] if ending == "jsonl" else ["text", "a, b"]
    table.write_text("\n".join([*head, *good]))
    first, *others = explained(texts, table)
    assert first.startswith("this row of the table")
    assert others == T[:2]
