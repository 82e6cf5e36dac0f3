"""The identity of a training: it goes on beside the same model, however that model came into memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import nn

import pair_models
import text_models
import tiny_models
from sidelight.inputs.images import ImageTransform
from sidelight.targets import ImageTextProcessor, as_target
from sidelight.training.identity import _structure

SIDES = (32, 32)


def _loaded(model: Any, folder: Path) -> Any:
    """``model``, saved and loaded again."""
    model.save_pretrained(folder)
    return type(model).from_pretrained(folder).eval()


def _same(model: nn.Module, processor: Any, folder: Path) -> bool:
    made, loaded = (_structure(as_target(m, processor)) for m in (model, _loaded(model, folder)))
    return bool(made == loaded)


@pytest.mark.parametrize("name", [n for n in sorted(pair_models.BUILDERS) if "visualbert" not in n])
def test_a_pair_model_is_the_same_after_it_was_saved(name: str, tmp_path: Path) -> None:
    processor = ImageTextProcessor(pair_models.TRANSFORM, pair_models.make_tokenizer())
    assert _same(pair_models.make(name).eval(), processor, tmp_path)


@pytest.mark.parametrize("name", sorted(tiny_models.BUILDERS))
def test_an_image_model_is_the_same_after_it_was_saved(name: str, tmp_path: Path) -> None:
    assert _same(tiny_models.tiny(name), ImageTransform(SIDES), tmp_path)


@pytest.mark.parametrize("name", text_models.FAMILIES)
def test_a_text_model_is_the_same_after_it_was_saved(name: str, tmp_path: Path) -> None:
    assert _same(*text_models.make_pair(name), tmp_path)
