"""What a text model takes and tells: forwards of all kinds, models for other tasks, ends of tables, sides that are cut."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from fault_models import S, T, bert, eye, tok
from sequence_families import build
from torch import Tensor, nn
from transformers import (
    BertForMultipleChoice,
    BertForNextSentencePrediction,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
    GPT2LMHeadModel,
)
from transformers.modeling_outputs import SequenceClassifierOutput

from sidelight import Explainer, SidelightError
from sidelight.checks.reference import logits_alone
from sidelight.errors import InputError, UnsupportedTargetError
from sidelight.inputs.tokenizing import Tokenizing
from sidelight.inputs.view import CUT, CUT_BEFORE, MARGIN
from sidelight.targets import as_target
from sidelight.targets.embedding import replaced_output
from toy_models import seeded


def own_logits(model: Any, texts: list[str]) -> Tensor:
    with torch.no_grad():
        return torch.cat([model(**tok()(t, return_tensors="pt")).logits for t in texts])


def ours(model: Any, texts: list[str]) -> Tensor:
    target = as_target(model, tok())
    with torch.no_grad():
        return target.encode(target.reader.read(texts).inputs).logits


class Starred(BertForSequenceClassification):
    """As many write it who add a loss of their own."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return super().forward(*args, **kwargs)


class Around(nn.Module):
    """A module of one's own around a Hugging Face classifier."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner, self.config = inner, inner.config

    def get_input_embeddings(self) -> nn.Module:
        found: nn.Module = self.inner.get_input_embeddings()
        return found

    def forward(self, **kwargs: Any) -> Any:
        return self.inner(**kwargs)


class OnlyLogits(Around):
    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Any:  # type: ignore[override]
        return self.inner(input_ids, attention_mask).logits


class OtherNames(Around):
    def forward(self, ids: Tensor, mask: Tensor) -> Any:  # type: ignore[override]
        return self.inner(ids, mask)


def starred() -> Any:
    model = Starred(bert().config).eval()
    model.load_state_dict(bert().state_dict())
    return model


@pytest.mark.parametrize("make", [starred, lambda: Around(bert())])
def test_kind_forwards_that_hand_everything_on_see_the_words(make: Any) -> None:
    texts = [T[0], "film", f"{T[5]} and {T[9]}"]
    torch.testing.assert_close(ours(make(), texts), own_logits(bert(), texts), atol=1e-4, rtol=1e-4)


def test_kind_a_forward_of_stars_trains_and_explains(tmp_path: Path) -> None:
    explainer = Explainer.fit(starred(), T, processor=tok(), output_dir=tmp_path / "run", **S)
    found = explainer.explain(T[0])
    own = own_logits(bert(), [T[0]]).softmax(-1)[0]
    torch.testing.assert_close(torch.as_tensor(found.probabilities), own, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("model", "words"),
    [(OnlyLogits(bert()), "output_hidden_states"), (OtherNames(bert()), "'ids', 'mask', and no 'input_ids'")],
)
def test_kind_forwards_that_cannot_be_asked_are_refused_by_what_they_lack(
    model: nn.Module, words: str, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedTargetError, match=re.escape(words)):
        Explainer.fit(model, T, processor=tok(), output_dir=tmp_path / "run", **S)
    assert not (tmp_path / "run").exists()


class Needing(Around):
    def forward(self, input_ids: Tensor, attention_mask: Tensor, kinds: Tensor, **more: Any) -> Any:  # type: ignore[override]
        return self.inner(input_ids, attention_mask, token_type_ids=kinds, **more)


def test_kind_an_argument_that_no_input_holds_is_told(tmp_path: Path) -> None:
    """The pass failed with a TypeError, which was called a fault of sidelight."""
    with pytest.raises(
        UnsupportedTargetError, match=r"forward of Needing needs 'kinds', and the inputs hold"
    ):
        Explainer.fit(Needing(bert()), T, processor=tok(), output_dir=tmp_path / "run", **S)
    target = as_target(Needing(bert()), tok())
    ready = dict(tok()(T[:2], return_tensors="pt", padding=True))
    ready["kinds"] = torch.zeros_like(ready["input_ids"])
    target.check(ready)
    torch.testing.assert_close(target.encode(ready).logits, own_logits(bert(), T[:2]), atol=1e-4, rtol=1e-4)


def test_kind_a_tokenizer_beside_a_model_of_pictures_is_told() -> None:
    with pytest.raises(SidelightError, match="image processor"):
        as_target(eye(), tok())


@pytest.mark.parametrize("labels", [2, 3])
@pytest.mark.parametrize(
    "kind", [BertForQuestionAnswering, BertForMultipleChoice, BertForTokenClassification, GPT2LMHeadModel]
)
def test_kind_models_for_other_tasks_are_refused_before_a_pass(kind: Any, labels: int) -> None:
    config = kind.config_class(
        vocab_size=len(tok()),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=labels,
    )
    with pytest.raises(UnsupportedTargetError, match=rf"{kind.__name__}.*AutoModelForSequenceClassification"):
        as_target(kind(config).eval(), tok())


def test_kind_a_model_without_a_head_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedTargetError, match="AutoModelForSequenceClassification"):
        Explainer.fit(BertModel(bert().config).eval(), T, processor=tok(), output_dir=tmp_path / "run", **S)


def test_next_sentence_models_decide_on_a_whole_text() -> None:
    model = BertForNextSentencePrediction(bert(labels=2).config).eval()
    torch.testing.assert_close(ours(model, T[:2]), own_logits(model, T[:2]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["bert", "roberta", "openai-gpt", "gpt2", "ctrl", "gptj", "mpt", "opt"])
def test_kind_tensors_beyond_the_last_position_are_refused(kind: str) -> None:
    target = as_target(build(kind), tok())
    ids = torch.full((1, 200), 7)
    with pytest.raises(InputError, match=r"200 tokens; the model has positions for \d+"):
        target.check({"input_ids": ids})


@pytest.mark.parametrize("kind", ["gemma3", "modernvbert"])
def test_kind_places_of_a_picture_do_not_limit_a_text(kind: str) -> None:
    text = " ".join(T[:3])
    inputs = as_target(build(kind), tok()).reader.read([text]).inputs
    assert inputs["input_ids"].tolist() == tok()([text])["input_ids"]


def test_kind_layers_that_shorten_the_text_are_refused_with_those_that_do_not() -> None:
    model = build("funnel")
    with pytest.raises(UnsupportedTargetError, match=r"states of shape .* layers=\[0, 1"):
        ours(model, T[:2])
    target = as_target(model, tok(), layers=[1])
    with torch.no_grad():
        states = target.encode(target.reader.read(T[:2]).inputs).states["text"]
    assert states[0].shape[:2] == target.reader.read(T[:2]).inputs["input_ids"].shape


def test_kind_a_batch_as_large_as_its_texts_are_long_is_not_turned_twice() -> None:
    target = as_target(build("xlnet"), tok())
    texts = ["film " * 3] * 2 + ["story was the"] * 2 + ["plot is a"]
    inputs = target.reader.read(texts).inputs
    assert inputs["input_ids"].shape[0] == inputs["input_ids"].shape[1]
    scores = torch.rand(5, 5, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        together = target.classify(inputs, {"text": scores})
        alone = [
            target.classify(target.reader.read([t]).inputs, {"text": scores[i : i + 1]})
            for i, t in enumerate(texts)
        ]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=1e-4)


def test_replaced_words_still_have_to_fit() -> None:
    embedding, ids = nn.Embedding(9, 4), torch.ones(2, 3, dtype=torch.long)
    with (
        pytest.raises(InputError, match="repeat the inputs"),
        replaced_output(embedding, torch.ones(4, 3, 4), ids),
    ):
        embedding(ids)


# -- ends and beginnings that were cut ----------------------------------------------


@pytest.mark.parametrize("side", ["right", "left"])
def test_kind_the_mark_of_what_was_cut_stands_where_it_was_cut(side: str) -> None:
    tokenizer = tok()
    tokenizer.truncation_side = side
    text = " ".join(T[:3])
    view = Tokenizing(tokenizer, 8).read([text]).views[0]
    ids = tokenizer([text], truncation=True, max_length=8)["input_ids"][0]
    shown, scores = view.shown(), view.shown_scores(range(len(ids)))
    kept = "".join(s for s in shown if s not in (CUT, CUT_BEFORE))
    assert len(shown) == len(scores) == 7
    if side == "right":
        assert (shown[-1], scores[-1]) == (CUT, 0.0)
        assert text.startswith(kept)
    else:
        assert (shown[0], scores[0]) == (CUT_BEFORE, 0.0)
        assert text.endswith(kept)
    assert tokenizer(kept)["input_ids"] == ids
    assert [s for s in scores if s] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


@pytest.mark.parametrize("side", ["right", "left"])
def test_kind_words_far_from_what_was_read_are_not_told_apart(side: str) -> None:
    tokenizer = tok()
    tokenizer.truncation_side = side
    text = "(film) " * 50_000
    view = Tokenizing(tokenizer, 16).read([text]).views[0]
    assert len(view.words) < 2 * MARGIN
    marked = view.tokens_in([(len(view.texts[0]) - 7, len(view.texts[0]))] if side == "left" else [(0, 6)])
    assert sum(marked) == 3  # evidence is found by its characters still
    for word, before in zip(view.words[1:], view.words, strict=False):
        assert before.end <= word.start


class Looking(nn.Module):
    """A small text classifier. Subclasses say how it looks words up."""

    main_input_name = "input_ids"

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(len(tok()), 16), nn.Linear(16, 3)

    def get_input_embeddings(self) -> nn.Module:
        return self.table

    def look_up(self, ids: Tensor) -> Tensor:
        found: Tensor = self.table(ids)
        return found

    def forward(self, input_ids: Tensor, attention_mask: Tensor, output_hidden_states: bool = False) -> Any:
        words, mask = self.look_up(input_ids), attention_mask.unsqueeze(-1)
        logits = self.head((words * mask).sum(1) / mask.sum(1))
        return SequenceClassifierOutput(
            logits=logits, hidden_states=(words,) if output_hidden_states else None
        )


class Scaling(Looking):
    """As many write it who scale the words before they add positions."""

    def look_up(self, ids: Tensor) -> Tensor:
        return super().look_up(ids).mul_(4).add_(0.5)


class Spending(Looking):
    """It uses its ids and its mask up."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor, output_hidden_states: bool = False) -> Any:
        out = super().forward(input_ids, attention_mask, output_hidden_states)
        input_ids.zero_()
        attention_mask.zero_()
        return out


