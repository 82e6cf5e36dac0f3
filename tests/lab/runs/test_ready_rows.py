"""Pictures of a training that are prepared once: the model gets the same inputs, and gives the same logits."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import sidelight.lab.runs.ready_rows as module
from pair_models import TRANSFORM, fusion, images, make_tokenizer
from sidelight.inputs.collate import Collator
from sidelight.inputs.pairs import ImageTextProcessor
from sidelight.lab.runs.masked_training import masked_training
from sidelight.lab.runs.ready_rows import ReadyCollator, ready_rows
from sidelight.targets.image_text import ImageTextTarget


def classifier(*freeze: str) -> ImageTextTarget:
    return ImageTextTarget(fusion(freeze=freeze).eval(), ImageTextProcessor(TRANSFORM, make_tokenizer()))


def rows() -> list[dict[str, Any]]:
    return [{"image": i, "text": "a red cat", "label": n % 2} for n, i in enumerate(images(3))]


@pytest.mark.parametrize("frozen", [[], ["image"]], ids=["trained", "frozen"])
def test_logits_are_those_of_pictures_read_each_time(frozen: list[str]) -> None:
    target = classifier(*frozen)
    ready = ready_rows(target, rows())
    assert ready is not None
    assert set(ready.encodings) == ({"image_encoded"} if frozen else set())
    plain, kept = Collator(target)(rows()), ReadyCollator(target)([ready[i] for i in range(3)])
    assert plain["labels"].tolist() == kept["labels"].tolist() == [0, 1, 0]
    found = [
        target.forward_trainable({k: v for k, v in batch.items() if k != "labels"}) for batch in (plain, kept)
    ]
    torch.testing.assert_close(*found)


def test_masks_need_the_pictures_themselves() -> None:
    target = classifier("image")
    ready = ready_rows(masked_training(target, ["zero"]), rows())
    assert ready is not None
    assert not ready.encodings
    assert bool(ready[0]["image"].any())


def test_too_many_pictures_are_read_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 10)
    assert ready_rows(classifier(), rows()) is None
