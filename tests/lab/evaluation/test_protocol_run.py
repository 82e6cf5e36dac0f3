"""A run under the thesis's protocols: its own folder, its own labels, and the default's results left alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from sidelight.errors import UnknownNameError
from sidelight.lab.config.files import parse_config
from sidelight.lab.evaluation.run import evaluate_run
from sidelight.lab.report import markdown_table, terminal_tables
from sidelight.lab.report.page import report_runs
from sidelight.lab.report.publication import write_publication
from sidelight.lab.report.stored import read_run, read_runs
from sidelight.lab.runs.run import Run
from tiny_runs import IMAGE, TEXT, tiny_run

LABEL = "protocol thesis, not comparable across methods"


def under(run: Run, protocol: str) -> Run:
    section = run.config.evaluation.model_copy(update={"protocol": protocol})
    return replace(run, config=run.config.model_copy(update={"evaluation": section}))


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Measured under the default, then under the thesis's protocol."""
    run = tiny_run(tmp_path_factory.mktemp("text") / "run", TEXT, report={"speed": False})
    evaluate_run(run)
    evaluate_run(under(run, "thesis"))
    return run


def test_results_lie_apart_and_say_what_they_are(text: Run) -> None:
    before, thesis = read_run(text.folder), read_run(text.folder / "protocols" / "thesis")
    assert (before.protocol, thesis.protocol) == ("sidelight", "thesis")
    assert "protocol" not in before.rows
    assert set(thesis.rows["protocol"]) == {"thesis"}
    assert set(thesis.rows["fill"]) == {"zero", "none"}
    assert set(thesis.rows["metric"]) == {"average_drop", "deletion_auc", "complexity", "sparsity"}
    units = thesis.rows.groupby("method")["granularity"].unique().str.join(" ").to_dict()
    assert units == {
        "sidelight": "token",
        "random": "token",
        "saliency": "coordinate",
        "integrated_gradients": "coordinate",
    }
    assert set(thesis.rows["reduction"]) == {"none", "signed"}
    results = under(text, "thesis").results()
    assert results["protocol"] == "thesis"
    assert results["notes"][0].startswith("Measured under protocol thesis: signed min-max")
    assert "Not comparable across methods" in results["notes"][0]
    assert {row["protocol"] for row in results["rows"]} == {"thesis"}
    assert "protocol" not in text.results()


def test_repeating_the_default_changes_nothing(text: Run) -> None:
    names = ("scores.parquet", "curves.parquet", "table.md", "results.json")
    before = [(text.folder / name).read_bytes() for name in names]
    evaluate_run(text)
    assert [(text.folder / name).read_bytes() for name in names] == before


def test_every_table_and_the_page_carry_the_label(text: Run, tmp_path: Path) -> None:
    rows = under(text, "thesis").results()["rows"]
    headings = [line for line in markdown_table(rows).splitlines() if line.startswith("###")]
    assert len(headings) == 2  # by coordinate, by token
    assert all(LABEL in line for line in headings)
    assert all(LABEL in str(table.title) for table in terminal_tables(rows))
    assert "**0" not in markdown_table(rows), "numbers that do not compare have no best"
    assert LABEL not in markdown_table(text.results()["rows"])
    page = report_runs([under(text, "thesis")], tmp_path / "page.html", "A page").read_text()
    assert page.count(LABEL) >= 2
    assert "Not comparable across methods: gradient methods" in page
    assert "faithfulness comparisons" not in page
    assert "logit of the predicted class" in page
    assert "probability of the predicted class" not in page


def test_tables_of_both_protocols_keep_them_apart(text: Run, tmp_path: Path) -> None:
    folders = [text.folder, text.folder / "protocols" / "thesis"]
    assert [r.dataset for r in read_runs(folders)] == ["tiny", "tiny, thesis"]
    assert [r.data for r in read_runs(folders)] == ["planted_text"] * 2
    write_publication(folders, tmp_path / "out", figures=False)
    markdown = (tmp_path / "out" / "tables.md").read_text()
    assert f"tiny, thesis ({LABEL})" in markdown
    assert f"tiny, thesis ({LABEL})" in (tmp_path / "out" / "tables.tex").read_text()
    table = pd.read_csv(tmp_path / "out" / "tables.csv", keep_default_na=False)
    assert set(table[table["dataset"] == "tiny, thesis"]["protocol"]) == {LABEL}
    assert set(table[table["dataset"] == "tiny"]["protocol"]) == {""}
    tests = pd.read_csv(tmp_path / "out" / "statistics.csv")
    assert set(tests[tests["dataset"] == "tiny, thesis"]["method"]) == {"random"}  # of our own unit
    assert "tiny, thesis" not in set(pd.read_csv(tmp_path / "out" / "cases.csv")["dataset"])


def test_images_under_the_later_protocol_compare(tmp_path: Path) -> None:
    run = under(tiny_run(tmp_path / "run", IMAGE), "thesis-later")
    rows = evaluate_run(run)["rows"]
    assert {row["metric"] for row in rows} == {
        "average_drop_relative",
        "increase_in_confidence",
        "deletion_auc",
        "insertion_auc",
        "complexity",
        "sparsity",
        "iou",
    }
    assert {row["granularity"] for row in rows} == {"pixel"}
    text = markdown_table(rows)
    assert "protocol thesis-later" in text
    assert "not comparable" not in text
    assert "**" in text
    assert not (tmp_path / "run" / "results.json").exists()


def test_unknown_protocols_are_refused_before_anything_is_measured(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run", IMAGE)
    with pytest.raises(UnknownNameError, match="Did you mean 'thesis'"):
        evaluate_run(under(run, "thesiss"))
    assert parse_config({"data": {"name": "digits"}, "target": {}}).evaluation.protocol == "sidelight"
