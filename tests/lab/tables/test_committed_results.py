"""The committed tables are those that the code makes from the committed numbers, byte for byte."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest

from sidelight.core.files import read_json
from sidelight.lab.ablation.table import build_ablation_tables, csv_text, page
from sidelight.lab.audit.run import write_page
from sidelight.lab.runs.run import Run
from sidelight.lab.tables.comparison import build_comparisons
from sidelight.lab.tables.markdown import escape, markdown
from sidelight.lab.tables.summary import markdown_table

RESULTS = Path(__file__).parents[3] / "results"
RUNS = sorted(path.parent.name for path in RESULTS.glob("*/results.json"))
ABLATIONS = sorted(str(path.parent.relative_to(RESULTS)) for path in RESULTS.glob("*/*/table.csv"))
#: rows about the map as the scorer gives it, which have no granularity
AS_GIVEN = ("constant_map", "mean_as_given")


@pytest.mark.parametrize("name", RUNS)
def test_table_of_a_run(name: str) -> None:
    rows = read_json(RESULTS / name / "results.json")["rows"]
    assert markdown_table(rows) == (RESULTS / name / "table.md").read_text()


def summary_of(line: dict[str, str], dataset: str) -> list[dict[str, Any]]:
    """The summary rows behind one line of an ablation's CSV."""
    rows = []
    for key in (k.removesuffix(".mean") for k, v in line.items() if k.endswith(".mean") and v):
        metric, _, fill = key.partition(".")
        sd = line[f"{key}.sd"]
        rows.append(
            {
                "dataset": dataset,
                "modality": line["modality"],
                "granularity": "none" if metric in AS_GIVEN else line["granularity"],
                "method": line["variant"],
                "metric": metric,
                "fill": fill or "none",
                "mean": float(line[f"{key}.mean"]),
                "seed_sd": float(sd) if sd else None,
                "n": int(line[f"{key}.n"]),
                "seeds": int(line["seeds"]),
            }
        )
    return rows


@pytest.mark.parametrize("name", ABLATIONS)
def test_tables_of_an_ablation(name: str) -> None:
    text, stored = ((RESULTS / name / f"table.{kind}").read_text() for kind in ("md", "csv"))
    lines = list(csv.DictReader(stored.splitlines()))
    dataset = text.removeprefix("### ").split(" · ")[0]
    variants = {
        line["variant"]: {"name": line["variant"], **{k: [0] * int(line[k]) for k in ("seeds", "collapsed")}}
        for line in lines
    }
    summary = [row for line in lines for row in summary_of(line, dataset)]
    tables = build_ablation_tables(summary, list(variants.values()))
    assert csv_text(tables, list(variants.values())) == stored
    made = page(tables)
    assert text.startswith(made)  # what may follow are notes about single seeds


def test_page_of_an_audit(tmp_path: Path) -> None:
    folder = RESULTS / "mnist" / "audit"
    for path in folder.glob("*.json"):
        shutil.copy(path, tmp_path)
    write_page(Run.open(RESULTS / "mnist"), tmp_path)
    assert (tmp_path / "audit.md").read_text() == (folder / "audit.md").read_text()
    assert {p.name for p in tmp_path.iterdir()} == {p.name for p in folder.iterdir()}


def test_tables_of_several_runs() -> None:
    """Those whose runs are all committed; the file has more, and rankings that need values of single samples."""
    text = (RESULTS / "benchmark" / "tables.md").read_text()
    order = ["mnist", "cifar10", "imagenette", "imdb", "tweets", "flickr8k", "esnlive", "nlvr", "digits"]
    later = ["two_digits"]  # measured after that file, with another objective
    names = [*order, *(name for name in RUNS if name not in (*order, *later))]
    rows = [row for name in names for row in read_json(RESULTS / name / "results.json")["rows"]]
    made = [f"### {escape(c.title)}\n\n{markdown(c.table)}\n" for c in build_comparisons(rows)[0]]
    complete = [block for block in made if f"{block.splitlines()[0]}\n" in text]
    assert len(complete) == 15
    assert all(block in text for block in complete)
