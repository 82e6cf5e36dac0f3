"""The page and the tables: marks by hand, escaping, nothing from outside."""

from __future__ import annotations

import html
import io
import os
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from sidelight.errors import CheckpointError, InputError
from sidelight.lab.data.scenes import BLANK, readable
from sidelight.lab.figures.grid import GridSample
from sidelight.lab.report import (
    ReportData,
    ReportSection,
    markdown_table,
    render_report,
    terminal_tables,
    write_report,
)
from sidelight.lab.report.html import _fact
from sidelight.lab.report.reading import fact_value, overview
from sidelight.lab.tables.summary import build_tables

EVIL = "<script>alert('x')</script>"


def row(method, metric, mean, reduction="none", fill="zero", granularity="pixel", **extra):
    return {
        "dataset": "digits",
        "modality": "image",
        "method": method,
        "reduction": reduction,
        "fill": fill,
        "granularity": granularity,
        "metric": metric,
        "mean": mean,
        "sd": 0.1,
        "ci95": [mean - 0.02, mean + 0.01],
        "n": 50,
        **extra,
    }


def by_hand():
    return [
        row("sidelight", "average_drop", 0.10),
        row("rise", "average_drop", 0.30),
        row("saliency", "average_drop", 0.20),
        row("constant", "average_drop", 0.00),
        row("random", "average_drop", 0.50),
        # insertion: two share the first place at the digits shown, one is second
        row("sidelight", "insertion_auc", 0.70004),
        row("rise", "insertion_auc", 0.70001),
        row("saliency", "insertion_auc", 0.60),
        row("random", "insertion_auc", 0.10),
        # signed: the positive part is better on drop, the absolute value on insertion
        row("integrated_gradients", "average_drop", 0.40, "abs"),
        row("integrated_gradients", "average_drop", 0.15, "positive"),
        row("integrated_gradients", "insertion_auc", 0.55, "abs"),
        row("integrated_gradients", "insertion_auc", 0.50, "positive"),
        row("sidelight", "sparsity", 9.0, fill="none"),
        row("rise", "sparsity", 3.0, fill="none"),
        row("sidelight", "average_drop", 0.60, fill="blur"),
        row("rise", "average_drop", 0.30, fill="blur"),
    ]


def section(**changes) -> ReportSection:
    rng = np.random.default_rng(0)
    sample = GridSample(
        rng.random((8, 8, 1)),
        {"sidelight": np.zeros((8, 8)), "rise": rng.random((8, 8))},
        label=EVIL,
        probability=0.9,
        truth_label="other",
        truth=np.eye(8, dtype=bool),
        caption=EVIL,
    )
    share = np.linspace(0, 1, 3)
    curve = {"modality": "image", "reduction": "none", "fill": "zero", "granularity": "pixel", "share": share}
    fields = {
        "title": EVIL,
        "rows": [{**r, "dataset": EVIL} for r in by_hand()] + [row(EVIL, "average_drop", 0.9, dataset=EVIL)],
        "curves": pd.DataFrame({**curve, "method": "rise", "kind": "deletion", "mean": 1 - share}),
        "samples": [sample],
        "failures": [sample],
        "notes": [EVIL],
        "timing": [
            {
                "method": "sidelight",
                "batch": 1,
                "classify_ms": 9.0,
                "explain_ms": 9.5,
                "ratio": 1.05,
                "peak_mb": 80,
            },
            {
                "method": EVIL,
                "batch": 1,
                "classify_ms": 9.0,
                "explain_ms": 900.0,
                "ratio": 100.0,
                "peak_mb": None,
            },
        ],
        "target": {"name": EVIL, "accuracy": 0.987, "parameters": 1_234_000},
        "config": f"name: {EVIL}",
    }
    return ReportSection(**{**fields, **changes})


