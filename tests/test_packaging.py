"""Wheel and source distribution: what they hold, what they say of themselves, and that the wheel imports cleanly."""

from __future__ import annotations

import email
import re
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from importlib.util import find_spec
from pathlib import Path

import pytest

from sidelight.core.version import __version__

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
#: what the code reads beside its modules
DATA = {
    *(f"sidelight/lab/demo/{name}.yaml" for name in ("digits", "planted_text", "quick", "scenes")),
    *(f"sidelight/lab/report/templates/{name}.html.j2" for name in ("gallery", "macros", "report")),
    *("sidelight/live/widget.js", "sidelight/live/widget.css", "sidelight/live/page.css"),
    *("sidelight/lab/report/templates/report.css", "sidelight/cli/names.json", "sidelight/py.typed"),
}
EXTRAS = {"app", "dev", "docs", "lab", "onnx", "ray", "serve", "tensorboard", "widget"}
VERSIONS = ("3.10", "3.11", "3.12", "3.13")
#: what no package may bring along
FOREIGN = re.compile(r"^(runs|site|demo-out|dist|\.venv|\.git)/|(^|/)(node_modules|__pycache__)/")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("hatchling") is None, reason="needs hatchling: pip install 'sidelight[dev]'"
    ),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both files, as `python -m build --no-isolation` makes them."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.ZipFile:
    (path,) = built.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = (n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(wheel.read(name))


def test_the_wheel_holds_every_module_and_file_of_data(wheel: zipfile.ZipFile) -> None:
    names = {n for n in wheel.namelist() if ".dist-info/" not in n}
    modules = {path.relative_to(SOURCE).as_posix() for path in (SOURCE / "sidelight").rglob("*.py")}
    assert names == modules | DATA


def test_the_wheel_brings_its_command_and_licence(wheel: zipfile.ZipFile) -> None:
    folder = next(n.partition("/")[0] for n in wheel.namelist() if ".dist-info/" in n)
    assert b"sidelight = sidelight.cli:main" in wheel.read(f"{folder}/entry_points.txt")
    assert wheel.read(f"{folder}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()


def test_the_source_distribution_holds_what_a_build_and_the_tests_need(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {
        "pyproject.toml",
        "packaging_readme.py",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "tests/conftest.py",
    }
    assert names >= wanted | {f"src/{name}" for name in DATA}
    assert not {name for name in names if FOREIGN.search(name)}


def test_metadata(metadata: Message) -> None:
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.10"
    assert set(metadata.get_all("Provides-Extra") or ()) == EXTRAS
    told = metadata.get_all("Classifier") or []
    assert all(f"Programming Language :: Python :: {version}" in told for version in VERSIONS)
    needed = [r for r in metadata.get_all("Requires-Dist") or () if "extra ==" not in r]
    measuring = re.compile(r"^(captum|datasets|pandas|scikit-learn|scipy|gradio|onnx|anywidget|sphinx)\b")
    assert not [r for r in needed if measuring.match(r)]


def test_the_readme_renders_and_its_links_hold_outside_of_the_repository(metadata: Message) -> None:
    from markdown_it import MarkdownIt

    assert metadata["Description-Content-Type"] == "text/markdown"
    page = MarkdownIt("commonmark").enable("table").render(str(metadata.get_payload()))
    targets = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(targets) > 20
    assert not [target for target in targets if not target.startswith("https://")]
    assert "raw.githubusercontent.com/sidelight-dev/sidelight/main/docs/images/digits.png" in page
    assert page.count("<table>") == (ROOT / "README.md").read_text(encoding="utf-8").count("\n\n|")


def test_the_wheel_imports_without_a_warning(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import sidelight; assert sidelight.__file__.startswith(sys.argv[1]);"
        "import importlib.resources as r; print(sidelight.__version__, (r.files('sidelight') / 'py.typed').is_file())"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [__version__, "True"]


def test_pip_builds_the_wheel_without_a_network(tmp_path: Path) -> None:
    """`pip wheel` takes the backend that is installed, and fetches nothing."""
    command = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--no-index", "-w"]
    done = subprocess.run([*command, str(tmp_path), str(ROOT)], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert [path.suffix for path in tmp_path.iterdir()] == [".whl"]