class Twice(Looking):
    """It looks its words up for each of two parts."""

    def look_up(self, ids: Tensor) -> Tensor:
        return super().look_up(ids) + 3 * super().look_up(ids.clone())


class Prompted(Looking):
    """It looks up words of its own before those of the text."""

    def look_up(self, ids: Tensor) -> Tensor:
        own = super().look_up(torch.tensor([[6, 7]])).mean(1, keepdim=True)
        return super().look_up(ids) + own


@pytest.mark.parametrize("kind", [Scaling, Spending])
def test_kind_a_text_model_that_changes_its_input_in_place(kind: type[Looking]) -> None:
    target = as_target(seeded(kind).eval(), tok())
    inputs = target.reader.read(T[:3]).inputs
    before = {name: value.clone() for name, value in inputs.items()}
    whole, half = target.unmasked(inputs), {"text": torch.full(inputs["input_ids"].shape, 0.5)}
    first, *later = [target.classify(inputs, scores, unmasked=whole) for scores in (half, {}, {}, half)]
    torch.testing.assert_close(first, later[2])
    torch.testing.assert_close(later[0], later[1])
    torch.testing.assert_close(later[0], target.encode(inputs).logits)
    torch.testing.assert_close(later[0], logits_alone(target, inputs))
    assert all(torch.equal(inputs[name], value) for name, value in before.items())


