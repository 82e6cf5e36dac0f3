"""Every example in a docstring runs and gives what it says."""

from __future__ import annotations

import doctest
import importlib
import inspect
from pathlib import Path

import pytest

from example_stage import Stage, taken

SOURCE = Path(__file__).parents[1] / "src"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
#: only modules with an example are imported, as importing all of them takes half a minute
MODULES = sorted(path for path in SOURCE.rglob("*.py") if ">>> " in path.read_text(encoding="utf-8"))

#: modules with examples that need the packages of an extra
NEEDS = {
    "sidelight.explanations.explanation": ["anywidget"],
    "sidelight.faces.captum": ["captum"],
    "sidelight.live.page": ["gradio"],
    "sidelight.live.playing": ["gradio", "anywidget"],
    "sidelight.live.widget": ["anywidget"],
    "sidelight.serving.building": ["fastapi"],
    "sidelight.serving.running": ["fastapi", "uvicorn"],
}


def name_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(tmp_path_factory.mktemp("stage"))


@pytest.mark.parametrize("name", map(name_of, MODULES))
def test_examples(name: str, stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # an example may write files
    for package in NEEDS.get(name, ()):
        pytest.importorskip(package)
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    # `load` is another name of a method
    once = {test.docstring: test for test in doctest.DocTestFinder().find(module)}
    for number, found in enumerate(once.values()):
        source = "".join(example.source for example in found.examples)
        wanted = taken(source, found.globs)
        if wanted:
            place = tmp_path / str(number)
            place.mkdir()
            monkeypatch.chdir(place)
            found.globs.update(stage.names(wanted, source, place))
        runner.run(found)
    done = runner.summarize(verbose=False)
    assert not done.failed
    lines = inspect.getsource(module).splitlines()
    assert done.attempted == sum(">>> " in line and "+SKIP" not in line for line in lines)
