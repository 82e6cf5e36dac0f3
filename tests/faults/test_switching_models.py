"""Models that change themselves in a pass: BigBird's sparse attention gives way to full attention at the first short text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from fault_models import S, T, tok, untrained
from torch import Tensor
from transformers import BigBirdConfig, BigBirdForSequenceClassification

from sidelight import Explainer
from sidelight.errors import SelfCheckError
from toy_models import seeded

#: long texts of one length
LONG = [tok(200).decode(tok(200)(" ".join(T[i : i + 5])).input_ids[1:32]) for i in range(40)]


def bigbird() -> Any:
    config = BigBirdConfig(
        vocab_size=len(tok()),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=256,
        block_size=4,
        num_random_blocks=1,
        num_labels=3,
        attention_type="block_sparse",
        initializer_range=0.5,
        pad_token_id=0,
        sep_token_id=3,
    )
    return seeded(lambda: BigBirdForSequenceClassification(config).eval(), 0)


def logits(model: Any, texts: list[str]) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(**tok(200)(texts, return_tensors="pt")).logits
    return found


def test_kind_texts_of_a_check_leave_sparse_attention_as_it_was(tmp_path: Path) -> None:
    model = bigbird()
    before, parts = logits(model, LONG[:3]), list(model.modules())
    explainer = Explainer.fit(model, LONG, processor=tok(200), output_dir=tmp_path / "fit", **S)
    explainer.save_pretrained(tmp_path / "scorer")
    Explainer.from_pretrained(tmp_path / "scorer", model)
    assert torch.equal(logits(model, LONG[:3]), before)
    assert all(a is b for a, b in zip(parts, model.modules(), strict=True))
    probability = before.softmax(-1)[0]
    assert explainer.explain(LONG[0]).probability == pytest.approx(float(probability.max()), abs=1e-6)


def test_kind_short_texts_beside_long_ones_are_told_the_way_to_full_attention(tmp_path: Path) -> None:
    model = bigbird()
    before = logits(model, LONG[:3])
    with pytest.raises(SelfCheckError, match='attention_type="original_full"'):
        Explainer.fit(model, [*LONG, *T], processor=tok(200), output_dir=tmp_path / "fit", **S)
    assert torch.equal(logits(model, LONG[:3]), before)
    model.base_model.set_attention_type("original_full")
    full = logits(model, LONG[:1]).softmax(-1)
    explainer = untrained(model, tok(200), T[0])
    assert explainer.explain(LONG[0]).probability == pytest.approx(float(full.max()), abs=1e-6)
