"""The notebooks hold no outputs, run from top to bottom without a network, and show what they say."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
NOTEBOOKS = {path.stem: path for path in sorted(FOLDER.glob("*.ipynb"))}
#: numbers that a notebook prints -> the least value each may have
SHOWN = {
    "image": {r"accuracy ([\d.]+)": 0.4, r"best pixel is ink: ([\d.]+)": 0.5},
    "image-and-text": {r"accuracy ([\d.]+)": 0.6, r"'image': ([\d.]+)": 0.0},
    "text": {r"accuracy ([\d.]+)": 0.6, r"best word is evidence: ([\d.]+)": 0.3},
}


def cells(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def test_every_notebook_is_expected_and_listed() -> None:
    assert set(NOTEBOOKS) == set(SHOWN)
    listed = (FOLDER / "index.md").read_text(encoding="utf-8")
    assert all(f"({path.name})" in listed for path in NOTEBOOKS.values())


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_holds_no_outputs(name: str) -> None:
    code = [cell for cell in cells(NOTEBOOKS[name]) if cell["cell_type"] == "code"]
    assert code
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if missing := [n for n in ("nbclient", "ipykernel") if find_spec(n) is None]:
        pytest.skip(f"notebooks need {', '.join(missing)}: pip install 'sidelight[docs]'")
    import nbformat
    from nbclient import NotebookClient

    # the kernel of this very Python, and not one that is installed for the user
    monkeypatch.setenv("JUPYTER_NO_CONFIG", "1")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "no-kernels"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "no-kernels"))
    book: Any = nbformat.read(NOTEBOOKS[name], as_version=4)
    nbformat.validate(book)
    place = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(book, timeout=240, kernel_name="python3", resources=place).execute()
    outputs = [output for cell in book.cells for output in cell.get("outputs", ())]
    told = "\n".join(o.get("text", "") or o.get("data", {}).get("text/plain", "") for o in outputs)
    for pattern, least in SHOWN[name].items():
        found = re.search(pattern, told)
        assert found, f"{pattern} is not in {told}"
        assert float(found[1]) > least, found[0]
