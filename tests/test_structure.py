"""How the source is built: the rooms keep their size, functions are short, and the library needs no laboratory."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slow_tests import is_slow, slow_tests

SOURCE = Path(__file__).parents[1] / "src" / "sidelight"
MODULES = {
    path.relative_to(SOURCE).as_posix(): path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py")
}
TREES = {name: ast.parse(text) for name, text in MODULES.items()}
LINES = {name: len(text.splitlines()) for name, text in MODULES.items()}


def room_of(name: str) -> str:
    """`core`, `lab/metrics`, ...: the folder of a module, and of the laboratory the folder in it."""
    parts = name.split("/")
    return "/".join(parts[: 2 if parts[0] == "lab" else 1][: len(parts) - 1])


def length_without_docstring(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = function.body[0]
    told = ast.get_docstring(function) is not None
    lines = (function.end_lineno or 0) - function.lineno + 1
    return lines - ((first.end_lineno or 0) - first.lineno + 1 if told else 0)


def nodes(kind: type | tuple[type, ...]) -> Iterator[tuple[str, Any]]:
    """Every node of a kind, with the module that holds it."""
    for name, tree in TREES.items():
        yield from ((name, node) for node in ast.walk(tree) if isinstance(node, kind))


def test_few_modules_at_the_top() -> None:
    top = sorted(name for name in MODULES if "/" not in name)
    assert len(top) <= 5, top


def test_no_room_holds_more_than_twelve_percent() -> None:
    rooms: Counter[str] = Counter()
    for name, lines in LINES.items():
        rooms[room_of(name)] += lines
    whole = sum(LINES.values())
    large = {room: f"{lines / whole:.1%}" for room, lines in rooms.items() if lines > 0.12 * whole}
    assert not large


def test_modules_are_short() -> None:
    assert not {name: lines for name, lines in LINES.items() if lines > 400}


def test_functions_are_short() -> None:
    found = nodes((ast.FunctionDef, ast.AsyncFunctionDef))
    assert not {
        f"{name}:{f.lineno} {f.name}": n for name, f in found if (n := length_without_docstring(f)) > 40
    }


def test_no_conditional_inside_a_conditional() -> None:
    nested = [
        f"{name}:{outer.lineno}"
        for name, outer in nodes(ast.IfExp)
        if any(isinstance(inner, ast.IfExp) for inner in ast.walk(outer) if inner is not outer)
    ]
    assert not nested


def test_every_module_says_what_it_is_for() -> None:
    assert not [name for name, tree in TREES.items() if not ast.get_docstring(tree)]


def test_the_library_imports_nothing_of_the_laboratory() -> None:
    found = [
        f"{name}:{node.lineno}"
        for name, node in nodes((ast.Import, ast.ImportFrom))
        if not name.startswith(("lab/", "cli/")) and name != "__main__.py"  # which is the command
        for module in (
            [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
        )
        if module.startswith(("sidelight.lab", "sidelight.cli"))
    ]
    assert not found


def test_imports_keep_to_the_layers() -> None:
    """The contracts of `pyproject.toml`, as `make lint` checks them."""
    command = shutil.which("lint-imports", path=Path(sys.executable).parent)
    if command is None:
        pytest.skip("import-linter is not installed")
    path = {"PYTHONPATH": str(SOURCE.parent)}
    run = subprocess.run(
        [command, "--no-cache"], cwd=SOURCE.parents[1], env=path, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_slow_test_exists() -> None:
    for name in slow_tests():
        path, _, test = name.partition("::")
        function = test.rpartition("::")[2].partition("[")[0]
        assert f"def {function}(" in (Path(__file__).parents[1] / path).read_text(encoding="utf-8"), name


def test_a_listed_name_stands_for_its_cases() -> None:
    listed = frozenset(["tests/a.py::test_one", "tests/a.py::test_two[x]"])
    assert is_slow("tests/a.py::test_one", listed)
    assert is_slow("tests/a.py::test_one[y]", listed)
    assert is_slow("tests/a.py::test_two[x]", listed)
    assert not is_slow("tests/a.py::test_two[z]", listed)
    assert not is_slow("tests/a.py::test_two", listed)
