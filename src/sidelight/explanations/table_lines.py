"""The tables beside many stored explanations: a line for each row, with the user's own columns.

They are made of the stored parts, a few hundred rows at a time, so that they are the same after a kill.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sidelight.core.files import replace_file
from sidelight.core.safe_output import for_csv
from sidelight.explanations.packing import packed
from sidelight.explanations.packing_v1 import unpacked_v1
from sidelight.explanations.score_types import read_scores
from sidelight.explanations.stored import StoredExplanations, batches_of, names_of, part_of
from sidelight.explanations.unpacking import rows_of

if TYPE_CHECKING:
    from sidelight.explanations.explanation import Explanation

#: begins a column of ours if the user's table has its name, too
PREFIX = "sidelight_"
GOOD, BAD = "explanations.csv", "errors.csv"
#: endings of columns that no line needs, which hold most of the bytes
_HEAVY = ("_picture", "_ranking", "_effects", "_words")


@dataclass
class Line:
    """Our cells and the user's cells of one row."""

    own: dict[str, Any]
    columns: Mapping[str, Any]

    def joined(self, renamed: Mapping[str, str]) -> dict[str, Any]:
        """All cells. Our columns have other names if ``renamed`` gives them some."""
        return {**{renamed.get(k, k): v for k, v in self.own.items()}, **self.columns}


@dataclass
class Tables:
    """What :func:`write_tables` wrote.

    Attributes:
        good, bad: rows that were explained, and rows that were not.
        first_error: reason of the first of these.
        renamed: names of our columns that the user's table has, too, as they are called instead.
    """

    good: int = 0
    bad: int = 0
    first_error: str = ""
    renamed: list[str] = field(default_factory=list)


def write_tables(stored: StoredExplanations) -> Tables:
    """Write ``explanations.csv`` and, if a row could not be explained, ``errors.csv`` beside the parts.

    The parts are read once if all lines have the same columns. Otherwise they are read again, when all columns are known.
    """
    found = Tables()
    good, bad = _Names(["row", "label", "probability", "truncated"]), _Names(["row", "error"])
    failed: list[int] = []  # parts with rows that were not explained
    with replace_file(stored.folder / GOOD) as tmp:
        with _opened(tmp) as file:
            draft = _Writer(file)
            for number in range(stored.parts):
                errors = [line for line in lines_of_part(stored, number) if not draft.add(line, good, found)]
                for line in errors:
                    bad.add(line)
                failed += [number] if errors else []
                found.bad += len(errors)
                found.first_error = found.first_error or (errors[0].own["error"] if errors else "")
        if len(good.seen) != 1:
            _write(tmp, good, (line for line in lines_of(stored) if "error" not in line.own))
    if failed:
        with replace_file(stored.folder / BAD) as tmp:
            lines = (line for number in failed for line in lines_of_part(stored, number))
            _write(tmp, bad, (line for line in lines if "error" in line.own))
    found.renamed = sorted(good.renamed.values())
    return found


class _Names:
    """Names of the columns of a table, in the order in which lines bring them."""

    def __init__(self, heading: list[str]) -> None:
        self.heading = heading
        self.own: dict[str, None] = {}
        self.given: dict[str, None] = {}
        #: names of lines, ours and those of the user's columns
        self.seen: dict[tuple[str, ...], None] = {}

    def add(self, line: Line) -> None:
        names = (*line.own, "", *line.columns)
        if names in self.seen:
            return
        self.seen[names] = None
        self.own |= dict.fromkeys(line.own)
        self.given |= dict.fromkeys(line.columns)

    @property
    def renamed(self) -> dict[str, str]:
        """Other names of our columns whose names the user's table has, too."""
        return {name: self._free(name) for name in self.own.keys() & self.given.keys()}

    def _free(self, name: str) -> str:
        # a table that we wrote before has such names, too
        while name in self.given or name in self.own:
            name = f"{PREFIX}{name}"
        return name

    def all(self) -> list[str]:
        """All names. Ours stand before those of the user's columns in a line, and earlier lines count first."""
        found: dict[str, None] = {}
        renamed = self.renamed
        for names in self.seen:
            border = names.index("")
            own = [renamed.get(n, n) for n in names[:border]]
            found |= dict.fromkeys([*own, *names[border + 1 :]])
        return list(found) or self.heading