def test_kind_a_mask_reaches_words_that_are_looked_up_twice() -> None:
    target = as_target(seeded(Twice).eval(), tok())
    gone = [
        target.classify(inputs, {"text": torch.zeros(inputs["input_ids"].shape)})
        for inputs in (target.reader.read([text]).inputs for text in ("great film", "dull plot"))
    ]
    torch.testing.assert_close(gone[0], gone[1])


def test_kind_words_of_the_models_own_are_not_masked() -> None:
    target = as_target(seeded(Prompted).eval(), tok())
    inputs = target.reader.read(T[:3]).inputs
    torch.testing.assert_close(target.classify(inputs, {}), target.encode(inputs).logits)
    with pytest.raises(InputError, match="repeat the inputs as often as the features"):
        target.forward(inputs, {"text": torch.zeros(6, inputs["input_ids"].shape[1], 16)})


class LongPrompted(Looking):
    """It looks up four words of its own before those of the text."""

    def look_up(self, ids: Tensor) -> Tensor:
        own = super().look_up(torch.tensor([[6, 7, 8, 9]])).mean(1, keepdim=True)
        return super().look_up(ids) + own


@pytest.mark.parametrize("text", ["great", "great film"])
def test_kind_words_of_the_models_own_that_look_like_the_text_are_told(text: str) -> None:
    """They were masked in place of the text, and logits were others than those of the model."""
    target = as_target(seeded(LongPrompted).eval(), tok())
    inputs = target.reader.read([text]).inputs
    with pytest.raises(
        UnsupportedTargetError, match=r"words of its own before those of the text.*longer text"
    ):
        target.classify(inputs, {})
    longer = target.reader.read([T[0]]).inputs
    torch.testing.assert_close(target.classify(longer, {}), logits_alone(target, longer))


