"""`examples/onnx_web/index.html` in a real browser: the same verdict, probabilities and map as in Python.

It runs only if the packages lie there (`npm install onnxruntime-web` in that folder) and Chromium is installed.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from export_toys import explainer_for
from sidelight import Explainer, ImageTransform
from sidelight.targets import as_target
from toy_models import resnet, seeded

PAGE = Path(__file__).parents[2] / "examples" / "onnx_web"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed"),
    pytest.mark.skipif(not (PAGE / "node_modules").is_dir(), reason="onnxruntime-web is not installed"),
]
pytest.importorskip("onnxruntime")

TRANSFORMS = {
    "RGB, stretched": ImageTransform((32, 48), resample="bicubic"),
    "RGB, cropped": ImageTransform(
        (32, 32), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4), crop=True, resize_to=40
    ),
    "grey": ImageTransform((24, 24), mode="L", mean=(0.5,), std=(0.5,), resample="lanczos"),
}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder with the page, and its address on this machine."""
    for name in ("index.html", "node_modules"):
        (tmp_path / name).symlink_to(PAGE / name)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield tmp_path, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def shown(address: str) -> dict[str, str]:
    """What the page says when it is done. The browser's clock may run ahead of the model, so there are three tries."""
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=600000"]
    for _ in range(3):
        done = subprocess.run([*command, "--dump-dom", address], capture_output=True, text=True, timeout=120)
        found = {
            i: re.search(rf'id="{i}"[^>]*>(.*?)</', done.stdout, re.DOTALL) for i in ("verdict", "numbers")
        }
        parts = {i: html.unescape(match[1]) if match else "" for i, match in found.items()}
        if parts["numbers"] or 'class="error"' in done.stdout:
            return parts
    raise AssertionError(f"the page is not done: {parts}")


def explainer_with(transform: ImageTransform) -> Explainer:
    model = seeded(lambda: resnet(num_labels=3, num_channels=transform.channels)).eval()
    return explainer_for(
        as_target(model, transform, class_names=["<b>cat</b>", "dog", "owl"]), samples=[photo()]
    )


def photo() -> Image.Image:
    """A picture of an odd size that every resizing changes."""
    pixels = np.random.default_rng(0).integers(0, 256, (10, 15, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((151, 97), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_page_gives_what_python_gives(name: str, served: tuple[Path, str]) -> None:
    folder, address = served
    photo().save(folder / "photo.png")
    explainer = explainer_with(TRANSFORMS[name])
    explainer.export(folder / "model.onnx")
    for query, target in (("", None), ("&class=2", 2)):
        page = shown(f"{address}/?image=photo.png{query}")
        found, wanted = json.loads(page["numbers"]), explainer.explain(folder / "photo.png", target=target)
        assert found["prediction"] == wanted.prediction
        assert wanted.label in page["verdict"]
        np.testing.assert_allclose(found["probabilities"], wanted.probabilities, atol=1e-5)
        np.testing.assert_allclose(found["scores"], wanted.scores["image"].ravel(), atol=2e-4)


def test_errors_are_told(served: tuple[Path, str]) -> None:
    assert "model.onnx.json: 404" in shown(f"{served[1]}/")["verdict"]
