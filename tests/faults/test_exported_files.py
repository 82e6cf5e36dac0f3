"""Exported files and modules, as programs without sidelight use them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import pair_models
import text_models
from export_toys import assert_same, expected, explainer_for, plain_inputs, read_inputs
from sidelight import Explainer
from sidelight.targets import as_target

#: what a text classifier of tweets often has beside its own special tokens
WRITTEN = "the @user film was <mask> great"


def _tweets(family: str) -> Explainer:
    model, tokenizer = text_models.make_pair(family)
    mark = tokenizer.mask_token or tokenizer.eos_token
    tokenizer.add_special_tokens({"additional_special_tokens": ["@user"]})
    explainer = explainer_for(as_target(model, tokenizer), samples=["the film"])
    explainer.text = WRITTEN.replace("<mask>", mark)  # type: ignore[attr-defined]
    return explainer


@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2", "llama"])
def test_kind_special_tokens_that_a_text_holds_are_words_in_files_and_tensors_too(family: str) -> None:
    """`explain` scored "@user" as a word; the exported file took it for the tokenizer's own, and all scores differed."""
    explainer = _tweets(family)
    read = explainer.target.reader.prepare([explainer.text, "dull"]).inputs  # type: ignore[attr-defined]
    wanted = expected(explainer, read)
    given = {k: v for k, v in read.items() if k not in ("special_tokens_mask", "position_ids")}
    with torch.no_grad():
        assert_same(explainer.module()(**given), wanted)
    mask = explainer.target.feature_mask
    assert torch.equal(mask(given)["text"], mask(read)["text"])
    pairs = explainer.target.reader.prepare([("the film", "was dull")]).inputs
    bare = {k: v for k, v in pairs.items() if k != "special_tokens_mask"}
    assert torch.equal(mask(bare)["text"], mask(pairs)["text"])


def test_kind_a_model_whose_own_tokenizer_gives_no_attention_mask_is_exported(tmp_path: Path) -> None:
    """SigLIP attends to padding. The comparison before writing heeded the mask, so every file was called wrong."""
    explainer = explainer_for(pair_models.make_target("siglip"))
    program = torch.export.load(explainer.export(tmp_path / "model.pt2")).module()
    with torch.no_grad():
        found = program(classes=torch.full((3,), -1), **plain_inputs(explainer))
    assert_same(found, expected(explainer, read_inputs(explainer)), 1e-4)
