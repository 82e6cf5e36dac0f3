"""The page. Everything is inline, nothing is fetched, and it needs no script."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from sidelight.core.files import write_text
from sidelight.core.names import kind_of, method_label, ordered
from sidelight.lab.figures.grid import GridSample, how_drawn
from sidelight.lab.report.data import ReportData, ReportSection
from sidelight.lab.report.figures import Picture, curves_of, radar_of, tradeoff_of
from sidelight.lab.report.reading import Overview, fact_value, overview, reading
from sidelight.lab.tables.summary import build_tables
from sidelight.lab.tables.table import Cell, Column, Setting, Table
from sidelight.viz.base import RENDERERS
from sidelight.viz.export import to_inline_svg

TEMPLATES = Path(__file__).parent / "templates"
#: above this ratio of our time to the model's, a page says why it is high
FIXED_COST = 1.2


@dataclass(frozen=True)
class Drawing:
    """An inline picture with its caption."""

    title: str
    svg: Markup
    caption: str


@dataclass(frozen=True)
class Panel:
    """One setting of the switches: its table, its drawings by kind, and the options that show it."""

    table: Table
    name: str
    options: tuple[int, ...]
    drawings: Mapping[str, Drawing]


@dataclass(frozen=True)
class Group:
    """One row of switches, e.g. all fills."""

    label: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Bar:
    """One line of the timing chart. ``width`` is in percent of the longest, on a log scale."""

    label: str
    kind: str
    width: float
    row: Mapping[str, Any]


@dataclass(frozen=True)
class SectionView:
    """A section with everything drawn."""

    data: ReportSection
    groups: tuple[Group, ...]
    panels: tuple[Panel, ...]
    overview: Overview | None
    samples: Markup | None
    failures: Markup | None
    timing: tuple[tuple[str, tuple[Bar, ...]], ...]

    @property
    def small_target(self) -> bool:
        """Whether our scorer costs more than :data:`FIXED_COST` on top of the model, as it does on small ones."""
        ours = [bar for _, bars in self.timing for bar in bars if bar.kind == "ours"]
        return any(float(bar.row.get("ratio") or 0) > FIXED_COST for bar in ours)


def render_report(run: ReportData) -> str:
    """One self-contained HTML page. Every text from ``run`` is escaped.

    Raises:
        InputError: a summary row, curve or sample is not what :class:`ReportData` describes.
    """
    tables = [build_tables(section.rows) for section in run.sections]
    pairs = enumerate(zip(run.sections, tables, strict=True))
    views = [_view(section, own, f"s{number}") for number, (section, own) in pairs]
    words = reading(run.sections, [table for own in tables for table in own])
    return _environment().get_template("report.html.j2").render(run=run, sections=views, reading=words)


def write_report(data: ReportData, path: str | os.PathLike[str]) -> Path:
    """Render ``data`` to ``path``, complete or not at all.

    Raises:
        CheckpointError: the disk refused. An earlier page stays as it was.
        InputError: see :func:`render_report`.
    """
    write_text(path, render_report(data))
    return Path(path)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    css = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    environment.globals.update(css=Markup(css), hint=_hint, interval=_interval, remarks=_remarks)
    environment.filters.update(fact=_fact, figure=_figure, breakable=_breakable)
    return environment


def _view(section: ReportSection, tables: Sequence[Table], prefix: str) -> SectionView:
    groups, options = _switches(tables)
    panels = tuple(
        Panel(
            table,
            table.setting.name,
            choice,
            _drawings(table, section.curves, f"{prefix}p{i}"),
        )
        for i, (table, choice) in enumerate(zip(tables, options, strict=True))
    )
    return SectionView(
        section,
        groups,
        panels,
        overview(tables),
        _gallery(section.samples, "Randomly chosen samples", section.rows),
        _gallery(section.failures, "Failure cases", section.rows),
        _timing(section.timing),
    )


def _switches(tables: Sequence[Table]) -> tuple[tuple[Group, ...], list[tuple[int, ...]]]:
    """Rows of switches, and for each table the options (one a row) that show it."""
    settings = [t.setting for t in tables]
    fills = list(dict.fromkeys(s.fill for s in settings))
    grains = list(dict.fromkeys(s.granularity for s in settings))
    pairs = [(fills.index(s.fill), grains.index(s.granularity)) for s in settings]
    if len(set(pairs)) == len(pairs) == len(fills) * len(grains):
        groups = (
            Group("What replaces a removed feature", tuple(f or "none" for f in fills)),
            Group("What is removed at once", tuple(g or "feature" for g in grains)),
        )
        return groups, list(pairs)
    return _switch_for_each(settings)


def _switch_for_each(settings: Sequence[Setting]) -> tuple[tuple[Group, ...], list[tuple[int, ...]]]:
    """One switch for each table, since some combinations are missing or there twice."""
    names = [s.name for s in settings]
    if len({(s.dataset, s.modality) for s in settings}) > 1:
        names = [" · ".join(p for p in (s.dataset, s.modality, s.name) if p) for s in settings]
    groups = (Group("Setting", tuple(names)),) if names else ()
    return groups, [(i,) for i in range(len(names))]


def _drawings(table: Table, curves: pd.DataFrame | None, prefix: str) -> dict[str, Drawing]:
    """Curves, radar and trade-off of one setting, as far as it has the values that they show."""
    found = {
        "curves": ("Deletion and insertion curves", curves_of(table, curves)),
        "radar": ("Metrics at a glance", radar_of(table)),
        "tradeoff": ("Faithfulness against clarity", tradeoff_of(table)),
    }
    return {
        kind: Drawing(
            title, _svg(picture, f"{prefix}{kind}-", f"{title}, {table.setting.name}"), picture.caption
        )
        for kind, (title, picture) in found.items()
        if picture is not None
    }


def _svg(picture: Picture, prefix: str, label: str) -> Markup:
    return Markup(to_inline_svg(picture.figure, prefix, label))


def _gallery(
    samples: Sequence[GridSample], label: str, measured: Sequence[Mapping[str, Any]]
) -> Markup | None:
    if not samples:
        return None
    methods = ordered(m for sample in samples for m in sample.maps)
    page = _environment().get_template("gallery.html.j2")
    rows = [(sample, *_pictures(sample, methods)) for sample in samples]
    outlined = any(sample.truth is not None for sample in samples)
    columns = [(method_label(m), kind_of(m)) for m in methods]
    signed = {row["method"] for row in measured if row["reduction"] != "none"}
    drawn = how_drawn(samples, not signed.isdisjoint(methods))
    return Markup(page.render(rows=rows, methods=columns, label=label, outlined=outlined, drawn=drawn))


def _pictures(sample: GridSample, methods: Sequence[str]) -> tuple[Markup, list[Markup | None]]:
    renderer = RENDERERS[sample.modality]
    overlay = "heat" if "heat" in renderer.styles else None
    maps: list[Markup | None] = []
    for method in methods:
        if method not in sample.maps:
            maps.append(None)
            continue
        alt = f"{method_label(method)} for {sample.label}"
        scores = sample.scores(method)
        html = renderer.html(scores, sample.display, overlay, sample.truth, alt)
        maps.append(Markup(html + renderer.list_html(scores, sample.display, scores)))
    return Markup(renderer.html(None, sample.display, truth=sample.truth, alt="input")), maps


def _timing(rows: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, tuple[Bar, ...]], ...]:
    """Bars by batch size in the order measured, fastest first in each. Lengths are logarithms of the ratio."""
    ratios = [float(r["ratio"]) for r in rows if r.get("ratio") is not None]
    top = max([2.0, *ratios])
    groups: dict[str, list[Bar]] = {str(row.get("batch", "")): [] for row in rows}
    for row in sorted(rows, key=lambda r: float(r.get("ratio") or 0)):
        method = str(row["method"])
        width = 100 * math.log(max(1.0, float(row.get("ratio") or 1))) / math.log(top)
        bar = Bar(method_label(method), kind_of(method), max(0.8, width), row)
        groups[str(row.get("batch", ""))].append(bar)
    return tuple((batch, tuple(bars)) for batch, bars in groups.items())


def _hint(cell: Cell, column: Column) -> str:
    """Everything known about one number, for the pointer."""
    parts = [f"{column.label} {cell.mean:.4g}"]
    if cell.ci is not None:
        parts.append(f"95 % CI {_interval(cell)}")
    if cell.sd is not None:
        parts.append(f"sd {cell.sd:.3g}")
    if cell.n is not None:
        parts.append(f"n = {cell.n}")
    return "; ".join(parts + _remarks(cell))


def _interval(cell: Cell) -> str:
    return "–" if cell.ci is None else f"{cell.ci[0]:.4g} to {cell.ci[1]:.4g}"


def _remarks(cell: Cell) -> list[str]:
    """Spread between seeds, and how a method with signs was read."""
    found = []
    if cell.seeds > 1 and cell.seed_sd is not None:
        found.append(f"{cell.seeds} seeds, sd between seeds {cell.seed_sd:.2g}")
    names = {"abs": "absolute value", "positive": "positive part"}
    if cell.reduction in names:
        found.append(f"by {names[cell.reduction]}")
    if cell.other is not None:
        found.append(f"{names.get(cell.other[0], cell.other[0])}: {cell.other[1]:.4g}")
    return found


def _figure(value: Any) -> str:
    """A measured number with as many digits as it deserves: 1.05, 64.8, 14,240."""
    if value is None or math.isnan(float(value)):
        return "–"
    number = float(value)
    if number < 10:
        return f"{number:.2f}"
    return f"{number:.1f}" if number < 100 else f"{number:,.0f}"


def _breakable(label: str) -> str:
    """The one metric name too long for a narrow column may break inside (soft hyphens)."""
    return label.replace("comprehensiveness", "compre\u00adhensive\u00adness")


def _fact(value: Any, key: str) -> Markup:
    """A fact that a narrow column breaks between the words of a class's name, ``ResNet|For|Image|Classification``."""
    return Markup("<wbr>").join(re.split(r"(?<=[a-z])(?=[A-Z])", fact_value(key, value)))
