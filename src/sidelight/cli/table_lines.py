"""The tables that ``sidelight explain`` writes beside the maps: a line for each row, with the user's own columns."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidelight.core.safe_output import for_csv
from sidelight.explanations.blocks import ExplainFailure
from sidelight.explanations.stored import score_type

if TYPE_CHECKING:
    from sidelight.explanations.blocks import Answer
    from sidelight.explanations.explanation import Explanation

#: number of a text's best words in the table
TOP_WORDS = 5
#: the tables are written again after a part if this takes at most this share of the time
SHARE = 0.05
#: begins a column of ours if the user's table has its name, too
PREFIX = "sidelight_"
GOOD, BAD = "explanations.csv", "errors.csv"


@dataclass
class Line:
    """Our cells and the user's cells of one row."""

    own: dict[str, Any]
    columns: Mapping[str, Any]

    def joined(self, clashing: set[str]) -> dict[str, Any]:
        """All cells. Our columns get a prefix if their names are in ``clashing``."""
        own = {f"{PREFIX}{k}" if k in clashing else k: v for k, v in self.own.items()}
        return {**own, **self.columns}


@dataclass
class Tables:
    """``explanations.csv`` and ``errors.csv`` in ``folder``."""

    folder: Path
    good: list[Line] = field(default_factory=list)
    bad: list[Line] = field(default_factory=list)
    _written: float = 0.0
    _cost: float = 0.0

    def add(self, number: int, answer: Answer) -> None:
        """One more row."""
        if isinstance(answer, ExplainFailure):
            self.bad.append(Line({"row": number, "error": answer.reason}, answer.columns))
        else:
            self.good.append(Line(_cells(number, answer), answer.meta.get("columns", {})))

    def write_if_cheap(self) -> None:
        """As :meth:`write`, unless this would take a large share of the time."""
        if (time.monotonic() - self._written) * SHARE >= self._cost:
            self.write()

    def write(self) -> None:
        """Write both tables whole."""
        began = time.monotonic()
        _write(self.folder / GOOD, self.good, ["row", "label", "probability", "truncated"])
        if self.bad:
            _write(self.folder / BAD, self.bad, ["row", "error"])
        self._written = time.monotonic()
        self._cost = self._written - began

    def renamed(self) -> list[str]:
        """Our column names that the user's table has, too."""
        return sorted(_clashing(self.good))

    def rows(self) -> list[dict[str, Any]]:
        """The rows that were explained, with the user's columns apart."""
        return [{**line.own, "columns": dict(line.columns)} for line in self.good]


def _clashing(lines: Iterable[Line]) -> set[str]:
    own: set[str] = set()
    given: set[str] = set()
    for line in lines:
        own.update(line.own)
        given.update(line.columns)
    return own & given


def _write(path: Path, lines: Sequence[Line], heading: Sequence[str]) -> None:
    from sidelight.core.files import replace_file

    clashing = _clashing(lines)
    joined = [line.joined(clashing) for line in lines]
    names = list(dict.fromkeys(key for line in joined for key in line)) or list(heading)
    with replace_file(path) as tmp, tmp.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([for_csv(name) for name in names])
        writer.writerows([for_csv(line.get(name)) for name in names] for line in joined)


def further_cells(explanation: Explanation) -> dict[str, Any]:
    """The class of the map as ``explained``, and the one beside it as ``versus``, if the call chose them.

    Of independent labels also the probability of the class of the map, and of a regression the ``value``.
    """
    meta = explanation.meta
    cells = {"value": meta.get("value"), "explained": meta.get("explained_label")}
    own = explanation.explained_probability
    if explanation.independent and cells["explained"] is not None and own is not None:
        cells["explained_probability"] = round(own, 6)
    cells["versus"] = meta.get("versus_label")
    return {name: value for name, value in cells.items() if value is not None}


def _cells(number: int, answer: Any) -> dict[str, Any]:
    """The decision, and for texts the words with the highest scores."""
    cells: dict[str, Any] = {
        "row": number,
        "label": answer.label,
        "probability": round(answer.probability, 6),
        "truncated": bool(answer.meta.get("truncated")),
    }
    cells |= further_cells(answer)
    for name, scores in answer.scores.items():
        shown = answer.inputs[name]
        if isinstance(shown, list):
            cells[f"{name}_top"] = _top(shown, scores)
        kept = scores.astype(score_type(shown if isinstance(shown, list) else None))
        # of the scores as they are stored, so that a continued call writes the same as one that was not killed
        cells[f"{name}_mean_score"] = round(float(kept.astype(float).mean()), 6)
    return cells


def _top(words: Sequence[str], scores: Any) -> str:
    best = sorted(zip(scores.tolist(), words, strict=True), key=lambda pair: -pair[0])[:TOP_WORDS]
    return " | ".join(f"{word.strip()} {score:.2f}" for score, word in best if score > 0)
