"""Every Python example of README and docs runs, page by page, in a folder of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from example_models import names
from sidelight.core.registry import Registry
from sidelight.core.types import MODALITIES
from sidelight.fills.base import DEFAULT_FILLS, FILLS
from sidelight.lab.audit import CHECKS
from sidelight.lab.baselines.base import RIVALS
from sidelight.lab.data.sets import DATASETS
from sidelight.lab.metrics import METRICS
from sidelight.scorers.base import DECODERS
from sidelight.targets.families import TARGETS

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: the first line of an example that loads something from the hub: it is compiled and not run
HUB = "# needs the hub"
#: the same for packages of an extra: it is compiled only if they are missing
EXTRAS = {
    "# needs the extra app": ("gradio",),
    "# needs the extra onnx": ("onnx", "onnxruntime", "onnxscript"),
    "# needs the extra ray": ("ray",),
    "# needs the extra serve": ("fastapi", "uvicorn", "python_multipart", "prometheus_client"),
    "# needs the extra widget": ("anywidget",),
    "# needs Ray": ("ray", "prometheus_client"),
    "# needs Spark": ("pyspark",),
}
REGISTRIES: tuple[Registry[Any], ...] = (
    *FILLS.values(),
    RIVALS,
    METRICS,
    DATASETS,
    TARGETS,
    CHECKS,
    DECODERS,
)


def documents() -> Iterator[Path]:
    """README, CONTRIBUTING, ARCHITECTURE and every page in docs that holds an example."""
    for path in (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))):
        if BLOCK.search(path.read_text(encoding="utf-8")):
            yield path.relative_to(ROOT)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a clone's docs and configs to run in; what an example registers is gone after it."""
    for name in ("docs", "configs"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    for registry in REGISTRIES:
        monkeypatch.setattr(registry, "_entries", dict(registry.items()))
    with patch.dict(FILLS), patch.dict(DEFAULT_FILLS), patch.dict(MODALITIES):  # of new modalities
        yield tmp_path


def as_in_the_quick_start(folder: Path) -> dict[str, Any]:
    """The names of examples as a reader of the quick start has them: a folder, a data set, pairs that name files."""
    from datasets import Dataset

    given = names(folder)
    (folder / "my-photos").mkdir()
    for i, row in enumerate(given["photos"]):
        row["image"].save(folder / "my-photos" / f"{i:02}.jpg")
    for i in (1, 2):
        given["photos"][i]["image"].save(folder / f"photo-{i}.jpg")
    texts = {
        "sentence": [row["text"] for row in given["texts"]],
        "label": [row["label"] for row in given["texts"]],
    }
    pairs = [{"image": f"photo-{1 + i % 2}.jpg", "text": row["text"]} for i, row in enumerate(given["pairs"])]
    return {**given, "photos": Path("my-photos"), "texts": Dataset.from_dict(texts), "pairs": pairs}


def lacks_packages(code: str) -> bool:
    """Whether an example needs an extra that is not installed here."""
    needed = EXTRAS.get(code.partition("\n")[0], ())
    return any(find_spec(name) is None for name in needed)


@pytest.mark.parametrize("page", documents(), ids=str)
def test_examples_run(page: Path, here: Path) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    space = as_in_the_quick_start(here)
    for match in BLOCK.finditer(text):
        code = match.group(1)
        line = text[: match.start()].count("\n") + 1
        # empty lines first, so that an error names the line of the page
        compiled = compile("\n" * line + code, str(page), "exec")
        if not code.startswith(HUB) and not lacks_packages(code):
            exec(compiled, space)
