"""``sidelight ablate`` on images: from a configuration to a table, and its refusals."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cli_tools import MICRO, sidelight, write_config

VARIANTS: dict[str, Any] = {
    # drives every score below the ReLU: a real collapse
    "flat": {
        "scorer.sigmoid": False,
        "scorer.rescale": False,
        "objective.magnitude_weight": 1000.0,
        "training.learning_rate": 1.0,
        "training.epochs": 3,
    },
    "full": [],
    "smaller": ["scorer.channels=[4]"],
}
ABLATION = {"seeds": [3], "variants": VARIANTS, "count": 6, "curve_count": 4, "steps": 2, "fills": ["zero"]}
#: the ablation lets a collapse pass whatever the run says
TRAINING = {**MICRO["training"], "on_collapse": "stop"}


def given(folder: Path, **sections: Any) -> Path:
    own = {"ablation": {**ABLATION, "samples": 2}, "training": TRAINING, "objective": "thesis"}
    return write_config(folder, **{**own, **sections})


@pytest.fixture(scope="module")
def ablated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder after ``ablate --only full``, then ``ablate``; not to be changed."""
    folder = tmp_path_factory.mktemp("ablate")
    for words in (("--only", "full"), ()):
        result = sidelight("ablate", given(folder), "--out", folder / "run", *words)
        assert result.code == 0, result.err + result.out
        (folder / f"said-{len(words)}.txt").write_text(result.out)
    return folder / "run"


@pytest.fixture
def run(ablated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(ablated, tmp_path / "run"))


def test_only_some_then_the_rest(ablated: Path) -> None:
    first, second = ((ablated.parent / f"said-{n}.txt").read_text() for n in (2, 0))
    assert "digits · image · by pixel · n = 4 to 6, zero fill" in first
    # what the table file says below its tables stands below those of the terminal
    told = (
        "note: Not trained, or not measured as the configuration says now: flat (seed 3); smaller (seed 3)."
    )
    assert told in first.splitlines()
    assert "smaller" not in first.replace(told, "")
    assert "smaller" in second
    assert "note:" not in second
    assert "flat †" in second
    table = json.loads((ablated / "ablation" / "table.json").read_text())
    assert [v["name"] for v in table["variants"]] == list(VARIANTS)
    assert table["notes"] == []
    assert {"auprc", "pointing_game", "constant_map"} <= {r["metric"] for r in table["rows"]}
    assert all(r["seeds"] == 1 for r in table["rows"])


def test_a_collapse_is_measured_and_said(ablated: Path) -> None:
    table = json.loads((ablated / "ablation" / "table.json").read_text())
    numbers = {(r["method"], r["metric"]): r["mean"] for r in table["rows"]}
    assert [v["collapsed"] for v in table["variants"]] == [[3], [], []]
    assert numbers["flat", "constant_map"] >= 0.5
    assert numbers["flat", "mean_as_given"] < 0.01
    assert numbers["full", "constant_map"] == numbers["smaller", "constant_map"] == 0
    line = next(x for x in (ablated / "ablation" / "table.md").read_text().splitlines() if "| flat" in x)
    assert line.endswith("| 1 of 1 collapsed |")
    assert "**" not in line


def test_the_picture_has_a_row_a_variant(ablated: Path) -> None:
    width, height = Image.open(ablated / "ablation" / "maps.png").size
    assert height / width > 1.1  # four rows of square images, two of them and the names across


def test_again_trains_nothing(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidelight.explainer.train_scorer", None)
    monkeypatch.setattr("sidelight.lab.runs.run.train_classifier", None)
    monkeypatch.setattr("sidelight.lab.evaluation.loop.evaluate_batch", None)
    before = (run / "ablation" / "table.json").read_text()
    assert sidelight("ablate", given(run.parent), "--out", run).code == 0
    assert (run / "ablation" / "table.json").read_text() == before


def test_tables_without_a_model(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidelight.lab.runs.run.Run.open_target", None)
    before = (run / "ablation" / "table.md").read_text()
    (run / "ablation" / "table.md").unlink()
    result = sidelight("ablate", given(run.parent), "--out", run, "--table-only")
    assert result.code == 0, result.err
    assert (run / "ablation" / "table.md").read_text() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--only", "smalle"), "Did you mean 'smaller'"),
        (("--set", "ablation.variants.odd=[data.train=9]"), "'data.train' cannot be changed by a variant"),
        (("--set", "ablation.variants.odd={target.tokenizer: x}"), "scorer, objective, training"),
        (("--set", "ablation.variants={}"), "config ablation.variants"),
        (("--set", "ablation.variant=3"), "Did you mean 'variants'"),
        (("--set", "ablation.seeds=[]"), "config ablation.seeds"),
        (("--set", "ablation.count=0"), "config ablation.count"),
        (("--set", "ablation.metrics=[drop]"), "unknown metric 'drop'"),
        (("--table-only",), "run `sidelight ablate` first"),
    ],
)
def test_refusals_come_before_anything_is_written(
    words: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    result = sidelight("ablate", given(tmp_path), "--out", tmp_path / "run", *words)
    assert result.code == 2
    assert message in result.err.replace("\n", " ")
    assert "Traceback" not in result.err
    assert not (tmp_path / "run").exists()


def test_a_folder_of_another_run(run: Path) -> None:
    before = (run / "config.yaml").read_text()
    result = sidelight("ablate", given(run.parent), "--out", run, "--set", "objective.calibration=fixed")
    assert result.code == 2
    assert "objective differ(s)" in result.err.replace("\n", " ")
    assert (run / "config.yaml").read_text() == before


HELP = """
import sys
from sidelight.cli import main
sys.argv = ["sidelight", "ablate", "--help"]
try:
    main()
except SystemExit as leave:
    assert not leave.code, leave.code
heavy = {"torch", "transformers", "pandas", "matplotlib", "datasets", "numpy"} & set(sys.modules)
assert not heavy, heavy
"""


def test_help_imports_nothing_heavy() -> None:
    found = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr
    assert "--only" in found.stdout
