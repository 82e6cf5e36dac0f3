"""``sidelight tables`` on the run of a real evaluation."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from cli_tools import sidelight


def test_tables_of_a_run(fitted_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "paper"
    result = sidelight("tables", fitted_run, "--out", out, "--metric", "average_drop", "--metric", "sparsity")
    assert result.code == 0, result.err
    for name in ("tables.md", "tables.csv", "tables.tex", "statistics.csv", "figures.tex", "document.tex"):
        assert (out / name).is_file(), name
        assert name in result.out
    table = pd.read_csv(out / "tables.csv").set_index(["fill", "method"])
    rows = json.loads((fitted_run / "results.json").read_text())["rows"]
    drop = next(
        r for r in rows if (r["metric"], r["fill"], r["method"]) == ("average_drop", "noise", "sidelight")
    )
    assert table.loc[("noise", "sidelight"), "average_drop.mean"] == pytest.approx(drop["mean"], abs=1e-6)
    assert list((out / "figures").glob("curves-*.png"))


def test_tables_without_figures(fitted_run: Path, tmp_path: Path) -> None:
    result = sidelight("tables", fitted_run, "--out", tmp_path / "paper", "--no-figures")
    assert result.code == 0, result.err
    assert not (tmp_path / "paper" / "figures").exists()
    # ours and Saliency alone: there is nothing to rank
    assert "note: No average ranks over all cases" in result.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere",), "sidelight evaluate"),
        ((), "{RUN}..."),
        (("RUN", "--metric", "sparsiti"), "Did you mean 'sparsity'"),
        (("RUN", "RUN"), "given twice"),
        (("RUN", "--alpha", "2"), "between 0 and 1"),
    ],
)
def test_tables_refuses(words: tuple[str, ...], message: str, fitted_run: Path, tmp_path: Path) -> None:
    given = [str(fitted_run) if w == "RUN" else w for w in words]
    result = sidelight("tables", *given, "--out", tmp_path / "paper")
    assert result.code == 2
    assert message in result.err.replace("\n", " ")
    assert "Traceback" not in result.err
    assert not (tmp_path / "paper").exists()


HELP = """
import sys
from sidelight.cli import main
sys.argv = ["sidelight", "tables", "--help"]
try:
    main()
except SystemExit as leave:
    assert not leave.code, leave.code
heavy = {"torch", "transformers", "pandas", "matplotlib", "scipy", "numpy"} & set(sys.modules)
assert not heavy, heavy
"""


def test_help_imports_nothing_heavy() -> None:
    found = subprocess.run(
        [sys.executable, "-c", HELP], capture_output=True, text=True, timeout=120, check=False
    )
    assert found.returncode == 0, found.stderr
    assert "--no-figures" in found.stdout
