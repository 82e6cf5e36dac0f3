"""The scripts in `examples/` run from any folder, are short, and are named in the table beside them."""

from __future__ import annotations

import importlib
import runpy
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import matplotlib
import pytest

FOLDER = Path(__file__).parents[2] / "examples"
SCRIPTS = {path.stem: path for path in sorted(FOLDER.glob("*.py")) if path.stem != "tiny"}
#: a script that needs the packages of an extra beyond `lab`
NEEDS = {"live_app": "gradio", "live_widget": "anywidget", "serve_client": "prometheus_client"}
#: words that a script prints, and files that it leaves
EXPECTED = {
    "in_captum": (["attributions (4, 3, 32, 32)", "infidelity", "sensitivity"], ["in-captum.png"]),
    "in_quantus": (["sidelight", "IntegratedGradients", "faithfulness"], []),
    "in_transformers": (["charming", "because of"], ["in-transformers.png", "in-transformers.json"]),
    "live_app": (["page: http://127.0.0.1:"], []),
    "live_widget": (["kept    ['charming'] good", "without charming:", "asked   good"], ["live-widget.html"]),
    "many_rows": (
        ["101 rows; row 100: this row is empty", "review-3: good", "charming"],
        ["explained/manifest.json"],
    ),
    "on_the_hub": (
        ["README.md", "scorer.safetensors", "library_name", "the same map: True"],
        ["my-scorer/README.md"],
    ),
    "serve_client": (["serving http://127.0.0.1:", "because of charming good", "422 option"], []),
    "side_by_side": (["| **sidelight** |", "Occlusion"], ["side-by-side.html", "side-by-side.png"]),
}


def test_every_script_is_expected_and_listed() -> None:
    assert set(SCRIPTS) == set(EXPECTED)
    listed = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}.py`" in listed for name in SCRIPTS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_short(name: str) -> None:
    assert len(SCRIPTS[name].read_text(encoding="utf-8").splitlines()) < 30


@pytest.fixture(scope="module")
def tiny() -> Iterator[None]:
    """The stand-ins that scripts import. Each explainer is fitted once for all scripts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        module = importlib.import_module("tiny")
        patch.setitem(sys.modules, "tiny", module)
        for name in ("image_explainer", "text_explainer"):
            patch.setattr(module, name, cache(getattr(module, name)))
        yield
    sys.modules.pop("tiny", None)


@pytest.mark.slow
@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    matplotlib.use("agg")
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(SCRIPTS[name]), run_name="__main__")
    printed, (words, files) = capsys.readouterr().out, EXPECTED[name]
    assert [word for word in words if word not in printed] == []
    assert [file for file in files if not (tmp_path / file).is_file()] == []
