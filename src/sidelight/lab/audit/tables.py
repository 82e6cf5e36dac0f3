"""Numbers of a check: gathered sample by sample, summarised as rows, laid out as tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from sidelight.core.names import method_label
from sidelight.lab.tables.table import REDUCTION_MARKS, Table, text_table

Row = dict[str, Any]


class Tally:
    """Values of single samples under keys. NaN values are left out."""

    def __init__(self) -> None:
        self._values: dict[tuple[tuple[str, Any], ...], list[float]] = {}

    def add(self, values: Tensor, **key: Any) -> None:
        """Add one value a sample, ``[B]``."""
        found = self._values.setdefault(tuple(key.items()), [])
        found += [v for v in values.double().tolist() if math.isfinite(v)]

    def add_each(self, values: Mapping[str, Tensor], **key: Any) -> None:
        """Add ``[B]`` values of each metric, under its name and ``key``."""
        for metric, value in values.items():
            self.add(value, **key, metric=metric)

    def rows(self) -> list[Row]:
        """``{**key, "mean", "sd", "n"}``. Mean is ``None`` if there is no value, and sd if there are fewer than two."""
        return [{**dict(key), **_summary(values)} for key, values in self._values.items()]


def _summary(values: Sequence[float]) -> Row:
    if not values:
        return {"mean": None, "sd": None, "n": 0}
    found = torch.tensor(values, dtype=torch.float64)
    spread = round(float(found.std()), 6) if len(values) > 1 else None
    return {"mean": round(float(found.mean()), 6), "sd": spread, "n": len(values)}


def named(row: Mapping[str, Any]) -> str:
    """The method of a row as people write it, marked with the reading of its sign."""
    return f"{method_label(row['method'])} {REDUCTION_MARKS.get(row.get('reading', 'none'), '')}".strip()


def number(value: float | None, digits: int = 3) -> str:
    """A value for a table, or a dash if there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def pivot(title: str, rows: Sequence[Row], across: str, first: str = "method") -> Table:
    """One line a method and reading, one column a value of ``across``, the means in the cells. The title says n."""
    columns = list(dict.fromkeys(str(r[across]) for r in rows))
    lines: dict[str, dict[str, str]] = {}
    for row in rows:
        lines.setdefault(named(row), {})[str(row[across])] = number(row["mean"])
    cells = [[name, *(found.get(c, "") for c in columns)] for name, found in lines.items()]
    counts = [row["n"] for row in rows]
    n = " to ".join(map(str, sorted({min(counts), max(counts)})))
    return text_table(f"{title}, n = {n}", [first, *columns], cells)


def modalities(rows: Sequence[Row]) -> list[str]:
    """The modalities of rows, in their order."""
    return list(dict.fromkeys(r["modality"] for r in rows))


def by_metric(
    rows: Sequence[Row], modality: str, titles: Mapping[str, str]
) -> Iterator[tuple[str, list[Row]]]:
    """Title and rows of each metric for which ``modality`` has rows, in the order of ``titles``."""
    for metric, title in titles.items():
        found = [r for r in rows if r["modality"] == modality and r["metric"] == metric]
        if found:
            yield title, found


def choose(rows: Sequence[Row], lower_is_better: bool) -> list[Row]:
    """The rows of each method's better reading on average, so that a picture has one line for each method."""
    means: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        if row["mean"] is not None:
            means.setdefault(row["method"], {}).setdefault(row["reading"], []).append(row["mean"])
    sign = 1 if lower_is_better else -1
    best = {
        method: min(found, key=lambda reading: sign * sum(found[reading]) / len(found[reading]))
        for method, found in means.items()
    }
    return [r for r in rows if best.get(r["method"]) == r["reading"]]


def drawn(chosen: Mapping[str, Sequence[Row]]) -> dict[str, str]:
    """The mark of the reading that :func:`per_method` chose, by method. It is empty if the method has no sign."""
    return {m: REDUCTION_MARKS.get(own[0].get("reading", "none"), "") for m, own in chosen.items()}


def per_method(rows: Sequence[Row], lower_is_better: bool) -> dict[str, list[Row]]:
    """Those of :func:`choose` that have a mean, by method."""
    found: dict[str, list[Row]] = {}
    for row in choose(rows, lower_is_better):
        if row["mean"] is not None:
            found.setdefault(row["method"], []).append(row)
    return found
