"""Sentences and small overviews drawn from the tables, losses as plainly as wins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sidelight.lab.report.data import ReportData, ReportSection
from sidelight.lab.tables.summary import GROUPS, Column, Line, Table
from sidelight.viz import style


@dataclass(frozen=True)
class Standing:
    """Our rank on one metric under ``span`` neighbouring settings, among ``of`` methods."""

    rank: int
    of: int
    value: str
    leader: str
    leader_value: str
    span: int = 1


@dataclass(frozen=True)
class Overview:
    """Our rank on every metric (``columns``) under every setting.

    ``groups`` names the settings as (granularity, its fills); a metric that no fill touches
    has one standing for all fills of a group, so that it is counted once.
    """

    columns: tuple[Column, ...]
    groups: tuple[tuple[str, tuple[str, ...]], ...]
    standings: tuple[tuple[Standing | None, ...], ...]

    @property
    def wins(self) -> int:
        """Comparisons in which no other method is better."""
        return sum(s is not None and s.rank == 1 for row in self.standings for s in row)

    @property
    def total(self) -> int:
        """All comparisons."""
        return sum(s is not None for row in self.standings for s in row)


def setting_name(table: Table) -> str:
    """``"zero fill, by pixel"``, and the protocol where it is not the default."""
    fill = f"{table.fill} fill" if table.fill else ""
    grain = f"by {table.granularity}" if table.granularity else ""
    return ", ".join(part for part in (fill, grain, table.remark) if part) or "all samples"


def overview(tables: Sequence[Table], ours: str) -> Overview | None:
    """Our standing everywhere, or ``None`` where our method or every rival is missing."""
    grouped: dict[tuple[str, str, str], list[Table]] = {}
    for table in tables:
        grouped.setdefault((table.dataset, table.modality, table.granularity), []).append(table)
    names = dict.fromkeys(c.name for t in tables for c in t.columns if c.direction)
    columns = tuple(next(c for t in tables for c in t.columns if c.name == name) for name in names)
    several = len({key[:2] for key in grouped}) > 1
    labels = [
        " ".join(filter(None, (*(key[:2] if several else ()), f"by {key[2]}" if key[2] else "")))
        for key in grouped
    ]
    groups = tuple(
        (label, tuple(t.fill or "all" for t in part))
        for label, part in zip(labels, grouped.values(), strict=True)
    )
    rows = tuple(
        tuple(s for part in grouped.values() for s in _standings(part, column, ours)) for column in columns
    )
    found = Overview(columns, groups, rows)
    return found if found.total else None


def _standings(tables: Sequence[Table], column: Column, ours: str) -> list[Standing | None]:
    if column.group == GROUPS[0]:
        return [_standing(table, column.name, ours) for table in tables]
    single = _standing(tables[0], column.name, ours)
    # An absent standing still fills the row, cell by cell.
    return [None] * len(tables) if single is None else [replace(single, span=len(tables))]


def _standing(table: Table, metric: str, ours: str) -> Standing | None:
    position = next((i for i, c in enumerate(table.columns) if c.name == metric), None)
    if position is None:
        return None
    ranked = [
        (cell.rank, line, cell)
        for line in table.lines
        if (cell := line.cells[position]) is not None and cell.rank is not None
    ]
    mine = [entry for entry in ranked if style.is_ours(entry[1].method, ours)]
    if not mine or len(ranked) == len(mine):
        return None
    rank, _, cell = min(mine, key=lambda entry: entry[0])
    best = min((e for e in ranked if e not in mine), key=lambda entry: entry[0])
    return Standing(rank, len(ranked), cell.text, best[1].label, best[2].text)


def reading(data: ReportData, tables: Sequence[Sequence[Table]]) -> str:
    """One or two sentences on faithfulness over all sections; empty without comparable rows."""
    if data.reading:
        return data.reading
    firsts: Counter[str] = Counter()
    total = 0
    for table in (t for group in tables for t in group):
        for position, column in enumerate(table.columns):
            leaders = _leaders(table.lines, position)
            if column.group == GROUPS[0] and leaders and len(table.lines) > 1:
                total += 1
                firsts.update(leaders)
    if not total:
        return ""
    mine = style.method_label(data.ours)
    sentence = f"{mine} has the best value in {firsts[mine]} of {total} faithfulness comparisons"
    rivals = [(name, count) for name, count in firsts.most_common() if name != mine]
    if rivals:
        sentence += f"; the strongest rival, {rivals[0][0]}, in {rivals[0][1]}"
    return sentence + _cost(data.sections, data.ours) + "."


def _leaders(lines: Sequence[Line], position: int) -> list[str]:
    return [line.label for line in lines if (c := line.cells[position]) is not None and c.rank == 1]


def _cost(sections: Sequence[ReportSection], ours: str) -> str:
    ratios = [
        float(row["ratio"])
        for section in sections
        for row in section.timing
        if row.get("ratio") is not None and style.is_ours(str(row.get("method", "")), ours)
    ]
    if not ratios:
        return ""
    low, high = f"{min(ratios):.2f}", f"{max(ratios):.2f}"
    span = low if low == high else f"{low} to {high}"
    return f". Explaining takes {span} times as long as classifying"


def fact_value(key: str, value: Any) -> str:
    """A fact as people write it: accuracy 0.987 -> 98.7 %, 2143000 -> 2.14 M."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, float) and 0 <= value <= 1 and "accuracy" in key.lower():
        return f"{value:.1%}".replace("%", " %")
    if isinstance(value, (int, float)) and "param" in key.lower():
        return _scaled(float(value))
    if isinstance(value, float):
        return f"{value:,.4g}"
    if isinstance(value, (list, tuple, set)):
        return ", ".join(str(item) for item in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {v}" for k, v in value.items())
    return str(value)


def _scaled(value: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f}"
