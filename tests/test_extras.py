"""Each package of an extra that is not installed is named, with the line that installs it."""

from __future__ import annotations

import importlib
import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pytest

from face_toys import TRANSFORM, beside, image_model, pixels
from sidelight import Explainer
from sidelight.errors import MissingPackageError
from sidelight.rows.sources import rows_of
from sidelight.targets import as_target

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
Use = Callable[[Explainer, Path], Any]


def fit(explainer: Explainer, folder: Path) -> Any:
    options: dict[str, Any] = {"report_to": ["tensorboard"], "output_dir": folder / "run"}
    rows = [{"pixel_values": picture, "label": 0} for picture in pixels(8)]
    return Explainer.fit(image_model(), rows, processor=TRANSFORM, **options)


def laboratory(explainer: Explainer, folder: Path) -> Any:
    return importlib.import_module("sidelight.lab")


def csv(explainer: Explainer, folder: Path) -> Any:
    (folder / "rows.csv").write_text("text\na film\n")
    return rows_of(folder / "rows.csv")


def export(explainer: Explainer, folder: Path) -> Any:
    return explainer.export(folder / "model.onnx")


def service(explainer: Explainer, folder: Path) -> Any:
    return importlib.import_module("sidelight.serving").app({"films": explainer})


def site(explainer: Explainer, folder: Path) -> Any:
    return runpy.run_path(str(ROOT / "docs" / "make_site.py"))["build"](folder / "site")


#: extra, package that is not installed -> what a user does, and how the error begins
USES: dict[tuple[str, str], list[tuple[Use, str]]] = {
    **{
        ("lab", name): [(laboratory, "sidelight.lab needs")]
        for name in ("captum", "jinja2", "pyyaml", "scikit-learn", "scipy")
    },
    ("lab", "pandas"): [(laboratory, "sidelight.lab needs"), (csv, "reading a CSV file needs")],
    ("lab", "datasets"): [
        (laboratory, "sidelight.lab needs"),
        (lambda e, f: rows_of("owner/name"), "reading a data set of the hub needs"),
        (lambda e, f: rows_of(pyarrow.table({"text": ["a film"]})), "reading a Parquet file"),
    ],
    **{
        ("onnx", name): [(export, "writing an ONNX file needs")]
        for name in ("onnx", "onnxruntime", "onnxscript")
    },
    ("widget", "anywidget"): [(lambda e, f: e.widget(pixels(1)[0]), "the widget needs")],
    ("app", "gradio"): [(lambda e, f: e.demo(), "the page needs")],
    **{
        ("serve", name): [(service, "the service needs")]
        for name in ("fastapi", "prometheus-client", "python-multipart", "starlette", "uvicorn")
    },
    ("ray", "ray"): [
        (
            lambda e, f: e.explain_dataset(list(pixels(2)), f / "out", engine="ray"),
            "explaining rows on a Ray cluster needs",
        )
    ],
    ("tensorboard", "tensorboard"): [(fit, "report_to=['tensorboard'] needs")],
    **{
        ("docs", name): [(site, "the documentation's site needs")]
        for name in ("furo", "myst-parser", "sphinx", "sphinx-copybutton")
    },
}
#: packages of which a test says that they are missing, as only tests use them
OF_TESTS = {("docs", "ipykernel"), ("docs", "nbclient")}
CASES = [(extra, name, use, start) for (extra, name), uses in USES.items() for use, start in uses]
#: names under which packages are imported, if they differ from those under which they are installed
IMPORTED = {
    "prometheus-client": "prometheus_client",
    "python-multipart": "python_multipart",
    "pyyaml": "yaml",
    "scikit-learn": "sklearn",
    "myst-parser": "myst_parser",
    "sphinx-copybutton": "sphinx_copybutton",
}


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return beside(as_target(image_model(), TRANSFORM), {"pixel_values": pixels(1)}, True)


@pytest.fixture
def hide(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes `import` and `find_spec` do as if a package were not installed."""

    def hidden(name: str) -> None:
        for module in [m for m in sys.modules if m == "sidelight.lab" or m.startswith("sidelight.lab.")]:
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.setitem(sys.modules, IMPORTED.get(name, name), None)

    return hidden


def test_every_package_of_every_extra_has_a_case() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = {
        (extra, re.split(r"[<>=]", package)[0])
        for extra, packages in project["optional-dependencies"].items()
        for package in packages
        if extra != "dev"
    }
    assert listed == set(USES) | OF_TESTS


@pytest.mark.parametrize(
    ("extra", "name", "use", "start"), CASES, ids=[f"{c[0]}-{c[1]}-{i}" for i, c in enumerate(CASES)]
)
def test_a_missing_package_is_named_with_the_line_that_installs_it(
    extra: str,
    name: str,
    use: Use,
    start: str,
    explainer: Explainer,
    hide: Callable[[str], None],
    tmp_path: Path,
) -> None:
    hide(name)
    with pytest.raises(MissingPackageError) as caught:
        use(explainer, tmp_path)
    told = str(caught.value)
    assert told.startswith(start)
    assert re.search(rf"\b{re.escape(name)}\b", told), told
    assert told.endswith(f"pip install 'sidelight[{extra}]'")
