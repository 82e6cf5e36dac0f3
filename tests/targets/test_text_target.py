"""The text target reproduces every family's own logits, and masks what it should."""

from __future__ import annotations

import warnings
from inspect import signature

import numpy as np
import pytest
import torch
from transformers import BartConfig, BartForSequenceClassification

from sidelight.errors import ConfigError, InputError, InputTypeError, UnknownNameError, UnsupportedTargetError
from sidelight.fills.base import FILLS
from sidelight.fills.text import Dropped
from sidelight.inputs.base import Batch
from sidelight.inputs.view import TruncationWarning
from sidelight.targets import as_target
from sidelight.targets.families import TARGETS
from sidelight.targets.recording import takes_numbers
from sidelight.targets.text import TextTarget
from text_models import DECODERS_ONLY, FAMILIES, TEXTS, make_model, make_pair, make_tokenizer

SIDES = ("right", "left")
BART_PART = {"layers": 1, "attention_heads": 2, "ffn_dim": 16}


def make_target(family: str = "bert", side: str = "right", **options: object) -> TextTarget:
    model, tokenizer = make_pair(family, padding_side=side)
    return TextTarget(model, tokenizer, **options)


def taken(target: TextTarget, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Those of ``inputs`` that the model itself has arguments for."""
    names = signature(target.model.forward).parameters
    return {k: v for k, v in inputs.items() if k in names}


def own_logits(target: TextTarget, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        return target.model(**taken(target, inputs)).logits


def ones(target: TextTarget, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {"text": torch.ones(inputs["input_ids"].shape)}


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("family", FAMILIES)
class TestEveryFamily:
    @pytest.mark.parametrize("samples", [TEXTS, [("dull", t) for t in TEXTS]])
    def test_full_scores_reproduce_the_models_logits(self, family: str, side: str, samples: list) -> None:
        target = make_target(family, side)
        inputs = target.reader.read(samples).inputs
        target.check(inputs)
        expected = own_logits(target, inputs)
        torch.testing.assert_close(target.classify(inputs, ones(target, inputs)), expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(target.encode(inputs).logits, expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(
            target.forward(inputs, target.features(inputs)), expected, atol=1e-5, rtol=0
        )

    def test_a_batch_padded_elsewhere_keeps_the_models_logits(self, family: str, side: str) -> None:
        # Tensors a user made are taken as they are, also where the padding side is unwise.
        model, tokenizer = make_pair(family, padding_side=side)
        target = TextTarget(model, tokenizer)
        inputs = dict(tokenizer(TEXTS, padding=True, return_tensors="pt"))
        target.check(inputs)
        expected = own_logits(target, inputs)
        torch.testing.assert_close(target.classify(inputs, ones(target, inputs)), expected, atol=1e-5, rtol=0)

    def test_a_text_means_the_same_alone_and_in_a_batch(self, family: str, side: str) -> None:
        target = make_target(family, side)
        together = target.encode(target.reader.read(TEXTS).inputs).logits
        alone = torch.cat([target.encode(target.reader.read([t]).inputs).logits for t in TEXTS])
        torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)

    def test_masked_logits_do_not_depend_on_padding(self, family: str, side: str) -> None:
        target = make_target(family, side)
        for fill in ("zero", "random", "drop"):
            together = target.reader.read(TEXTS).inputs
            real = target.feature_mask(together)["text"]
            scores = torch.zeros(real.shape)
            for row, mask in zip(scores, real, strict=True):
                row[mask] = torch.linspace(0, 1, int(mask.sum()))
            batched = target.classify(together, {"text": scores}, fill, seeds=[5, 6, 7])
            single = []
            for i, text in enumerate(TEXTS):
                one = target.reader.read([text]).inputs
                s = torch.zeros(one["input_ids"].shape)
                s[target.feature_mask(one)["text"]] = scores[i][real[i]]
                single.append(target.classify(one, {"text": s}, fill, seeds=[5 + i]))
            torch.testing.assert_close(batched, torch.cat(single), atol=1e-5, rtol=1e-5)

    def test_gradients_reach_scores_and_nothing_else(self, family: str, side: str) -> None:
        target = make_target(family, side)
        inputs = target.reader.read(TEXTS).inputs
        scores = torch.full(inputs["input_ids"].shape, 0.5, requires_grad=True)
        target.classify(inputs, {"text": scores})[:, 0].sum().backward()
        real = target.feature_mask(inputs)["text"]
        assert (scores.grad[real] != 0).all()
        assert (scores.grad[~real] == 0).all()
        assert all(p.grad is None for p in target.model.parameters())
        assert all(p.requires_grad for p in target.model.parameters())
        assert not target.embedding._forward_hooks


@pytest.mark.parametrize("family", FAMILIES)
def test_encoding_holds_the_states_of_real_tokens(family: str) -> None:
    target = make_target(family, layers=[1, -1])
    inputs = target.reader.read(TEXTS).inputs
    encoding = target.encode(inputs)
    spec = target.spec(inputs)
    assert len(encoding.states["text"]) == len(spec.states["text"]) == 2
    padding = inputs["attention_mask"] == 0
    assert padding.any()
    for state, shape in zip(encoding.states["text"], spec.states["text"], strict=True):
        assert state.shape == (*inputs["input_ids"].shape, shape.channels)
        assert (state[padding] == 0).all()
        assert (state[~padding] != 0).any(-1).all()
    mask = encoding.feature_mask["text"]
    assert mask.dtype == torch.bool
    assert not (mask & padding).any()
    assert mask.any(1).all()


@pytest.mark.parametrize("layers", [(-1,), (0, 2), (1, -1)])
@pytest.mark.parametrize("family", FAMILIES)
def test_later_passes_keep_the_states_that_are_read(family: str, layers: tuple[int, ...]) -> None:
    target = make_target(family, layers=layers)
    inputs = target.reader.read(TEXTS).inputs
    given: list[tuple[torch.Tensor | None, ...]] = []
    target.model.register_forward_hook(lambda _m, _a, out: given.append(out.hidden_states))
    first, later = (target.encode(inputs).states["text"] for _ in range(2))
    for one, other in zip(first, later, strict=True):
        assert torch.equal(one, other)
    assert all(state is not None for state in given[0])
    if takes_numbers(target.model):
        kept = {i for i, state in enumerate(given[1]) if state is not None}
        assert kept == {i % len(given[0]) for i in layers}


def test_a_model_with_other_layers_than_its_configuration_counts_keeps_all_states() -> None:
    target = make_target("bert")
    inputs = target.reader.read(TEXTS).inputs
    target.model.config.num_hidden_layers -= 1
    states = [target.encode(inputs).states["text"][0] for _ in range(3)]
    assert all(torch.equal(states[0], other) for other in states[1:])


@pytest.mark.parametrize("family", ["bert", "distilbert", "electra"])
def test_masking_equals_inputs_embeds(family: str) -> None:
    # Where the model's own inputs_embeds path is right, ours agrees with it.
    target = make_target(family)
    inputs = target.reader.read(TEXTS).inputs
    x = target.features(inputs)["text"]
    scores = torch.rand(x.shape[:2], generator=torch.Generator().manual_seed(0))
    kept = torch.where(target.feature_mask(inputs)["text"], scores, 1.0)
    rest = {k: v for k, v in taken(target, inputs).items() if k != "input_ids"}
    with torch.no_grad():
        expected = target.model(inputs_embeds=x * kept[..., None], **rest).logits
    torch.testing.assert_close(target.classify(inputs, {"text": scores}), expected, atol=1e-6, rtol=1e-5)


def test_gpt2_token_types_keep_their_own_embeddings() -> None:
    # GPT-2 looks token types up in the word table: a second call of the same module.
    target = make_target("gpt2")
    inputs = target.reader.read(TEXTS).inputs
    inputs["token_type_ids"] = torch.ones_like(inputs["input_ids"])
    logits = target.classify(inputs, ones(target, inputs))
    torch.testing.assert_close(logits, own_logits(target, inputs), atol=1e-5, rtol=0)


class TestFeatureMask:
    def test_special_tokens_and_padding_are_no_features(self) -> None:
        target = make_target("roberta")
        inputs = target.reader.read(TEXTS).inputs
        special = torch.isin(inputs["input_ids"], torch.tensor(target.reader.tokenizer.all_special_ids))
        assert torch.equal(target.feature_mask(inputs)["text"], ~special)

    def test_the_mask_is_found_without_special_tokens_mask(self) -> None:
        for family in ("bert", "roberta", "llama"):
            target = make_target(family)
            inputs = target.reader.read(TEXTS).inputs
            expected = target.feature_mask(inputs)["text"]
            inputs.pop("special_tokens_mask")
            assert torch.equal(target.feature_mask(inputs)["text"], expected)

    def test_unknown_words_and_written_special_tokens_are_features(self) -> None:
        target = make_target("bert")
        inputs = target.reader.read(["the ☃ film [SEP] great"]).inputs
        assert target.reader.tokenizer.unk_token_id in inputs["input_ids"]
        mask = target.feature_mask(inputs)["text"][0]
        assert mask.tolist() == [False, *[True] * (len(mask) - 2), False]
        bare = {k: v for k, v in inputs.items() if k != "special_tokens_mask"}
        unknown = inputs["input_ids"][0] == target.reader.tokenizer.unk_token_id
        assert target.feature_mask(bare)["text"][0][unknown].all()

    def test_scores_of_special_tokens_are_ignored(self) -> None:
        target = make_target("bert")
        inputs = target.reader.read(TEXTS).inputs
        real = target.feature_mask(inputs)["text"].float()
        a = target.classify(inputs, {"text": real * 0.3})
        b = target.classify(inputs, {"text": real * 0.3 + (1 - real)})
        torch.testing.assert_close(a, b)


class TestFills:
    def test_names(self) -> None:
        assert set(FILLS["text"]) >= {"zero", "mean", "mask", "pad", "random", "drop"}

    @pytest.mark.parametrize("fill", ["zero", "mean", "mask", "pad", "random", "drop"])
    def test_every_fill_keeps_what_is_kept(self, fill: str) -> None:
        target = make_target("roberta")
        inputs = target.reader.read(TEXTS).inputs
        full = target.classify(inputs, ones(target, inputs), fill)
        torch.testing.assert_close(full, own_logits(target, inputs), atol=1e-5, rtol=0)
        empty = target.classify(inputs, {"text": torch.zeros(inputs["input_ids"].shape)}, fill)
        assert torch.isfinite(empty).all()
        assert not torch.allclose(empty, full)

    def test_constant_fills_are_the_embeddings_they_say(self) -> None:
        target = make_target("bert")
        inputs = target.reader.read(TEXTS).inputs
        weight = target.embedding.weight.detach()
        for fill, token in (
            ("mask", target.reader.tokenizer.mask_token_id),
            ("pad", target.reader.tokenizer.pad_token_id),
        ):
            values = target.fill_values(inputs, fill, range(3))["text"]
            assert torch.equal(values, weight[token].expand_as(values))
        values = target.fill_values(inputs, "mean", range(3))["text"]
        ordinary = [i for i in range(len(target.reader.tokenizer)) if i not in (0, 2, 3, 4)]
        torch.testing.assert_close(values[0, 0], weight[ordinary].mean(0))

    def test_the_mean_follows_the_weights(self) -> None:
        target = make_target("bert")
        inputs = target.reader.read(TEXTS).inputs
        before = target.fill_values(inputs, "mean", range(3))["text"]
        with torch.no_grad():
            target.embedding.weight.add_(1.0)
        after = target.fill_values(inputs, "mean", range(3))["text"]
        torch.testing.assert_close(after, before + 1)

    def test_random_is_seeded_per_sample_and_never_special(self) -> None:
        target = make_target("bert")
        inputs = target.reader.read(TEXTS).inputs
        a = target.fill_values(inputs, "random", [1, 2, 3])["text"]
        b = target.fill_values(inputs, "random", [9, 2, 3])["text"]
        assert torch.equal(a[1:], b[1:])
        assert not torch.equal(a[0], b[0])
        weight = target.embedding.weight.detach()
        real = target.feature_mask(inputs)["text"]
        ids = {int((weight == v).all(1).nonzero()[0]) for v in a[real]}
        assert not ids & target.vocabulary.special_ids
        assert max(ids) < len(target.reader.tokenizer)

    @pytest.mark.parametrize("family", ["bert", "roberta", "deberta-v3", "llama"])
    def test_drop_equals_the_models_own_attention_mask(self, family: str) -> None:
        target = make_target(family)
        inputs = target.reader.read(TEXTS).inputs
        real = target.feature_mask(inputs)["text"]
        scores = torch.ones(real.shape)
        # Not the token a decoder-only classifier pools: dropping that one leaves its query in.
        scores[:, 1] = 0
        kept = inputs["attention_mask"] * (scores.bool() | ~real)
        got = target.classify(inputs, {"text": scores}, "drop")
        expected = own_logits(target, {**inputs, "attention_mask": kept})
        rows = torch.tensor([0, 1])  # the last text is one word, whose query stays
        torch.testing.assert_close(got[rows], expected[rows], atol=1e-4, rtol=1e-4)

    def test_drop_leaves_no_trace_of_what_was_dropped(self) -> None:
        target = make_target("bert")
        a, b = target.reader.read(["the good film"]).inputs, target.reader.read(["the awful film"]).inputs
        assert a["input_ids"].shape == b["input_ids"].shape
        scores = (a["input_ids"] == b["input_ids"]).float()
        assert scores.min() == 0
        torch.testing.assert_close(
            target.classify(a, {"text": scores}, "drop"), target.classify(b, {"text": scores}, "drop")
        )

    def test_the_drop_mark_survives_what_benchmarks_do_to_values(self) -> None:
        target = make_target("bert")
        inputs = target.reader.read(TEXTS).inputs
        values = target.fill_values(inputs, "drop", range(3))["text"]
        rows = torch.tensor([2, 0, 0])
        for again in (values[rows], values[:2], values.repeat_interleave(2, 0), values.to(torch.float64)):
            assert isinstance(again, Dropped)
        scores = {"text": torch.zeros(inputs["input_ids"].shape)}
        plain = target.classify(inputs, scores, {"text": values})
        assert type(plain) is torch.Tensor
        torch.testing.assert_close(plain, target.classify(inputs, scores, "drop"))

    @pytest.mark.parametrize("family", DECODERS_ONLY)
    def test_dropping_everything_stays_finite(self, family: str) -> None:
        target = make_target(family)
        inputs = target.reader.read(TEXTS).inputs
        logits = target.classify(inputs, {"text": torch.zeros(inputs["input_ids"].shape)}, "drop")
        assert torch.isfinite(logits).all()

    def test_missing_tokens_and_unknown_names(self) -> None:
        target = make_target("gpt2")
        inputs = target.reader.read(TEXTS).inputs
        with pytest.raises(InputError, match="mask token"):
            target.fill_values(inputs, "mask", range(3))
        with pytest.raises(UnknownNameError, match="Known: zero"):
            target.fill_values(inputs, "blur", range(3))
        with pytest.raises(InputError, match="one number for each sample"):
            target.fill_values(inputs, "random", range(2))


class TestPrepare:
    def test_rows_and_pairs(self) -> None:
        target = make_target("bert")
        rows = [{"premise": a, "hypothesis": "dull", "id": 3} for a in TEXTS]
        inputs = target.reader.read(rows).inputs
        assert inputs["token_type_ids"].max() == 1
        again = target.reader.read([(a, "dull") for a in TEXTS]).inputs
        assert all(torch.equal(inputs[k], again[k]) for k in inputs)
        assert target.reader.read(inputs).inputs["input_ids"] is inputs["input_ids"]

    def test_named_columns(self) -> None:
        model, tokenizer = make_pair("bert")
        target = TextTarget(model, tokenizer, columns=["headline"])
        inputs = target.reader.read([{"headline": "great", "text": "dull"}]).inputs
        assert torch.equal(inputs["input_ids"], target.reader.read(["great"]).inputs["input_ids"])

    @pytest.mark.parametrize(
        ("samples", "error", "match"),
        [
            ([], InputError, "batch is empty"),
            ("great film", InputTypeError, "list of texts"),
            (["great", None], InputTypeError, "sample 1 is not text: None"),
            (["great", 7], InputTypeError, "sample 1 is not text: int '7'"),
            ([float("nan")], InputTypeError, "sample 0 .* missing value"),
            ([b"great"], InputTypeError, "decode"),
            (["great", ""], InputError, "sample 1 is empty"),
            (["  \n"], InputError, "sample 0 is only white space"),
            (["great", ("a", "b")], InputError, r"single texts and pairs \(samples 0 and 1\)"),
            ([("a", "b", "c")], InputError, "3 texts"),
            ([("a", "")], InputError, "sample 0 is empty"),
            ([{"title": "great"}], InputError, "no a text column|its columns are"),
        ],
    )
    def test_bad_samples(self, samples: object, error: type[Exception], match: str) -> None:
        with pytest.raises(error, match=match):
            make_target("bert").reader.prepare(samples)

    def test_truncation_is_said(self) -> None:
        target = make_target("bert", max_length=8)
        with pytest.warns(TruncationWarning, match=r"1 of 2 texts are longer than 8 tokens .*sample 1"):
            batch = target.reader.read(["dull", "the film was not great but the story is charming"])
        assert batch.inputs["input_ids"].shape[1] == 8
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            short, long = batch.texts.views
        assert batch.remarks == [{}, {"truncated": True}]
        assert (short.truncated, long.truncated) == (False, True)
        assert long.word_scores([0.5] * 8)[-1] is None

    def test_length_limits_come_from_the_model(self) -> None:
        assert make_target("bert").limit == 40
        assert make_target("roberta").limit == 40  # 42 rows, two kept for padding
        assert make_target("gpt2").limit == 64
        assert make_target("deberta-v3").limit is None
        assert make_target("llama").limit is None
        target = make_target("roberta")
        with pytest.warns(TruncationWarning):
            inputs = target.reader.read(["the film was great " * 30]).inputs
        target.check(inputs)
        assert torch.isfinite(target.encode(inputs).logits).all()

    def test_lone_surrogates_and_control_characters(self) -> None:
        target = make_target("roberta")
        text = "bad \ud800 byte \x00\x1b[31m \u202e great"
        inputs = target.reader.read([text]).inputs
        target.check(inputs)
        assert target.reader.read([text]).texts.views[0].texts == (text,)
        assert torch.isfinite(target.encode(inputs).logits).all()

    def test_without_a_tokenizer(self) -> None:
        target = TextTarget(make_model("bert"))
        with pytest.raises(InputError, match="tokenizer"):
            target.reader.read(["great"])
        with pytest.raises(InputError, match="mask token"):
            target.fill_values({"input_ids": torch.tensor([[5, 6]])}, "mask", [0])

    def test_a_tokenizer_without_padding(self) -> None:
        model, tokenizer = make_pair("gpt2")
        tokenizer.pad_token = None
        target = TextTarget(model, tokenizer)
        assert target.reader.read(["great"]).inputs["input_ids"].ndim == 2
        with pytest.raises(InputError, match="no padding token"):
            target.reader.read(TEXTS)


class TestCheck:
    @pytest.mark.parametrize(
        ("change", "error", "match"),
        [
            ({"input_ids": None}, InputTypeError, "input_ids"),
            ({"input_ids": torch.tensor([5, 6])}, InputError, r"\[B, T\]"),
            ({"input_ids": torch.ones(3, 9)}, InputError, "integers"),
            ({"input_ids": torch.zeros(0, 9, dtype=torch.long)}, InputError, "batch is empty"),
            ({"attention_mask": torch.ones(3, 4)}, InputError, "must agree"),
            ({"attention_mask": torch.full((3, 9), float("nan"))}, InputError, "NaN"),
            ({"input_ids": torch.full((3, 9), 50_000)}, InputError, "50000 is not in the model's vocabulary"),
            ({"input_ids": torch.full((3, 9), -1)}, InputError, "-1 is not in"),
            ({"special_tokens_mask": torch.ones(3, 9)}, InputError, r"\[0, 1, 2\]: only special"),
        ],
    )
    def test_bad_inputs(self, change: dict, error: type[Exception], match: str) -> None:
        target = make_target("bert")
        good = {k: torch.ones(3, 9, dtype=torch.long) for k in ("input_ids", "attention_mask")}
        good["special_tokens_mask"] = torch.zeros(3, 9, dtype=torch.long)
        target.check(good)
        with pytest.raises(error, match=match):
            target.check({**good, **change})

    def test_too_long(self) -> None:
        target = make_target("bert")
        with pytest.raises(InputError, match="41 tokens; the model has positions for 40"):
            target.check({"input_ids": torch.full((1, 41), 9)})

    @pytest.mark.parametrize("family", ["gpt2", "roberta"])
    def test_another_padding_id_than_the_model_looks_for(self, family: str) -> None:
        target = make_target(family)
        inputs = target.reader.read(TEXTS).inputs
        inputs["input_ids"][inputs["attention_mask"] == 0] = 7
        with pytest.raises(InputError, match="padded with token 7, the model looks for"):
            target.check(inputs)

    def test_no_padding_id_in_the_config(self) -> None:
        target = make_target("gpt2")
        target.model.config.pad_token_id = None
        with pytest.raises(InputError, match="no pad_token_id"):
            target.check(target.reader.read(TEXTS).inputs)

    def test_tokenizer_of_another_model(self) -> None:
        model = make_model("bert")
        model.resize_token_embeddings(20)
        target = TextTarget(model, make_tokenizer("wordpiece"))
        with pytest.raises(InputError, match="do not belong together"):
            target.check(target.reader.read(TEXTS).inputs)


class TestFamilyProtocol:
    def test_as_target_knows_text(self) -> None:
        model, tokenizer = make_pair("bert")
        assert isinstance(as_target(model, tokenizer), TextTarget)
        assert TARGETS["text"] is TextTarget

    def test_refusals(self) -> None:
        sizes = {f"{part}_{name}": n for part in ("encoder", "decoder") for name, n in BART_PART.items()}
        bart = BartForSequenceClassification(BartConfig(vocab_size=32, d_model=16, **sizes))
        with pytest.raises(UnsupportedTargetError, match="encoder-decoder"):
            TextTarget(bart)
        with pytest.raises(UnsupportedTargetError, match="no word embeddings"):
            TextTarget(torch.nn.Linear(2, 2))
        with pytest.raises(InputTypeError, match="Hugging Face tokenizer; got str"):
            TextTarget(make_model("bert"), "bert-base-uncased")
        with pytest.raises(ConfigError, match="hidden-state indices"):
            TextTarget(make_model("bert"), layers=["encoder"])
        target = make_target("bert", layers=[9])
        with pytest.raises(ConfigError, match="hidden states 0 to 2"):
            target.encode(target.reader.read(TEXTS).inputs)

    def test_wrong_features_are_refused_and_hooks_removed(self) -> None:
        target = make_target("bert")
        inputs = target.reader.read(TEXTS).inputs
        with pytest.raises(InputError, match="repeat the inputs"):
            target.forward(inputs, {"text": target.features(inputs)["text"].repeat(2, 1, 1)})
        assert not target.embedding._forward_hooks

    def test_training_the_classifier_itself(self) -> None:
        target = make_target("roberta")
        inputs = target.reader.read(TEXTS).inputs
        inputs["labels"] = torch.tensor([0, 1, 2])
        logits = target.forward_trainable(inputs)
        torch.nn.functional.cross_entropy(logits, inputs["labels"]).backward()
        alone = make_model("roberta")
        alone(**inputs).loss.backward()
        for name, parameter in alone.named_parameters():
            own = target.model.get_parameter(name).grad
            assert own is not None or parameter.grad is None, name
            torch.testing.assert_close(own, parameter.grad, msg=name)

    def test_rebuilt_from_disk(self, tmp_path) -> None:
        target = make_target("bert", layers=[1, -1], max_length=12)
        target.model.save_pretrained(tmp_path)
        target.reader.save(tmp_path)
        name = str(tmp_path)
        again = TextTarget(
            TextTarget.load_model(name), TextTarget.reader_type.load(name, {}), **target.options()
        )
        inputs, same = target.reader.read(TEXTS).inputs, again.reader.read(TEXTS).inputs
        assert all(torch.equal(inputs[k], same[k]) for k in inputs)
        assert torch.equal(target.encode(inputs).logits, again.encode(same).logits)
        assert again.fingerprint() == target.fingerprint()
        assert TextTarget.reader_type.load(str(tmp_path / "nothing"), {}) is None

    @pytest.mark.parametrize("family", FAMILIES)
    def test_display_joins_to_the_text(self, family: str) -> None:
        target = make_target(family)
        samples = ["  the film was 😀 great!", "dull"]
        read = target.reader.read(samples)
        real, scores = target.feature_mask(read.inputs), {"text": torch.rand(read.inputs["input_ids"].shape)}
        shown = [d["text"] for d in target.reader.show(read, real)]
        assert ["".join(words) for words in shown] == samples
        for words, values in zip(shown, target.reader.show_scores(read, scores, real), strict=True):
            assert values["text"].shape == (len(words),)
            assert values["text"].dtype == np.float32
        ids = Batch(read.inputs)
        shown = target.reader.show(ids, real)
        for words, values in zip(shown, target.reader.show_scores(ids, scores, real), strict=True):
            assert len(words["text"]) == len(values["text"])
            assert all(isinstance(w, str) and w for w in words["text"])
