"""Sentences and small overviews of the tables. Losses are told as plainly as wins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sidelight.core.names import OURS, is_ours
from sidelight.lab.report.data import ReportSection
from sidelight.lab.tables.summary import GROUPS
from sidelight.lab.tables.table import Column, Table


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

    ``groups`` names the settings as (granularity, its fills). A metric that does not depend on fills has one
    standing for all fills of a group, so that it counts once.
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


def overview(tables: Sequence[Table]) -> Overview | None:
    """Our standing everywhere, or ``None`` if our method or every other method is missing."""
    grouped: dict[tuple[str, str, str], list[Table]] = {}
    for table in tables:
        at = table.setting
        grouped.setdefault((at.dataset, at.modality, at.granularity), []).append(table)
    columns = tuple(
        {c.name: c for t in reversed(tables) for c in reversed(t.columns) if c.direction}.values()
    )[::-1]
    several = len({key[:2] for key in grouped}) > 1
    groups = []
    for (dataset, modality, grain), part in grouped.items():
        names = [dataset, modality] if several else []
        label = " ".join(filter(None, [*names, f"by {grain}" if grain else ""]))
        groups.append((label, tuple(t.setting.fill or "all" for t in part)))
    rows = tuple(
        tuple(s for part in grouped.values() for s in _standings(part, column)) for column in columns
    )
    found = Overview(columns, tuple(groups), rows)
    return found if found.total else None


def _standings(tables: Sequence[Table], column: Column) -> list[Standing | None]:
    if column.group == GROUPS[0]:
        return [_standing(table, column.name) for table in tables]
    single = _standing(tables[0], column.name)
    # An absent standing still fills the row, cell by cell.
    return [None] * len(tables) if single is None else [replace(single, span=len(tables))]


def _standing(table: Table, metric: str) -> Standing | None:
    if metric not in [c.name for c in table.columns]:
        return None
    cells = [(line, table.cell(line.name, metric)) for line in table.lines]
    ranked = [(cell.rank, line, cell) for line, cell in cells if cell is not None and cell.rank is not None]
    # of several scorers the best one would be chosen after the fact, so the run's own counts alone
    mine = [entry for entry in ranked if entry[1].name == OURS]
    rivals = [entry for entry in ranked if not is_ours(entry[1].name)]
    if not mine or not rivals:
        return None
    (rank, _, cell), (_, line, best) = mine[0], min(rivals, key=lambda entry: entry[0])
    return Standing(rank, len(ranked), cell.text, line.label, best.text)


def reading(sections: Sequence[ReportSection], tables: Sequence[Table]) -> str:
    """One or two sentences on faithfulness over all sections, empty without comparable rows.

    A scorer beside the run's own is no rival.
    """
    firsts: Counter[str] = Counter()
    beside: set[str] = set()
    total = 0
    for table in tables:
        for column in table.columns:
            cells = [(line.label, table.cell(line.name, column.name)) for line in table.lines]
            beside |= {line.label for line in table.lines if is_ours(line.name)}
            leaders = [label for label, cell in cells if cell is not None and cell.rank == 1]
            if column.group == GROUPS[0] and leaders and len(cells) > 1:
                total += 1
                firsts.update(leaders)
    if not total:
        return ""
    sentence = f"{OURS} has the best value in {firsts[OURS]} of {total} faithfulness comparisons"
    others = [(name, count) for name, count in firsts.most_common() if name not in beside]
    if others:
        sentence += f"; the strongest rival, {others[0][0]}, in {others[0][1]}"
    return sentence + _cost(sections) + "."


def _cost(sections: Sequence[ReportSection]) -> str:
    ratios = [
        float(row["ratio"])
        for section in sections
        for row in section.timing
        if row.get("ratio") is not None and is_ours(str(row.get("method", "")))
    ]
    if not ratios:
        return ""
    low, high = f"{min(ratios):.2f}", f"{max(ratios):.2f}"
    span = low if low == high else f"{low} to {high}"
    return f". Explaining takes {span} times as long as classifying"


def fact_value(key: str, value: Any) -> str:
    """A fact as people write it.

    Example:
        >>> fact_value("accuracy", 0.987), fact_value("parameters", 2143000)
        ('98.7 %', '2.14 M')
    """
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
