"""What the examples of docstrings take as given: two small trained explainers, their classifiers, rows and files."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import example_models
from sidelight import Explainer

#: names that the stage gives
GIVEN = {"explainer", "model", "processor", "rows", "pixels"}
#: An example with one of these words is about pictures. Others are about texts.
PICTURES = re.compile(r"\bphoto|\bpixels|\bimages?\b")


@dataclass
class Stage:
    """Trained when the first example asks for it."""

    folder: Path
    _ready: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def needed(self, source: str, known: Mapping[str, Any]) -> bool:
        """Whether an example of this source takes a name as given that its module does not know."""
        names = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)]
        used, made = ({n.id for n in names if isinstance(n.ctx, kind)} for kind in (ast.Load, ast.Store))
        return bool((used - made - set(known)) & GIVEN)

    def names(self, source: str, place: Path) -> dict[str, Any]:
        """The names for an example of this source. Its files go to ``place``, the working directory."""
        kind = "image" if PICTURES.search(source) else "text"
        if kind not in self._ready:
            self._ready[kind] = self._made(kind)
        for path in self.folder.iterdir():
            (shutil.copytree if path.is_dir() else shutil.copy)(path, place / path.name)
        return dict(self._ready[kind])

    def _made(self, kind: str) -> dict[str, Any]:
        given = example_models.names(self.folder)
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
