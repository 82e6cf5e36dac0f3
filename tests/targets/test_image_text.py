"""Targets of images and texts: every architecture's own logits, each modality masked for itself."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pair_models import (
    BUILDERS,
    CLASSES,
    LONGEST,
    SIDE,
    TEXTS,
    TRANSFORM,
    evenly,
    fusion,
    images,
    make,
    make_target,
    make_tokenizer,
    pairs,
    vilt,
    visual_bert,
)
from sidelight.core.types import IMAGE
from sidelight.errors import ConfigError, InputError, UnsupportedTargetError
from sidelight.fills.base import fill_values
from sidelight.lab.baselines import make_rival
from sidelight.lab.evaluation.coordinates import ChannelView
from sidelight.lab.metrics.probe import Probe
from sidelight.models.fusion import FusionClassifier
from sidelight.models.visual_bert import VisualBertOnPixels
from sidelight.targets import ImageTarget, ImageTextProcessor, ImageTextTarget, TextTarget, as_target
from sidelight.targets.base import fingerprint

NAMES = sorted(BUILDERS)
SIMILARITY = ("clip", "siglip", "dual", "vilt-retrieval")


@torch.no_grad()
def own_logits(model: nn.Module, inputs: dict[str, Tensor], name: str) -> Tensor:
    """What the model says through its own ``forward``, of a copy in eval mode, one pair at a time."""
    model = copy.deepcopy(model).eval()
    rows = []
    for i in range(len(inputs["input_ids"])):
        length = LONGEST if name == "siglip" else int(inputs["attention_mask"][i].sum())
        words = {k: inputs[k][i : i + 1, :length] for k in ("input_ids", "attention_mask")}
        if name == "siglip":
            words = {"input_ids": words["input_ids"]}
        out = model(pixel_values=inputs["pixel_values"][i : i + 1], **words)
        rows.append(
            getattr(out, "logits_per_image", None) if name in ("clip", "siglip", "dual") else out.logits
        )
    logits = torch.cat(rows)
    return torch.cat([torch.zeros_like(logits), logits], 1) if name in SIMILARITY else logits


def without_words(model: nn.Module, target: ImageTextTarget, inputs: dict[str, Tensor]) -> nn.Module:
    """A copy of ``model`` whose embeddings of all words in ``inputs`` are zero."""
    copied = copy.deepcopy(model)
    real = target.feature_mask(inputs)["text"]
    with torch.no_grad():
        parts = type(target.architecture)(copied)
        parts.text_part.get_input_embeddings().weight[inputs["input_ids"][real].unique()] = 0.0  # type: ignore[operator]
    return copied


def snapshot(model: nn.Module) -> tuple[Any, ...]:
    state = {k: v.clone() for k, v in model.state_dict().items()}
    return state, [m.training for m in model.modules()], [p.requires_grad for p in model.parameters()]


def assert_given_back(model: nn.Module, before: tuple[Any, ...]) -> None:
    state, training, trainable = snapshot(model)
    assert (training, trainable) == before[1:]
    assert all(torch.equal(state[k], v) for k, v in before[0].items())
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("name", NAMES)
class TestEveryArchitecture:
    def test_its_own_logits_for_a_clean_pass_and_for_scores_of_one(self, name: str) -> None:
        target = make_target(name)
        before = snapshot(target.model)
        inputs = target.reader.read(pairs()).inputs
        target.check(inputs)
        encoding = target.encode(inputs)

        wanted = own_logits(target.model, inputs, name)
        assert wanted.std() > 1e-3, "the model does not tell these pairs apart; the test would pass for any"
        torch.testing.assert_close(encoding.logits, wanted, rtol=0, atol=1e-5)
        ones = evenly(dict(encoding.feature_mask), 1.0)
        for fill in ("zero", "mean", "noise"):
            torch.testing.assert_close(target.classify(inputs, ones, fill), wanted, rtol=0, atol=1e-5)
        torch.testing.assert_close(target.forward(inputs, target.features(inputs)), wanted, rtol=0, atol=1e-5)
        assert_given_back(target.model, before)

    def test_shapes_of_what_a_pass_leaves_behind(self, name: str) -> None:
        target = make_target(name)
        inputs = target.reader.read(pairs()).inputs
        encoding = target.encode(inputs)
        length = LONGEST if name == "siglip" else 11
        assert inputs["input_ids"].shape == (3, length)
        assert encoding.feature_mask["image"].shape == (3, 1, SIDE, SIDE)
        assert encoding.feature_mask["text"].sum(1).tolist() == [3, 9, 1]
        assert encoding.fusion is not None
        assert encoding.fusion.shape[0] == 3
        assert all(s.ndim == 4 for s in encoding.states["image"])
        assert all(s.shape[:2] == (3, length) for s in encoding.states["text"])
        padding = inputs["attention_mask"] == 0
        assert all(bool((s[padding] == 0).all()) for s in encoding.states["text"])
        spec = target.spec(inputs)
        assert spec.fusion_dim == encoding.fusion.shape[1]
        assert [(s.channels, s.grid) for s in spec.states["image"]] == [
            (s.shape[1], tuple(s.shape[2:])) for s in encoding.states["image"]
        ]
        assert [s.channels for s in spec.states["text"]] == [s.shape[2] for s in encoding.states["text"]]
        assert spec.feature_shape["image"] == (3, SIDE, SIDE)

    def test_what_a_clean_pass_knows_of_a_modality_changes_no_answer(self, name: str) -> None:
        target = make_target(name)
        inputs = target.reader.read(pairs()).inputs
        encoding = target.encode(inputs)
        known = target.unmasked(inputs, encoding)
        assert set(known.encoded) == ({"image", "text"} if name.startswith("fusion") else set())
        half = {m: torch.where(v, 0.5, 1.0) for m, v in encoding.feature_mask.items()}
        for asked in (["image"], ["text"], ["image", "text"]):
            masks = {m: half[m] for m in asked}
            wanted = target.classify(inputs, masks, "mean")
            assert (wanted - encoding.logits).abs().max() > 1e-5, (
                "the mask does nothing; the test would pass for any"
            )
            torch.testing.assert_close(
                target.classify(inputs, masks, "mean", unmasked=known), wanted, rtol=0, atol=1e-6
            )

    def test_gradients_reach_the_scores_and_nothing_else(self, name: str) -> None:
        target = make_target(name)
        before = snapshot(target.model)
        inputs = target.reader.read(pairs()).inputs
        scores = {
            k: torch.full(m.shape, 0.7, requires_grad=True) for k, m in target.feature_mask(inputs).items()
        }
        target.classify(inputs, scores, "mean").log_softmax(-1)[:, 0].sum().backward()
        real = target.feature_mask(inputs)["text"]
        for name_, score in scores.items():
            assert score.grad is not None
            assert bool((score.grad != 0).any()), name_
        assert bool((scores["text"].grad[~real] == 0).all())  # type: ignore[index]
        assert_given_back(target.model, before)

    def test_a_pair_does_not_depend_on_its_batch(self, name: str) -> None:
        target = make_target(name)
        sample = pairs()
        together = target.encode(target.reader.read(sample).inputs)
        scores = evenly(dict(together.feature_mask), 0.4)
        masked = target.classify(target.reader.read(sample).inputs, scores, "noise", seeds=[5, 6, 7])
        for i, pair in enumerate(sample):
            inputs = target.reader.read([pair]).inputs
            alone = target.encode(inputs)
            torch.testing.assert_close(alone.logits[0], together.logits[i], rtol=0, atol=1e-5)
            assert alone.fusion is not None
            assert together.fusion is not None
            torch.testing.assert_close(alone.fusion[0], together.fusion[i], rtol=1e-4, atol=1e-4)
            for kind in ("image", "text"):
                for one, all_ in zip(alone.states[kind], together.states[kind], strict=True):
                    part = all_[i, : one.shape[1]] if kind == "text" else all_[i]
                    torch.testing.assert_close(one[0], part, rtol=1e-4, atol=1e-4)
            own = evenly(dict(alone.feature_mask), 0.4)
            again = target.classify(inputs, own, "noise", seeds=[5 + i])
            torch.testing.assert_close(again[0], masked[i], rtol=0, atol=1e-4)

    def test_each_modality_masked_alone(self, name: str) -> None:
        target = make_target(name)
        inputs = target.reader.read(pairs()).inputs
        mask = target.feature_mask(inputs)
        none = evenly(dict(mask), 0.0)

        black = {**inputs, "pixel_values": torch.zeros_like(inputs["pixel_values"])}
        wanted = own_logits(target.model, black, name)
        torch.testing.assert_close(
            target.classify(inputs, {"image": none["image"]}), wanted, rtol=0, atol=1e-5
        )

        silent = without_words(target.model, target, inputs)
        wanted = own_logits(silent, inputs, name)
        torch.testing.assert_close(target.classify(inputs, {"text": none["text"]}), wanted, rtol=0, atol=1e-5)

        wanted = own_logits(silent, black, name)
        torch.testing.assert_close(target.classify(inputs, none), wanted, rtol=0, atol=1e-5)

    def test_comes_back_from_its_options(self, name: str) -> None:
        target = make_target(name, layers=[0, -1], max_states=2, max_length=8)
        inputs = target.reader.read(pairs()).inputs
        first = target.encode(inputs)
        again = ImageTextTarget(target.model, target.reader.processor, **target.options())
        second = again.encode(again.reader.read(pairs()).inputs)
        for kind in ("image", "text"):
            for a, b in zip(first.states[kind], second.states[kind], strict=True):
                assert torch.equal(a, b)
        assert inputs["input_ids"].shape[1] == 8


class TestStates:
    @pytest.mark.parametrize("name", ["vilt-vqa", "vilt-pairs", "fusion-vit", "clip"])
    @pytest.mark.parametrize("corner", [(0, 0), (0, 3), (3, 0), (3, 3), (1, 2)])
    def test_a_patch_of_the_image_is_the_same_cell_of_the_first_state(
        self, name: str, corner: tuple[int, int]
    ) -> None:
        target = make_target(name)
        inputs = target.reader.read(pairs()[:1]).inputs
        row, column = corner
        other = inputs["pixel_values"].clone()
        other[:, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] += 1
        changed = [
            target.encode({**inputs, "pixel_values": x}).states["image"][0]
            for x in (inputs["pixel_values"], other)
        ]
        moved = (changed[0] - changed[1]).abs().amax((0, 1)) > 1e-4
        assert moved.nonzero().tolist() == [[row, column]]

    def test_the_same_pass_twice_and_torchs_generator_left_alone(self) -> None:
        target = make_target("vilt-vqa")  # which shuffles its patches, left to itself
        inputs = target.reader.read(pairs()).inputs
        torch.manual_seed(3)
        before = torch.get_rng_state()
        first, second = target.encode(inputs), target.encode(inputs)
        assert torch.equal(first.states["image"][-1], second.states["image"][-1])
        assert torch.equal(torch.get_rng_state(), before)

    def test_two_towers_meet_in_the_mean_of_the_fusion(self) -> None:
        target = make_target("clip", context=False)
        inputs = target.reader.read(pairs()).inputs
        encoding = target.encode(inputs)
        assert encoding.fusion is not None
        scale = target.model.logit_scale.exp()
        torch.testing.assert_close(encoding.fusion.mean(1) * scale, encoding.logits[:, 1], rtol=0, atol=1e-5)

    def test_fused_tokens_are_states_unless_told_otherwise(self) -> None:
        target, plain = make_target("fusion-resnet"), make_target("fusion-resnet", fused=False)
        inputs = target.reader.read(pairs()).inputs
        both, without = target.encode(inputs), plain.encode(inputs)
        out = copy.deepcopy(target.model).eval()(
            inputs["pixel_values"], inputs["input_ids"], inputs["attention_mask"]
        )
        for kind, fused in (("image", out.image_fused), ("text", out.text_fused)):
            assert len(both.states[kind]) == len(without.states[kind]) + 1
            assert all(
                torch.equal(a, b) for a, b in zip(without.states[kind], both.states[kind], strict=False)
            )
            real = fused * inputs["attention_mask"].unsqueeze(-1) if kind == "text" else fused
            torch.testing.assert_close(both.states[kind][-1], real, rtol=0, atol=1e-5)

    def test_scorers_know_the_verdict_and_the_mean_of_both_modalities(self) -> None:
        target, plain = make_target("fusion-resnet"), make_target("fusion-resnet", context=False)
        inputs = target.reader.read(pairs()).inputs
        out = copy.deepcopy(target.model).eval()(
            inputs["pixel_values"], inputs["input_ids"], inputs["attention_mask"]
        )
        found, verdict = target.encode(inputs).fusion, plain.encode(inputs).fusion
        assert found is not None
        assert verdict is not None
        torch.testing.assert_close(verdict, out.fusion_output, rtol=0, atol=1e-5)
        width = out.fusion_output.shape[1]
        parts = list(found.split(width, 1))
        torch.testing.assert_close(parts[0], verdict, rtol=0, atol=1e-5)
        for i, length in enumerate(inputs["attention_mask"].sum(1).tolist()):
            means = (out.image_fused[i].flatten(1).mean(1), out.text_fused[i, :length].mean(0))
            for part, mean in zip(parts[1:], means, strict=True):
                wanted = (mean - mean.mean()) / (mean.var(correction=0) + 1e-5).sqrt()
                torch.testing.assert_close(part[i], wanted, rtol=0, atol=1e-4)


class TestMatching:
    def test_threshold_is_where_match_and_no_match_meet(self) -> None:
        inputs = make_target("clip").reader.read(pairs()).inputs
        plain, shifted = make_target("clip"), make_target("clip", threshold=1.5)
        similarity = plain.encode(inputs).logits[:, 1]
        logits = shifted.encode(inputs).logits
        torch.testing.assert_close(logits, torch.stack([torch.zeros(3), similarity - 1.5], 1))
        assert plain.id2label == {0: "no match", 1: "match"}

    @pytest.mark.parametrize("name", ["clip", "siglip", "dual"])
    def test_candidates_compete_with_the_pairs_own_text(self, name: str) -> None:
        words = ["a blue circle", "a green cross near the square"]
        target = make_target(name, candidates=words)
        before = snapshot(target.model)
        inputs = target.reader.read(pairs()).inputs
        with torch.inference_mode():
            logits = target.encode(inputs).logits
        wanted = []
        for text in (None, *words):
            texts = TEXTS if text is None else [text] * 3
            other = make_target(name).reader.read(list(zip(images(), texts, strict=True))).inputs
            wanted.append(own_logits(target.model, other, name)[:, 1])
        torch.testing.assert_close(logits, torch.stack(wanted, 1), rtol=0, atol=1e-5)
        assert target.id2label == {0: "this text", 1: words[0], 2: words[1]}

        # masking the text changes its own similarity alone; a graph goes through what was kept
        scores = {"text": evenly(dict(target.feature_mask(inputs)), 0.3)["text"].requires_grad_()}
        masked = target.classify(inputs, scores)
        torch.testing.assert_close(masked[:, 1:], logits[:, 1:], rtol=0, atol=1e-5)
        assert not torch.allclose(masked[:, 0], logits[:, 0], atol=1e-3)
        masked.softmax(-1)[:, 0].sum().backward()
        assert_given_back(target.model, before)

    def test_candidates_are_embedded_anew_when_the_weights_change(self) -> None:
        target = make_target("clip", candidates=["a blue circle"])
        inputs = target.reader.read(pairs()).inputs
        first = target.encode(inputs).logits
        with torch.no_grad():
            target.model.text_projection.weight.mul_(-1)
        second = target.encode(inputs).logits
        torch.testing.assert_close(second, -first, rtol=0, atol=1e-4)

    def test_candidates_for_a_model_with_classes_of_its_own(self) -> None:
        with pytest.raises(ConfigError, match="has classes of its own"):
            make_target("fusion-resnet", candidates=["a cat"])


class TestFills:
    def test_each_modality_takes_its_own_fill(self) -> None:
        target = make_target("fusion-resnet")
        inputs, seeds = target.reader.read(pairs()).inputs, [3, 4, 5]
        words = {k: v for k, v in inputs.items() if k != "pixel_values"}
        image = ImageTarget(target.model.image_encoder, TRANSFORM)
        text = TextTarget(target.model.text_encoder, make_tokenizer())
        for asked, of_image, of_text in (
            ("mean", "mean", "mean"),
            ("noise", "noise", "random"),
            ("random", "noise", "random"),
            ("blur", "blur", "mean"),
            ("black+mask", "black", "mask"),
        ):
            found = target.fill_values(inputs, asked, seeds)
            wanted = image.fill_values({"pixel_values": inputs["pixel_values"]}, of_image, seeds)["image"]
            assert torch.equal(found["image"], wanted)
            assert torch.equal(found["text"], text.fill_values(words, of_text, seeds)["text"])

    def test_another_image_comes_from_the_reference(self) -> None:
        target = make_target("fusion-resnet")
        bank = target.reader.read(list(zip(images(4, seed=9), ["a"] * 4, strict=True))).inputs
        target.set_reference(bank)
        inputs = target.reader.read(pairs()).inputs
        values = target.fill_values(inputs, "image", [0, 1, 2])["image"]
        rows = [next(j for j, x in enumerate(bank["pixel_values"]) if torch.equal(x, v)) for v in values]
        assert len(rows) == 3
        assert set(target.reference) == {"image"}

    def test_drop_takes_words_out_of_attention(self) -> None:
        target = make_target("fusion-resnet")
        inputs = target.reader.read(pairs()).inputs
        real = target.feature_mask(inputs)["text"]
        found = target.classify(inputs, {"text": torch.zeros(real.shape)}, "drop")
        shorter = {
            **inputs,
            "attention_mask": inputs["attention_mask"] * ~real,
        }
        torch.testing.assert_close(found, own_masked(target.model, shorter), rtol=0, atol=1e-5)

    @pytest.mark.parametrize("name", ["siglip", "visualbert-vqa"])
    def test_drop_is_refused_where_attention_is_not_heeded(self, name: str) -> None:
        target = make_target(name)
        inputs = target.reader.read(pairs()).inputs
        with pytest.raises(InputError, match="'drop' takes tokens out of attention"):
            target.classify(inputs, evenly(dict(target.feature_mask(inputs)), 0.0), "drop")

    def test_fills_of_the_image_leave_the_text_alone(self) -> None:
        x = make_target("clip").reader.read(pairs()).inputs["pixel_values"]
        target = make_target("clip")
        context = target.image.fill_context("image", [0, 1, 2])
        assert torch.equal(
            target.fill_values(target.reader.read(pairs()).inputs, "black", [0, 1, 2])["image"],
            fill_values("black", x, IMAGE, context),
        )


@torch.no_grad()
def own_masked(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    out = copy.deepcopy(model).eval()(
        inputs["pixel_values"], inputs["input_ids"], attention_mask=inputs["attention_mask"]
    )
    return out.logits


class TestForPeople:
    def test_both_modalities_as_a_person_sees_them(self) -> None:
        target = make_target("fusion-resnet")
        batch = target.reader.read(pairs())
        real = target.feature_mask(batch.inputs)
        shown = target.reader.show(batch, real)
        assert [("".join(s["text"])) for s in shown] == TEXTS
        assert shown[0]["image"].shape == (SIDE, SIDE, 3)
        scores = {k: torch.rand(m.shape) for k, m in real.items()}
        maps = target.reader.show_scores(batch, scores, real)
        assert [len(m["text"]) for m in maps] == [len(s["text"]) for s in shown]
        np.testing.assert_array_equal(maps[1]["image"], scores["image"][1, 0].numpy())
        assert set(target.reader.show_scores(batch, {"image": scores["image"]}, real)[0]) == {"image"}
        rows = target.reader.read([{"image": i, "text": t, "label": 1} for i, t in pairs()])
        assert target.reader.show_scores(rows, scores, real)[2]["text"] == maps[2]["text"]

    def test_remarks_say_which_text_was_cut(self) -> None:
        target = make_target("fusion-resnet", max_length=8)
        assert target.reader.read(pairs()).remarks == [{}, {"truncated": True}, {}]

    def test_truth_lies_on_pixels_and_on_tokens(self) -> None:
        target = make_target("fusion-resnet")
        batch = target.reader.read(pairs()[:2])
        square = np.zeros((40, 36), dtype=bool)
        square[:20, :18] = True
        evidence = [{"image": square, "text": [(2, 5)]}, {"image": square & False, "text": []}]
        truth = target.reader.truth(evidence, batch)
        assert truth["image"].shape == (2, 1, SIDE, SIDE)
        assert truth["image"][0].float().mean() == 0.25
        assert truth["text"].nonzero().tolist() == [[0, 2]]  # [CLS] a red square
        assert not truth["image"][1].any()
        only = target.reader.truth([{"text": [(0, 1)]}] * 2, batch)
        assert set(only) == {"text"}


class TestWhatIsTaken:
    def test_the_family_is_told_by_the_model(self) -> None:
        from transformers import CLIPForImageClassification

        processor = ImageTextProcessor(TRANSFORM, make_tokenizer())
        for name in NAMES:
            assert isinstance(as_target(make(name), processor), ImageTextTarget), name
        config = make("clip").config
        assert isinstance(as_target(CLIPForImageClassification(config), TRANSFORM), ImageTarget)

    def test_models_that_cannot_be_read_are_refused(self) -> None:
        from transformers import BlipConfig, BlipForImageTextRetrieval, VisualBertConfig
        from transformers import VisualBertForMultipleChoice as MultipleChoice

        with pytest.raises(UnsupportedTargetError, match="ViltForMaskedLM does not classify pairs"):
            as_target(vilt("MaskedLM"))
        with pytest.raises(UnsupportedTargetError, match="reads 2 images"):
            as_target(vilt("ImagesAndTextClassification", num_images=2))
        with pytest.raises(UnsupportedTargetError, match=r"VisualBertOnPixels\(model, image_encoder\)"):
            as_target(visual_bert("VisualReasoning").visual_bert, family="image+text")
        small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        blip = BlipForImageTextRetrieval(
            BlipConfig(text_config={**small, "vocab_size": 30}, vision_config={**small, "image_size": 32})
        )
        with pytest.raises(UnsupportedTargetError, match=r"'blip'.* is not an image-text model"):
            as_target(blip)
        with pytest.raises(UnsupportedTargetError, match="PlainPair"):
            as_target(PlainPair(), family="image+text")
        with pytest.raises(UnsupportedTargetError, match=r"no logits \[B, K\]"):
            VisualBertOnPixels(MultipleChoice(VisualBertConfig(**small, vocab_size=30)), None)  # type: ignore[arg-type]

    def test_vilt_that_reads_random_patches(self) -> None:
        model = vilt("QuestionAnswering", max_image_length=5)
        target = as_target(model, ImageTextProcessor(TRANSFORM, make_tokenizer()))
        with pytest.raises(InputError, match="a random 5 of 16 patches"):
            target.encode(target.reader.read(pairs()).inputs)

    def test_visual_bert_of_another_width(self) -> None:
        model = visual_bert("VisualReasoning")
        model.config.visual_embedding_dim = 99
        target = as_target(model, ImageTextProcessor(TRANSFORM, make_tokenizer()))
        with pytest.raises(UnsupportedTargetError, match="gives 12 channels; this VisualBERT takes 99"):
            target.encode(target.reader.read(pairs()).inputs)

    def test_too_few_hidden_states(self) -> None:
        target = make_target("fusion-resnet", layers=[7])
        with pytest.raises(ConfigError, match="hidden states 0 to 2"):
            target.encode(target.reader.read(pairs()).inputs)

    def test_other_scores_than_the_target_has(self) -> None:
        target = make_target("fusion-resnet")
        inputs = target.reader.read(pairs()).inputs
        with pytest.raises(InputError, match="scores of audio"):
            target.classify(inputs, {"audio": torch.ones(3, 1)})


class PlainPair(nn.Module):
    def forward(self, pixel_values: Tensor, input_ids: Tensor) -> Tensor:
        return pixel_values.mean((1, 2, 3))[:, None] + input_ids.float().mean(1)[:, None]


def test_one_similarity_of_a_fusion_is_a_matching() -> None:
    model = fusion(num_labels=1)
    target = as_target(model, ImageTextProcessor(TRANSFORM, make_tokenizer()))
    logits = target.encode(target.reader.read(pairs()).inputs).logits
    assert logits.shape == (3, 2)
    assert bool((logits[:, 0] == 0).all())
    assert target.id2label == {0: "no match", 1: "match"}


def test_saved_model_and_processor_open_as_one(tmp_path: Any) -> None:
    target = make_target("fusion-resnet")
    assert isinstance(target.model, FusionClassifier)
    target.model.save_pretrained(tmp_path)
    target.reader.save(tmp_path)
    model = ImageTextTarget.load_model(str(tmp_path))
    again = ImageTextTarget(model, ImageTextTarget.reader_type.load(str(tmp_path), {}))
    inputs, found = target.reader.read(pairs()).inputs, again.reader.read(pairs()).inputs
    assert inputs.keys() == found.keys()
    assert all(torch.equal(inputs[k], found[k]) for k in inputs)
    assert torch.equal(again.encode(found).logits, target.encode(inputs).logits)
    assert fingerprint(model) == target.fingerprint()
    more = ImageTextTarget.load_model(str(tmp_path), classes=["a", "b", "c", "d"])
    assert more.config.id2label == {0: "a", 1: "b", 2: "c", 3: "d"}  # type: ignore[union-attr]
    assert CLASSES == 3


def test_folder_of_another_model_class(tmp_path: Any) -> None:
    make("clip").save_pretrained(tmp_path)
    assert type(ImageTextTarget.load_model(str(tmp_path))).__name__ == "CLIPModel"
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace('"CLIPModel"', '"NoSuchModel"'))
    with pytest.raises(UnsupportedTargetError, match="NoSuchModel"):
        ImageTextTarget.load_model(str(tmp_path))


def test_a_modality_left_whole_is_not_encoded_again() -> None:
    target = make_target("fusion-resnet")
    inputs = target.reader.read(pairs()).inputs
    known = target.unmasked(inputs, target.encode(inputs))
    ran: list[str] = []
    for name in ("image", "text"):
        part = getattr(target.model, f"{name}_encoder")
        part.register_forward_hook(lambda *_, name=name: ran.append(name))
    masks = {m: torch.full(v.shape, 0.5) for m, v in target.feature_mask(inputs).items()}
    for asked in (["image"], ["text"], ["image", "text"]):
        target.classify(inputs, {m: masks[m] for m in asked}, unmasked=known)
        assert sorted(ran) == asked
        ran.clear()
    target.classify(inputs, {"image": masks["image"]})
    assert sorted(ran) == ["image", "text"]


@pytest.mark.parametrize("name", ["fusion-vit", "vilt-vqa"])
def test_metrics_of_one_modality_are_those_of_whole_passes(name: str) -> None:
    target = make_target(name)
    inputs = target.reader.read(pairs()).inputs
    probe = Probe(target, inputs, seeds=[0, 1, 2], forward_batch=2)
    masks = {"text": torch.where(target.feature_mask(inputs)["text"], 0.3, 1.0)}
    rows = torch.tensor([2, 0, 1, 1])
    taken = {k: v[rows] for k, v in inputs.items()}
    logits = target.classify(taken, {"text": masks["text"][rows]}, "mean")
    wanted = logits.softmax(-1).gather(1, probe.classes[rows, None]).squeeze(1)
    found = probe.confidence("mean", rows, lambda part: {"text": masks["text"][rows][part]})
    torch.testing.assert_close(found[:, 0], wanted, rtol=0, atol=1e-6)
    # rivals work on the same inputs: features of their own must reach the model
    assert set(probe.inputs) == set(inputs)
    for method in ("saliency", "integrated_gradients"):
        theirs = make_rival(method)(target, probe.inputs, probe.classes)
        own = make_rival(method)(target, inputs, probe.classes)
        assert all(torch.equal(theirs[m], own[m]) and bool((own[m] != 0).any()) for m in own)


def test_metrics_by_coordinate_of_a_pair_are_those_of_whole_passes() -> None:
    target = make_target("fusion-resnet")
    view = ChannelView(target, ["text"])
    inputs = target.reader.read(pairs()).inputs
    probe = Probe(view, inputs, seeds=[0, 1, 2])
    words = torch.where(target.feature_mask(inputs)["text"], 0.0, 1.0)
    every_channel = view.spread({"text": words}, inputs)
    found = probe.confidence("zero", torch.arange(3), lambda part: {"text": every_channel["text"][part]})
    wanted = target.classify(inputs, {"text": words}).softmax(-1).gather(1, probe.classes[:, None]).squeeze(1)
    assert (wanted - probe.clean).abs().max() > 1e-4
    torch.testing.assert_close(found[:, 0], wanted, rtol=0, atol=1e-6)
