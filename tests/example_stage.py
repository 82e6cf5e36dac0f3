"""What the examples of docstrings take as given: small trained explainers, classifiers, rows, files, and a run."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import example_models
from sidelight import Explainer
from sidelight.lab.runs.run import Run
from tiny_runs import tiny_run

#: names that the stage gives
GIVEN = {"explainer", "model", "processor", "rows", "pixels", "pair_model", "pair_processor", "run"}
#: An example with one of these words is about pictures, unless it takes a pair or a run. Others are about texts.
PICTURES = re.compile(r"\bphoto|\bpixels|\bimages?\b")


def taken(source: str, known: Mapping[str, Any]) -> set[str]:
    """Names of the stage that an example of this source takes as given, and its module does not know."""
    names = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)]
    used, made = ({n.id for n in names if isinstance(n.ctx, kind)} for kind in (ast.Load, ast.Store))
    return (used - made - set(known)) & GIVEN


@dataclass
class Stage:
    """Trained when the first example asks for it."""

    folder: Path
    _ready: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def names(self, wanted: Collection[str], source: str, place: Path) -> dict[str, Any]:
        """The names for an example that takes those ``wanted``. Its files go to ``place``, the working directory."""
        about = {
            "pair": not {"pair_model", "pair_processor"}.isdisjoint(wanted),
            "run": "run" in wanted,
            "image": PICTURES.search(source),
        }
        kind = next((name for name, fits in about.items() if fits), "text")
        if kind not in self._ready:
            self._ready[kind] = self._made(kind)
        for path in self.folder.iterdir():
            (shutil.copytree if path.is_dir() else shutil.copy)(path, place / path.name)
        return dict(self._ready[kind]) if kind != "run" else {"run": Run.open(place / "my-run")}

    def _made(self, kind: str) -> dict[str, Any]:
        if kind == "run":
            tiny_run(self.folder / "my-run", audit={"count": 2, "steps": 2, "rivals": ["saliency", "random"]})
            return {}
        given = example_models.names(self.folder)
        if kind == "pair":
            return {name: given[name] for name in ("pair_model", "pair_processor")}
        processor = given["image_processor" if kind == "image" else "tokenizer"]
        model, rows = given[f"{kind}_model"], given["photos" if kind == "image" else "texts"]
        training = self.folder.parent / f"training-{kind}"
        explainer = Explainer.fit(
            model, rows, processor=processor, epochs=1, on_collapse="warn", output_dir=training
        )
        made = {"explainer": explainer, "model": model, "processor": processor, "rows": rows}
        if kind == "text":
            explainer.save_pretrained(self.folder / "my-scorer")
            return made
        generator = torch.Generator().manual_seed(0)
        side = example_models.SIDE
        return {**made, "pixels": 2 * torch.rand(2, 3, side, side, generator=generator) - 1}