class Named(Looking):
    """It returns a plain dictionary."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor, output_hidden_states: bool = False) -> Any:
        return dict(super().forward(input_ids, attention_mask, output_hidden_states))


def test_kind_hidden_states_are_found_in_a_dictionary() -> None:
    target = as_target(seeded(Named).eval(), tok())
    inputs = target.reader.read(T[:3]).inputs
    own = target.model(inputs["input_ids"], inputs["attention_mask"])["logits"]
    encoding = target.encode(inputs)
    torch.testing.assert_close(encoding.logits, own)
    assert encoding.states["text"][0].shape == (*inputs["input_ids"].shape, 16)


class Counting(Looking):
    """It looks its words up in a second table too: for bags of words, parts of words or each of its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Embedding(200, 16)

    def look_up(self, ids: Tensor) -> Tensor:
        return super().look_up(ids) + self.other(ids)


def roc_bert() -> tuple[Any, Any]:
    """RoCBert, which knows a character by its id, its shape and its sound, and a tokenizer that gives all three."""

    class Three:
        """A tokenizer of WordPiece that gives shape and sound as RoCBert's own does."""

        def __init__(self) -> None:
            self.inner = tok()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

        def __call__(self, *args: Any, **options: Any) -> Any:
            found = self.inner(*args, **options)
            found["input_shape_ids"] = found["input_pronunciation_ids"] = found["input_ids"]
            return found

    return build("roc_bert"), Three()


@pytest.mark.parametrize("make", [lambda: (seeded(Counting).eval(), tok()), roc_bert])
def test_kind_a_model_that_reads_words_past_the_mask_is_told(make: Any, tmp_path: Path) -> None:
    """A word that a mask had removed was still seen, and nothing said so."""
    model, tokenizer = make()
    with pytest.raises(SidelightError, match=r"reads words past the mask.*second table of words"):
        Explainer.fit(model, T, processor=tokenizer, output_dir=tmp_path / "run", **S)
    assert not (tmp_path / "run").exists()