class Page(HTMLParser):
    VOID = frozenset({"meta", "input", "img", "br", "link", "path", "use", "line", "rect", "image"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.stack: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.stack.pop()

    def handle_endtag(self, tag) -> None:
        if tag not in self.VOID:
            assert self.stack.pop() == tag

    def handle_data(self, data) -> None:
        if self.stack and data.strip():
            self.texts.append((self.stack[-1], " ".join(data.split())))

    def inside(self, tag: str) -> list[str]:
        """What stands directly inside elements of a kind, in their order."""
        return [text for place, text in self.texts if place == tag]


@pytest.fixture(scope="module")
def page() -> str:
    return render_report(ReportData(EVIL, EVIL, [section(), section(title="second")], footer=EVIL))


def test_page_is_well_formed_and_asks_for_nothing(page):
    parsed = Page(page)
    assert parsed.stack == []
    assert "script" not in parsed.tags
    assert parsed.links
    assert all(link.startswith(("data:image/", "#")) for link in parsed.links)
    assert not re.search(r"(?:src|href)\s*=\s*[\"']?https?:", page)
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_page_escapes_every_text(page):
    assert "<script" not in page
    assert page.count("&lt;script&gt;") > 12


def test_page_ids_are_unique(page):
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_the_name_of_a_class_breaks_between_its_words():
    """It broke anywhere, ``ResNetForImageCl / assification``."""
    assert _fact("ResNetForImageClassification", "name") == "Res<wbr>Net<wbr>For<wbr>Image<wbr>Classification"
    assert _fact("aB<script>aB", "name") == "a<wbr>B&lt;script&gt;a<wbr>B"


def test_page_shows_the_run(page):
    parsed = Page(page)
    facts = dict(zip(parsed.inside("dt"), parsed.inside("dd"), strict=True))
    assert facts == {"name": EVIL, "accuracy": "98.7 %", "parameters": "1.23 M"}
    style = parsed.inside("style")[0]
    assert "prefers-color-scheme: dark" in style
    assert "@media print" in style
    settings = [text for text in parsed.inside("span") if text.startswith("n = ")]
    assert settings == ["n = 50, ± 95 % interval of the mean"] * 2 * len(build_tables(section().rows))
    assert parsed.inside("h3").count("Limits") == 1
    # of each section's three faithfulness comparisons (two fills, one of them with two metrics) it leads two
    assert sum("best value in 4 of 6" in text for text in parsed.inside("p")) == 1


def words_of(fragment: str) -> str:
    return " ".join(
        html.unescape(re.sub(r"<[^>]*>", " ", fragment)).replace("\N{NO-BREAK SPACE}", " ").split()
    )


def test_what_tooltips_of_the_table_say_is_read_without_a_mouse(page) -> None:
    """Touch screens and screen readers show no tooltip, so a list that unfolds says the same."""
    panel = page[page.index('<table class="results">') : page.index('<div class="figure">')]
    table, found, numbers = panel.partition('<details class="numbers">')
    assert found
    told, hints = words_of(numbers), [html.unescape(t) for t in re.findall(r'<td[^>]* title="(.*?)"', table)]
    assert len(hints) == 14
    for hint in hints:
        mean, *rest = hint.split("; ")
        kinds = ("95 % CI ", "sd ", "n = ")
        parts = [next((r.removeprefix(kind) for r in rest if r.startswith(kind)), "–") for kind in kinds]
        remarks = "; ".join(r for r in rest if not r.startswith(kinds))
        assert " ".join([mean.rsplit(" ", 1)[1], *parts, remarks]).strip() in told
    for doc in re.findall(r'<th scope="col"[^>]* title="(.*?)"', table):
        assert html.unescape(doc) in told


def test_arrows_are_said_in_words_too(page) -> None:
    for kind in ("results", "ranks"):
        table = page[page.index(f'<table class="{kind}">') :].partition("</table>")[0]
        arrows = re.findall(r"<i([^>]*)>[↓↑]</i>(<[^>]*>[a-z ]*)", table)
        assert arrows
        for attributes, after in arrows:
            assert "aria-hidden" in attributes
            assert re.fullmatch('<span class="visually-hidden">(lower|higher) is better', after)


def test_times_come_by_size_of_batch_whichever_is_faster() -> None:
    rows = [
        {"method": method, "batch": batch, "classify_ms": 9.0, "explain_ms": 9.0 * ratio, "ratio": ratio}
        for batch, ratio in ((1, 9.0), (8, 1.1))
        for method in ("sidelight", "rise")
    ]
    page = render_report(ReportData("times", sections=[ReportSection("small", timing=rows)]))
    assert re.findall(r"<caption>Batch of (\d)", page) == ["1", "8"]


@pytest.mark.parametrize(("samples", "told"), [(1, False), (50, True)])
def test_a_table_without_intervals_explains_none(samples: int, told: bool) -> None:
    ci = {} if told else {"ci95": None}
    rows = [row(method, "average_drop", 0.1, n=samples, **ci) for method in ("sidelight", "rise")]
    page = render_report(ReportData("rows", sections=[section(rows=rows)]))
    assert f"<span>n = {samples}" in page
    assert ("interval of the mean</span>" in page) == told


@pytest.mark.parametrize(("method", "signed"), [("rise", False), ("integrated_gradients", True)])
def test_the_page_says_how_its_maps_are_drawn(method: str, signed: bool) -> None:
    """Each map is stretched by itself, and half of a signed one is not shown."""
    sample = GridSample(np.zeros((8, 8, 1)), {"sidelight": np.eye(8), method: -np.eye(8)}, label="cat")
    page = render_report(ReportData("maps", sections=[section(samples=[sample], failures=[])]))
    told = "Each map is drawn from its lowest score (0) to its highest (1); brightest: a score of 1."
    assert page.count(told) == 1
    assert ("the positive part is drawn" in page) == signed


@pytest.mark.parametrize(("ratio", "told"), [(1.05, False), (1.7, True)])
def test_a_high_ratio_is_explained_beside_the_times(ratio: float, told: bool) -> None:
    """On a small model the fixed cost of a scorer is a large share."""
    row = {"method": "sidelight", "batch": 1, "classify_ms": 9.0, "explain_ms": 9.0 * ratio, "ratio": ratio}
    page = render_report(ReportData("times", sections=[ReportSection("small", timing=[row])]))
    assert ("has a fixed cost" in page) == told


def test_words_that_the_data_blanked_out_are_gaps() -> None:
    assert readable(["there is ", "no ", f"{BLANK} ", "circle"]) == ["there is ", "no ", "___ ", "circle"]
    pixels = np.zeros((2, 2, 1))
    assert readable(pixels) is pixels


def test_empty_report_still_renders():
    nothing = Page(render_report(ReportData("nothing yet")))
    assert nothing.inside("h1") == nothing.inside("title") == ["nothing yet"]
    assert nothing.inside("h3") == ["Limits"]
    assert not {"article", "table", "img"} & set(nothing.tags)
    empty = Page(render_report(ReportData("no rows", sections=[ReportSection("empty")])))
    assert empty.inside("h1") == ["no rows"]
    assert empty.tags.count("article") == 1
    assert "empty" in empty.inside("h2")
    assert empty.inside("h3") == ["Limits"]
    assert not {"table", "img"} & set(empty.tags)


def test_marks_by_hand():
    zero, blur = build_tables(by_hand())
    ranks = {
        m: zero.cell(m, "average_drop") for m in ("sidelight", "rise", "saliency", "integrated_gradients")
    }
    assert {m: c.rank for m, c in ranks.items() if c} == {
        "sidelight": 1,
        "integrated_gradients": 2,
        "saliency": 3,
        "rise": 4,
    }
    insertion = {m: zero.cell(m, "insertion_auc") for m in ("sidelight", "rise", "saliency")}
    assert {m: c.rank for m, c in insertion.items() if c} == {"sidelight": 1, "rise": 1, "saliency": 2}
    assert (blur.setting.fill, blur.cell("rise", "average_drop").rank) == ("blur", 1)
    assert blur.cell("sidelight", "average_drop").rank == 2


def test_signed_methods_show_their_better_reduction():
    zero = build_tables(by_hand())[0]
    drop = zero.cell("integrated_gradients", "average_drop")
    insertion = zero.cell("integrated_gradients", "insertion_auc")
    assert (drop.text, drop.mark, drop.other) == ("0.150", "+", ("abs", 0.4))
    assert (insertion.text, insertion.mark) == ("0.550", "|·|")


def test_controls_are_apart_and_flagged_when_unbeaten():
    zero = build_tables(by_hand())[0]
    assert [line.kind for line in zero.lines][-2:] == ["control", "control"]
    assert zero.cell("constant", "average_drop").rank is None
    assert zero.cell("constant", "average_drop").beats
    assert not zero.cell("random", "average_drop").beats
    assert zero.cell("constant", "insertion_auc") is None


def test_rows_without_fill_belong_to_every_setting():
    for table in build_tables(by_hand()):
        assert table.cell("sidelight", "sparsity").rank == 1
    alone = build_tables([r for r in by_hand() if r["metric"] == "sparsity"])
    assert [t.setting.fill for t in alone] == [""]


def test_overview_counts_what_no_fill_touches_once():
    view = overview(build_tables(by_hand()))
    by_metric = dict(zip((c.name for c in view.columns), view.standings, strict=True))
    assert [s.rank if s else None for s in by_metric["average_drop"]] == [1, 2]
    assert [(s.rank, s.span) for s in by_metric["sparsity"]] == [(1, 2)]
    assert (view.wins, view.total) == (3, 4)


def test_one_sample_has_no_interval_and_no_deviation():
    rows = [{**r, "n": 1, "sd": 0.0, "ci95": [r["mean"]] * 2} for r in by_hand()]
    tables = build_tables(rows)
    cells = [cell for table in tables for line in table.lines for cell in line.cells if cell is not None]
    assert cells
    assert {(c.n, c.ci, c.sd, c.spread) for c in cells} == {(1, None, None, "")}
    own = [line for line in markdown_table(rows).splitlines() if line.startswith("| **sidelight**")]
    assert own
    assert "±" not in "".join(own)


def test_markdown_marks_and_escapes():
    text = markdown_table([*by_hand(), row("Odd a|b<script>", "average_drop", 0.9)])
    first = text.split("### digits")[1]
    lines = {line.split("|")[1].strip(): line for line in first.splitlines() if line.startswith("|")}
    assert "**0.100** ±0.020" in lines["**sidelight**"]
    assert "**0.700**" in text
    assert "<u>0.150</u>" in lines["Integrated Gradients"]
    assert "<u>0.600</u>" in lines["Saliency"]
    assert "average drop ↓" in text
    assert "insertion ↑" in text
    assert "†" in lines["Constant"]
    assert r"a\|b&lt;script&gt;" in text
    assert text.count("### digits") == 2


def test_markdown_rows_have_equal_cells():
    for block in markdown_table(by_hand()).split("###")[1:]:
        cells = {len(re.findall(r"(?<!\\)\|", ln)) for ln in block.splitlines() if ln.startswith("|")}
        assert len(cells) == 1


def test_terminal_tables_print_brackets_as_they_are():
    console = Console(width=120, record=True, file=io.StringIO())
    for table in terminal_tables([*by_hand(), row("odd [bold]", "average_drop", 0.9)]):
        console.print(table)
    text = console.export_text()
    assert "odd [bold]" in text
    assert "0.150+" in text


def test_bad_rows_are_refused():
    with pytest.raises(InputError, match="lacks mean"):
        build_tables([{"method": "a", "metric": "srg"}])


def test_nan_means_are_left_out():
    tables = build_tables([row("a", "srg", 0.5), row("b", "srg", float("nan"))])
    assert [line.name for line in tables[0].lines] == ["a"]


def test_write_keeps_the_old_page_on_failure(tmp_path, monkeypatch):
    path = tmp_path / "run" / "report.html"
    write_report(ReportData("old"), path)
    before = path.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(CheckpointError, match="No space left"):
        write_report(ReportData("new"), path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("accuracy", 0.9812, "98.1 %"),
        ("parameters", 2_143_000, "2.14 M"),
        ("parameters", 950, "950"),
        ("seeds", [0, 1, 2], "0, 1, 2"),
        ("frozen", True, "yes"),
        ("note", None, "–"),
        ("rate", 0.00012, "0.00012"),
    ],
)
def test_facts(key, value, text):
    assert fact_value(key, value) == text