class _Writer:
    """Writes lines of the columns of the first one, as long as no line has others.

    Args:
        file: open for writing.
    """

    def __init__(self, file: Any) -> None:
        self.writer = csv.writer(file)
        self.renamed: dict[str, str] = {}
        self.columns: list[str] = []

    def head(self, names: _Names) -> list[str]:
        """Write the heading of ``names``, and return the columns."""
        self.renamed = names.renamed
        columns = names.all()
        self.writer.writerow([for_csv(column) for column in columns])
        return columns

    def line(self, line: Line, columns: Sequence[str]) -> None:
        """Write the cells of a line that ``columns`` name."""
        cells = line.joined(self.renamed) if self.renamed else {**line.own, **line.columns}
        self.writer.writerow([for_csv(cells.get(column)) for column in columns])

    def add(self, line: Line, names: _Names, found: Tables) -> bool:
        """Note and write a line, unless it is of a row that could not be explained. False for such a line."""
        if "error" in line.own:
            return False
        names.add(line)
        found.good += 1
        if len(names.seen) == 1:
            self.columns = self.head(names) if found.good == 1 else self.columns
            self.line(line, self.columns)
        return True


def _opened(path: Path) -> Any:
    return path.open("w", newline="", encoding="utf-8")


def _write(path: Path, names: _Names, lines: Iterable[Line]) -> None:
    with _opened(path) as file:
        writer = _Writer(file)
        columns = writer.head(names)
        for line in lines:
            writer.line(line, columns)


def lines_of(stored: StoredExplanations) -> Iterator[Line]:
    """The line of each row that is stored."""
    for number in range(stored.parts):
        yield from lines_of_part(stored, number)


def lines_of_part(stored: StoredExplanations, number: int) -> Iterator[Line]:
    """The line of each row of a part."""
    for row, modalities in _light_rows(part_of(stored.folder, number)):
        meta, exact = json.loads(row["meta"]), json.loads(row["exact"]) if row["exact"] else {}
        columns = meta.get("columns", {})
        if row["error"] is not None:
            yield Line({"row": row["row"], "error": exact.get("error", row["error"])}, columns)
        else:
            yield Line(_cells(row, modalities, meta, exact), columns)


def _light_rows(path: Path) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """The rows of a part without pictures, and the modalities of each. Those of the first format are read whole."""
    names = names_of(path)
    if "maps" not in names:
        modalities = _modalities(names)
        for batch in batches_of(path, [n for n in names if not n.endswith(_HEAVY)]):
            yield from ((row, modalities) for row in rows_of(batch))
        return
    for batch in batches_of(path):
        for stored in batch.to_pylist():
            row = {"error": None, "exact": None, **packed(stored["row"], unpacked_v1(stored))}
            yield row, _modalities(row)


def _modalities(names: Iterable[str]) -> list[str]:
    """The modalities that columns of these names belong to."""
    return [name.removesuffix("_shape") for name in names if name.endswith("_shape")]


def further_cells(explanation: Explanation) -> dict[str, Any]:
    """The class of the map as ``explained``, and the one beside it as ``versus``, if the call chose them.

    Of independent labels also the probability of the class of the map, and of a regression the ``value``.
    """
    own = explanation.explained_probability if explanation.independent else None
    return _further(explanation.meta, own)


def _further(meta: Mapping[str, Any], own: float | None) -> dict[str, Any]:
    cells = {"value": meta.get("value"), "explained": meta.get("explained_label")}
    if own is not None and cells["explained"] is not None:
        cells["explained_probability"] = round(own, 6)
    cells["versus"] = meta.get("versus_label")
    return {name: value for name, value in cells.items() if value is not None}


def _own_probability(row: Mapping[str, Any]) -> float | None:
    """The probability of the class of the map, of independent labels."""
    known = row["probabilities"]
    if not row["independent"] or (known is None and row["explained"] != row["prediction"]):
        return None
    if row["explained"] == row["prediction"]:
        return float(row["probability"])
    p = float(known[row["explained"] % len(known)])
    return p if row["explained"] < len(known) else 1 - p


def _cells(
    row: Mapping[str, Any], modalities: Sequence[str], meta: Mapping[str, Any], exact: Mapping[str, str]
) -> dict[str, Any]:
    """The decision, and for texts the words with the highest scores."""
    cells: dict[str, Any] = {
        "row": row["row"],
        "label": exact.get("label", row["label"]),
        "probability": round(float(np.float32(row["probability"])), 6),
        "truncated": bool(meta.get("truncated")),
    }
    cells |= _further(meta, _own_probability(row))
    for name in (m for m in modalities if row[f"{m}_shape"] is not None):
        top = row.get(f"{name}_top")
        if top is not None:
            cells[f"{name}_top"] = " | ".join(top)
        scores = read_scores(row[f"{name}_scores"]).astype(float)
        cells[f"{name}_mean_score"] = round(float(np.add.reduce(scores) / scores.size), 6)
    return cells
