"""The library works without the laboratory's packages, and names the line that installs them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet
import pytest

from sidelight.errors import MissingPackageError
from sidelight.rows.sources import rows_of

#: of the extra `lab`: `import` and `find_spec` do as if they were not installed
ABSENT = ("captum", "datasets", "jinja2", "pandas", "scipy", "sklearn", "yaml", "psutil")
#: other packages that the library uses import these where they need them themselves
BORROWED = ("yaml", "jinja2", "psutil")

LIBRARY = """
import numpy as np
import torch
from transformers import ViTConfig, ViTForImageClassification
import sidelight

torch.manual_seed(0)
size = {"image_size": 16, "patch_size": 8, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
model = ViTForImageClassification(ViTConfig(**size, intermediate_size=8, num_labels=3)).eval()
pictures = list(np.random.default_rng(0).integers(0, 256, (32, 16, 16, 3), dtype=np.uint8))
# without labels that fit, the doubt about them is told, too
rows = [{"image": p, "label": i % 3} for i, p in enumerate(pictures)]
fitted = sidelight.fit(
    model, rows, eval=rows, processor=sidelight.ImageTransform((16, 16)), epochs=1, output_dir="out",
    on_collapse="warn",
)
first = fitted.explain(pictures[0])
first.save("map.png")
fitted.save_pretrained("scorer")
loaded = sidelight.load("scorer", model)
again = loaded.explain(pictures[:2])[0]
assert np.allclose(first.map, again.map, atol=1e-5)
assert sidelight.Explanation.load("map.json").label == first.label
print("library works")

import pathlib
pathlib.Path("rows.csv").write_text("text\\na film\\n")
for call in (lambda: sidelight.fit(model, "rows.csv"), lambda: __import__("sidelight.lab.metrics")):
    try:
        call()
    except sidelight.errors.MissingPackageError as error:
        print(error)
"""

COMMAND = """
import sys
from sidelight.cli import main
main()
"""


def without(packages: tuple[str, ...], code: str, folder: Path, *words: str) -> subprocess.CompletedProcess:
    absent = f"import sys\nsys.modules.update(dict.fromkeys({packages!r}))\n"
    (folder / "without.py").write_text(absent + code)
    return subprocess.run(
        [sys.executable, "without.py", *words], cwd=folder, capture_output=True, text=True, timeout=280
    )


def test_the_library_fits_explains_saves_and_loads(tmp_path: Path) -> None:
    done = without(tuple(n for n in ABSENT if n not in BORROWED), LIBRARY, tmp_path)
    assert done.returncode == 0, done.stderr
    works, table, lab = done.stdout.strip().splitlines()[-3:]
    assert works == "library works"
    assert table.startswith("reading a CSV file needs pandas")
    assert lab.startswith("sidelight.lab needs captum, datasets, pandas, scipy, scikit-learn")
    assert table.count("pip install 'sidelight[lab]'") == lab.count("pip install 'sidelight[lab]'") == 1


def test_a_parquet_file_names_the_line_that_installs_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # within this process: pyarrow takes a module that is None for pandas
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a film"]}), tmp_path / "rows.parquet")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingPackageError, match=r"Parquet.* needs datasets, .*sidelight\[lab\]"):
        rows_of(tmp_path / "rows.parquet")


@pytest.mark.parametrize("words", [("demo",), ("fit", "config.yaml"), ("report", "run"), ("tables", "run")])
def test_a_command_that_needs_the_laboratory_names_the_line_that_installs_it(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    done = without(ABSENT, COMMAND, tmp_path, *words)
    assert done.returncode == 2, done.stderr
    assert re.search(r"captum.*pip install 'sidelight\[lab\]'", " ".join(done.stderr.split()))
    assert "Traceback" not in done.stderr


def test_help_needs_no_laboratory(tmp_path: Path) -> None:
    done = without(ABSENT, COMMAND, tmp_path, "--help")
    assert done.returncode == 0, done.stderr
    assert "explain" in done.stdout
