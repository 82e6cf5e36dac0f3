"""Models that read an image with a text: what they are given, and modules of one's own that are no such model."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pair_models import LONGEST, TEXTS, TRANSFORM, images, make, make_tokenizer, pairs, tokenizer_of
from sidelight.checks.selfcheck import self_check
from sidelight.errors import SelfCheckError
from sidelight.targets import ImageTextProcessor, as_target


@torch.no_grad()
def siglip_alone(model: Any, tokenizer: Any, texts: list[str] = TEXTS) -> Tensor:
    """What SigLIP says of each pair when it is called as its documentation shows."""
    words = tokenizer(texts, padding="max_length", max_length=LONGEST, return_tensors="pt")
    taken = {k: v for k, v in words.items() if k in ("input_ids", "attention_mask")}
    pixels = torch.stack([TRANSFORM(image) for image in images(len(texts))])
    similarity: Tensor = model.eval()(pixel_values=pixels, **taken).logits_per_image.diagonal()
    return torch.stack([torch.zeros_like(similarity), similarity], 1)


@pytest.mark.parametrize("names", [["input_ids"], ["input_ids", "attention_mask"]])
def test_kind_siglip_heeds_the_mask_if_its_tokenizer_gives_one(names: list[str]) -> None:
    model, tokenizer = make("siglip"), make_tokenizer(model_input_names=names)
    target = as_target(model, ImageTextProcessor(TRANSFORM, tokenizer))
    inputs = target.reader.read(pairs()).inputs
    own = siglip_alone(model, tokenizer)
    torch.testing.assert_close(target.encode(inputs).logits, own, rtol=0, atol=1e-5)
    torch.testing.assert_close(target.classify(inputs, {}), own, rtol=0, atol=1e-5)
    assert target.architecture.can_drop is (len(names) > 1)
    ready = as_target(model, None).encode({**inputs}).logits
    torch.testing.assert_close(ready, siglip_alone(model, make_tokenizer()), rtol=0, atol=1e-5)


def test_kind_candidates_of_siglip_heed_the_mask_as_the_text_does() -> None:
    model, tokenizer = make("siglip"), make_tokenizer()
    target = as_target(model, ImageTextProcessor(TRANSFORM, tokenizer), candidates=TEXTS[:1])
    logits = target.encode(target.reader.read(pairs()).inputs).logits
    torch.testing.assert_close(logits[0, 0], logits[0, 1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["clip", "siglip", "dual", "vilt-retrieval"])
def test_kind_similarities_are_compared_before_a_training_too(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = as_target(make(name), ImageTextProcessor(TRANSFORM, tokenizer_of(name)))
    self_check(target, pairs())
    architecture = type(target.architecture)
    plain = architecture.run

    def other(self: Any, pixels: Tensor, words: Any, states: Any) -> Any:
        return plain(self, pixels * 0.5, words, states)

    monkeypatch.setattr(architecture, "run", other)
    with pytest.raises(SelfCheckError, match="sees something else through sidelight"):
        self_check(target, pairs())
