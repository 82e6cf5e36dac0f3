"""Every example in a docstring runs and gives what it says."""

from __future__ import annotations

import doctest
import importlib
import inspect
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
#: only modules with an example are imported, as importing all of them takes half a minute
MODULES = sorted(path for path in SOURCE.rglob("*.py") if ">>> " in path.read_text(encoding="utf-8"))

#: modules that cannot be imported without the package of an extra
NEEDS = {
    "sidelight.live.page": "gradio",
    "sidelight.live.widget": "anywidget",
    "sidelight.serving.running": "uvicorn",
}


def name_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("name", map(name_of, MODULES))
def test_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # an example may write files
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    module = importlib.import_module(name)
    found = doctest.testmod(module, optionflags=FLAGS)
    assert not found.failed
    lines = inspect.getsource(module).splitlines()
    assert found.attempted == sum(">>> " in line and "+SKIP" not in line for line in lines)
