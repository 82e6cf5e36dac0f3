"""Every reported fault has a test, and ``README.md`` beside this file says which: ``python tests/faults/test_table.py``."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
#: rows of the list of faults, each with what it is about
ROWS = {
    "01": "saving beside the classifier deletes the folder",
    "02": "a training empties the folder that it is pointed at",
    "04": "the second run in one folder gives the results of the first",
    "05": "states that are channels-last are read as channels-first",
    "06": "threads get each other's hidden states",
    "07": "pictures are prepared unlike the classifier's own processor does",
    "08": "the padding token of tokenizer and model differ",
    "10": "softmax over independent labels",
    "11": "one logit: a sigmoid or a regression",
    "12": "a table of pictures fills the memory",
    "13": "(text, label name) is read as a pair of texts",
    "14": "data set and model number the classes differently",
    "15": "models in half precision",
    "16": "compiled models",
    "17": "models in DataParallel",
    "18": "iterators, loaders, streams and frames as data",
    "19": "tokenizers without character offsets",
    "20": "lone surrogates",
    "22": "one empty record stops the run",
    "23": "the model ends in a softmax",
    "24": "the model returns a dict or a tuple",
    "25": "missing labels and names of labels",
    "26": "validation cut off sorted data has one class",
    "27": "the settings of a tokenizer get lost",
    "29": "quantised weights",
    "41": "the map of a chosen class",
    "42": "one broken picture given as bytes",
}
TEST = re.compile(r"^def (test_fault_(\d\d)_\w+|test_kind_\w+)\(", re.MULTILINE)


def found() -> list[tuple[str, str, str | None]]:
    """``(file, test, row or None)`` of every test of a fault."""
    return [
        (path.name, match[1], match[2])
        for path in sorted(HERE.glob("test_*.py"))
        for match in TEST.finditer(path.read_text(encoding="utf-8"))
    ]


def table() -> str:
    """The text of ``README.md``."""
    tests = found()
    lines = ["# Reported faults and their tests", "", "Made by `python tests/faults/test_table.py`.", ""]
    lines += ["| row | fault | tests |", "|---|---|---|"]
    for row, about in ROWS.items():
        own = "<br>".join(f"{file}: `{name}`" for file, name, number in tests if number == row)
        lines.append(f"| {row} | {about} | {own} |")
    lines += ["", "Tests of faults that have no row of their own:", ""]
    lines += [f"* {file}: `{name}`" for file, name, number in tests if number is None]
    return "\n".join(lines) + "\n"


def test_every_row_has_a_test() -> None:
    assert set(ROWS) <= {number for _, _, number in found()}


def test_no_test_names_a_row_that_is_not_there() -> None:
    assert {number for _, _, number in found() if number is not None} <= set(ROWS)


def test_the_table_is_up_to_date() -> None:
    assert (HERE / "README.md").read_text(encoding="utf-8") == table()


if __name__ == "__main__":
    (HERE / "README.md").write_text(table(), encoding="utf-8")
