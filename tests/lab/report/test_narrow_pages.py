"""Pages in a real browser: nothing makes them wider than a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from live_browser import CHROMIUM, chromium, watched
from sidelight.explanations.explanation import Explanation
from sidelight.lab.figures.grid import GridSample
from sidelight.lab.report import ReportData, ReportSection, write_report
from sidelight.lab.side_by_side.result import Comparison, Contender
from sidelight.lab.side_by_side.worth import Worth

pytest.importorskip("playwright", reason="playwright is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")]

LONG = "donaudampfschifffahrt" * 15


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


def width_of(browser: Any, path: Path) -> int:
    page = watched(browser, viewport={"width": 360, "height": 700})
    page.goto(path.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.errors == []
    return int(page.evaluate("document.documentElement.scrollWidth"))


def sample() -> GridSample:
    return GridSample(
        [f"{LONG} ", "film"], {"sidelight": np.array([0.1, 0.9])}, LONG, 0.9, "x", modality="text"
    )


def test_a_report_with_long_names_is_no_wider_than_the_screen(browser: Any, tmp_path: Path) -> None:
    about = {"dataset": LONG, "modality": "text", "reduction": "none", "granularity": "token", "n": 5}
    rows = [
        {
            **about,
            "method": method,
            "fill": fill,
            "metric": metric,
            "mean": 0.1,
            "ci95": [0.0, 0.2],
            "sd": 0.1,
        }
        for method in ("sidelight", LONG)
        for fill in ("zero", LONG)
        for metric in ("average_drop", "insertion_auc", "deletion_auc", "complexity", "mean_score", LONG)
    ]
    section = ReportSection(
        LONG, "text", rows, samples=[sample()], notes=[LONG], target={"name": LONG}, config=LONG
    )
    page = write_report(ReportData(LONG, LONG, [section, section], LONG), tmp_path / "report.html")
    assert width_of(browser, page) == 360


def test_a_comparison_with_long_names_is_no_wider_than_the_screen(browser: Any, tmp_path: Path) -> None:
    own = Explanation({"text": np.array([0.1, 0.9])}, {"text": ["a ", "b"]}, 1, LONG, 0.9)
    worth = Worth({"zero": (0.9, "none")}, {"zero": (0.1, "none")}, None)
    contenders = tuple(Contender(name, 1.0, 1, 0, worth) for name in ("sidelight", LONG))
    found = Comparison(own, contenders, (sample(),), LONG, 0.9, 0.1, ("zero",), (LONG,))
    assert width_of(browser, found.save(tmp_path / "page.html")) == 360
