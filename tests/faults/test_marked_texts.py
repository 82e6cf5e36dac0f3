"""Models that find a place in a text by the id of a token: of a marker, of [MASK], of the end, of a word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fault_models import S, T, tok
from torch import Tensor, nn
from transformers import BertConfig, BertModel, EsmConfig, EsmForSequenceClassification
from transformers.modeling_outputs import SequenceClassifierOutput

from sidelight import Explainer
from sidelight.checks.selfcheck import self_check
from sidelight.errors import SelfCheckError, UnsupportedTargetError
from sidelight.targets import as_target

SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}


class ReadAt(nn.Module):
    """A classifier that reads the state at the first token of one id, and fails without it."""

    main_input_name = "input_ids"

    def __init__(self, tokenizer: Any, token: str) -> None:
        super().__init__()
        self.model = BertModel(BertConfig(vocab_size=len(tokenizer), **SMALL))
        self.config, self.head = self.model.config, nn.Linear(16, 3)
        self.at = tokenizer.convert_tokens_to_ids(token)

    def get_input_embeddings(self) -> nn.Module:
        return self.model.get_input_embeddings()

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **options: Any) -> Any:
        out = self.model(input_ids=input_ids, attention_mask=attention_mask, **options)
        places = [int((row == self.at).nonzero()[0, 0]) for row in input_ids]
        states = out.last_hidden_state[torch.arange(len(places)), places]
        return SequenceClassifierOutput(logits=self.head(states), hidden_states=out.hidden_states)


def lively(model: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, 0, 0.3)
    return model.eval()


def added(special: bool) -> Any:
    tokenizer = tok()
    tokenizer.add_tokens(["[E1]"], special_tokens=special)
    return tokenizer


def esm(tokenizer: Any, token: str) -> nn.Module:
    """It counts mask tokens and leaves their embeddings out."""
    sizes = {"vocab_size": len(tokenizer), "num_labels": 3, "mask_token_id": tokenizer.mask_token_id}
    return EsmForSequenceClassification(EsmConfig(token_dropout=True, **sizes, **SMALL))  # type: ignore[no-untyped-call]


CASES: dict[str, tuple[Callable[[Any, str], nn.Module], Callable[[], Any], str]] = {
    "special marker": (ReadAt, lambda: added(True), "[E1]"),
    "added marker": (ReadAt, lambda: added(False), "[E1]"),
    "prompt": (ReadAt, tok, "[MASK]"),
    "second end": (ReadAt, tok, "[SEP]"),
    "masked protein": (esm, tok, "[MASK]"),
}


def marked(token: str) -> list[str]:
    return [text.replace(" ", f" {token} ", 1) for text in T]


@pytest.mark.parametrize("case", CASES)
def test_kind_a_place_found_by_a_marker_is_no_word_past_the_mask(case: str) -> None:
    """The check gave markers the id of a word. So they were not found, and a training was refused."""
    make, tokenizer, token = CASES[case]
    reading = tokenizer()
    self_check(as_target(lively(make(reading, token)), reading), marked(token)[:3])


def test_kind_a_place_found_by_a_word_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """The model's own error came out as a fault of sidelight."""
    target = as_target(lively(ReadAt(tok(), "was")), tok())
    with pytest.raises(SelfCheckError, match=r"looking for one.*it fails with IndexError.*check='warn'"):
        self_check(target, T[:3])
    self_check(target, T[:3], "warn")
    assert "reads words past the mask" in caplog.text


def test_kind_a_model_that_needs_a_marker_is_loaded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Loading looks at made-up words. A model that fails on these was refused beside the scorer trained for it."""
    model = lively(ReadAt(tok(), "[MASK]"))
    fitted = Explainer.fit(model, marked("[MASK]"), processor=tok(), output_dir=tmp_path / "run", **S)
    fitted.save_pretrained(tmp_path / "scorer")
    loaded = Explainer.from_pretrained(tmp_path / "scorer", model, processor=tok())
    assert "could not be checked with made-up words" in caplog.text
    text = marked("[MASK]")[0]
    assert loaded.explain(text).probability == fitted.explain(text).probability


class Batched(ReadAt):
    """It takes all its inputs as one."""

    def forward(self, inputs: Any, **options: Any) -> Any:  # type: ignore[override]
        return super().forward(**inputs, **options)


class Unpacked(Batched):
    """What its error advises."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **options: Any) -> Any:
        inputs = dict(options, input_ids=input_ids, attention_mask=attention_mask)
        return super().forward(inputs)


def test_kind_a_text_model_that_takes_all_inputs_as_one_is_told_how_it_is_called() -> None:
    """It was told to give its inputs a default."""
    target = as_target(lively(Batched(tok(), "[CLS]")), tok())
    with pytest.raises(
        UnsupportedTargetError, match=r"names no 'input_ids'.*'inputs' holds all inputs.*def forward"
    ):
        target.check(target.reader.read(T[:3]).inputs)
    self_check(as_target(lively(Unpacked(tok(), "[CLS]")), tok()), T[:3])
