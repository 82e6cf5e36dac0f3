"""A session's numbers beside those of the model called by itself, and what each move costs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import pair_models
from face_toys import image_explainer, pair_explainer, pictures, text_explainer
from sidelight import Explainer
from sidelight.errors import ConfigError, InputError, InputTypeError, TargetMismatchError, UnknownNameError
from sidelight.lab.side_by_side.passes import counted_passes
from sidelight.live.session import Session
from sidelight.live.units import GONE
from sidelight.live.views import view_of

TEXT = "the story is charming and the film was dull"


@pytest.fixture(scope="module")
def texts() -> Explainer:
    return text_explainer()


@pytest.fixture(scope="module")
def images() -> Explainer:
    return image_explainer()


@pytest.fixture(scope="module")
def pairs() -> Explainer:
    return pair_explainer()


@contextmanager
def embeddings_times(embedding: torch.nn.Module, mask: Tensor) -> Iterator[None]:
    """Within the context, the word embeddings are multiplied by ``mask [T]``."""
    handle = embedding.register_forward_hook(lambda module, given, out: out * mask[:, None])
    try:
        yield
    finally:
        handle.remove()


def token_mask(explainer: Explainer, text: str, gone: list[str]) -> tuple[dict[str, Tensor], Tensor]:
    """Inputs from the tokenizer itself, and 0 at each token that lies in one of the words ``gone``."""
    tokenizer = explainer.target.reader.tokenizer
    found = tokenizer(text, return_tensors="pt", return_offsets_mapping=True)
    offsets = found.pop("offset_mapping")[0].tolist()
    places = [(text.index(word), text.index(word) + len(word)) for word in gone]
    lost = [any(a >= x and b <= y and b > a for x, y in places) for a, b in offsets]
    return dict(found), 1.0 - torch.tensor(lost).float()


def probabilities(model: Any, inputs: dict[str, Tensor]) -> np.ndarray:
    with torch.no_grad():
        return model(**inputs).logits.softmax(-1)[0].numpy()


def best(values: np.ndarray, count: int) -> np.ndarray:
    """True at the ``count`` largest values, by sorting pairs one by one."""
    order = sorted(range(values.size), key=lambda i: (-values.ravel()[i], i))
    kept = np.zeros(values.size, dtype=bool)
    kept[order[:count]] = True
    return kept.reshape(values.shape)


class TestTexts:
    @pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9])
    def test_the_slider_gives_the_models_own_probabilities(self, texts: Explainer, share: float) -> None:
        session = texts.live(TEXT)
        masked = session.keep(share)
        ranking = texts.explain(TEXT).ranking
        assert ranking is not None
        stays = best(ranking["text"], int(share * 9 + 0.5))
        assert masked.stays["text"].tolist() == stays.tolist()
        # the words are unlike each other but for "the", which the offsets tell apart
        starts = np.cumsum([0, *(len(w) for w in session.explanation.inputs["text"][:-1])])
        inputs, mask = token_mask(texts, TEXT, [])
        offsets = texts.target.reader.tokenizer(TEXT, return_offsets_mapping=True)["offset_mapping"]
        for t, (a, b) in enumerate(offsets):
            word = int(np.searchsorted(starts, a, side="right")) - 1
            mask[t] = 0.0 if b > a and not stays[word] else 1.0
        with embeddings_times(texts.target.embedding, mask):
            expected = probabilities(texts.target.model, inputs)
        np.testing.assert_allclose(masked.probabilities, expected, atol=1e-6)
        assert masked.probability == pytest.approx(expected.max(), abs=1e-6)
        assert masked.prediction == expected.argmax()

    def test_removed_words_go_whatever_the_slider_says(self, texts: Explainer) -> None:
        session = texts.live(TEXT)
        masked = session.remove([3, 8])
        inputs, mask = token_mask(texts, TEXT, ["charming", "dull"])
        assert mask.min() == 0
        with embeddings_times(texts.target.embedding, mask):
            expected = probabilities(texts.target.model, inputs)
        np.testing.assert_allclose(masked.probabilities, expected, atol=1e-6)
        assert masked.inputs["text"] == [
            "the ",
            "story ",
            "is ",
            f"{GONE} ",
            "and ",
            "the ",
            "film ",
            "was ",
            GONE,
        ]
        assert not session.keep(0.8).stays["text"][[3, 8]].any()
        np.testing.assert_array_equal(session.remove([]).stays["text"], session.units.stay(0.8, ())["text"])

    def test_all_is_kept_at_first(self, texts: Explainer) -> None:
        session = texts.live(TEXT)
        assert session.masked.probability == pytest.approx(session.explanation.probability, abs=1e-6)
        assert session.selection["words"] == list(range(9))
        assert session.selection["text"] == TEXT.split()

    def test_typing_is_a_new_explanation(self, texts: Explainer) -> None:
        session = texts.live(TEXT)
        session.keep(0.5)
        session.remove([0])
        found = session.retype("a dull film")
        other = texts.explain("a dull film")
        np.testing.assert_allclose(found.map, other.map, atol=1e-6)
        assert found.probability == pytest.approx(other.probability, abs=1e-6)
        assert session.removed == ()
        assert session.share == 0.5
        assert len(session.masked.stays["text"]) == 3

    def test_a_text_that_cannot_be_read_changes_nothing(self, texts: Explainer) -> None:
        session = texts.live(TEXT)
        before = session.keep(0.5)
        with pytest.raises(InputError, match="only white space"):
            session.retype("   ")
        assert session.masked is before
        assert session.sample == TEXT

    def test_another_class_costs_no_pass(self, texts: Explainer) -> None:
        session = texts.live(TEXT)
        with counted_passes(texts.target) as passes:
            found = session.ask(2, 0)
        assert passes.count == 0
        other = texts.explain(TEXT, target=2, versus=0)
        np.testing.assert_allclose(found.map, other.map, atol=1e-6)
        assert session.masked.explained_probability == pytest.approx(session.masked.probabilities[2])

    def test_the_slider_costs_one_pass(self, texts: Explainer) -> None:
        session = texts.live(TEXT)
        for move in (
            lambda: session.keep(0.4),
            lambda: session.remove([1]),
            lambda: session.fill_with("mean"),
        ):
            with counted_passes(texts.target) as passes:
                move()
            assert passes.count == 1

    def test_a_class_that_was_compared_with_may_be_predicted_now(self, texts: Explainer) -> None:
        session = texts.live(TEXT)
        others = [k for k in range(3) if k != session.explanation.prediction]
        session.ask(None, others[0])
        for text in ("a", "dull dull dull", "charming film", "what a story"):
            assert session.retype(text).inputs["text"]

    def test_a_cut_text_shows_what_was_not_read(self, texts: Explainer) -> None:
        long = "dull film " * 400
        session = texts.live(long)
        assert session.explanation.meta["truncated"]
        read = session.units.read["text"]
        assert not read[-1]
        assert read[:-1].all()
        assert session.keep(0.5).stays["text"].sum() == int(0.5 * read.sum() + 0.5)

    def test_the_certificate_is_that_of_explain(self, texts: Explainer) -> None:
        session = texts.live(TEXT, target=1)
        measured = texts.explain(TEXT, target=1, verify=True).meta["certificate"]
        assert [c["fill"] for c in session.certify().meta["certificate"]] == [c["fill"] for c in measured]
        for one, other in zip(session.explanation.meta["certificate"], measured, strict=True):
            assert one["kept"] == pytest.approx(other["kept"], abs=1e-5)


class TestImages:
    @pytest.mark.parametrize("share", [0.1, 0.6])
    def test_the_slider_gives_the_models_own_probabilities(self, images: Explainer, share: float) -> None:
        picture = pictures(1)[0]
        session = images.live(picture)
        masked = session.keep(share)
        ranking = images.explain(picture).ranking
        assert ranking is not None
        stays = best(ranking["image"], int(share * 32 * 32 + 0.5))
        np.testing.assert_array_equal(masked.stays["image"], stays)
        pixels = images.target.reader.transform(picture)[None]
        mask = torch.from_numpy(stays).float()
        expected = probabilities(images.target.model, {"pixel_values": pixels * mask})
        np.testing.assert_allclose(masked.probabilities, expected, atol=1e-6)
        session.fill_with("mean")
        filled = pixels * mask + (1 - mask) * pixels.mean((2, 3), keepdim=True)
        expected = probabilities(images.target.model, {"pixel_values": filled})
        np.testing.assert_allclose(session.masked.probabilities, expected, atol=1e-6)

    def test_the_picture_shows_the_fill(self, images: Explainer) -> None:
        masked = images.live(pictures(1)[0]).keep(0.3)
        shown, stays = masked.inputs["image"], masked.stays["image"]
        assert shown.shape == (32, 32, 3)
        np.testing.assert_allclose(shown[~stays], 0.5, atol=1e-6)  # zero in normalised pixels is grey

    def test_another_picture(self, images: Explainer) -> None:
        first, second = pictures(2)
        session = images.live(first)
        np.testing.assert_allclose(session.show(second).map, images.explain(second).map, atol=1e-6)
        with pytest.raises(InputError, match="reads no text"):
            session.retype("a film")
        with pytest.raises(InputError, match="there is no word 0"):
            session.remove([0])


class TestPairs:
    def test_both_modalities_are_masked(self, pairs: Explainer) -> None:
        sample = pair_models.pairs()[0]
        session = pairs.live(sample)
        masked = session.keep(0.4)
        batch = pairs.target.reader.read([sample], labelled=False)
        ids = batch.inputs["input_ids"][0]
        mask = torch.ones(len(ids))
        for tokens, stay in zip(session.units.tokens or (), masked.stays["text"], strict=True):
            mask[list(tokens)] = float(stay)
        pixels = batch.inputs["pixel_values"] * torch.from_numpy(masked.stays["image"]).float()
        taken = {k: v for k, v in batch.inputs.items() if k != "special_tokens_mask"}
        with embeddings_times(pairs.target.text.embedding, mask):  # type: ignore[attr-defined]
            expected = probabilities(pairs.target.model, {**taken, "pixel_values": pixels})
        np.testing.assert_allclose(masked.probabilities, expected, atol=1e-5)
        assert 0 < mask.min() + mask.mean() < 2

    def test_each_part_can_be_replaced(self, pairs: Explainer) -> None:
        image, _ = pair_models.pairs()[0]
        other = pictures(1, seed=4)[0]
        session = pairs.live((image, "a red circle"))
        assert session.retype("two green squares").inputs["text"] == ["two ", "green ", "squares"]
        found = session.show(other)
        expected = pairs.explain((other, "two green squares"))
        np.testing.assert_allclose(found.scores["image"], expected.scores["image"], atol=1e-6)

    def test_an_image_with_two_texts_is_shown_as_its_row_is_explained(self, pairs: Explainer) -> None:
        image, texts = pictures(1, seed=4)[0], ("a red square", "no blue circle")
        (expected,) = pairs.explain([{"image": image, "premise": texts[0], "hypothesis": texts[1]}])
        for sample in ((image, texts), {"image": image, "premise": texts[0], "hypothesis": texts[1]}):
            session = pairs.live(sample)
            assert session.sample == (image, texts)
            assert session.explanation.inputs["text"] == expected.inputs["text"]
            np.testing.assert_allclose(session.explanation.scores["text"], expected.scores["text"], atol=1e-6)
            view = view_of(session)
            assert (view["text"], view["typing"]) == ("", False)  # a box holds one text
        (again,) = pairs.explain([(image, texts)])
        np.testing.assert_allclose(again.scores["image"], expected.scores["image"], atol=1e-6)
        assert pairs.explain((image, texts)).inputs["text"] == expected.inputs["text"]


class TestBadCalls:
    @pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), "0.5", True, None])
    def test_shares(self, texts: Explainer, share: Any) -> None:
        with pytest.raises(InputError, match=r"share must be a number in \[0, 1\]"):
            texts.live(TEXT).keep(share)

    @pytest.mark.parametrize(
        ("words", "said"), [([9], "there is no word 9"), ([-1], "no word -1"), (["x"], "a list")]
    )
    def test_words(self, texts: Explainer, words: Any, said: str) -> None:
        with pytest.raises(InputError, match=said):
            texts.live(TEXT).remove(words)

    def test_several_samples(self, texts: Explainer) -> None:
        with pytest.raises(InputTypeError, match="one input is shown at a time"):
            texts.live(["a", "b"])

    def test_classes_and_fills(self, texts: Explainer) -> None:
        session = texts.live(TEXT)
        with pytest.raises(ConfigError, match="no class"):
            session.ask("cat")
        with pytest.raises(UnknownNameError, match="blurr"):
            session.fill_with("blurr")
        assert session.fill == "zero"
        with pytest.raises(ConfigError, match="predicted class only"):
            text_explainer(by_class=False).live(TEXT, target=1)

    def test_a_row_is_the_sample_in_it(self, texts: Explainer) -> None:
        assert texts.live({"text": TEXT, "label": 1}).sample == TEXT


def test_a_scorer_of_the_predicted_class_has_a_session() -> None:
    session = Session(text_explainer(by_class=False), TEXT)  # type: ignore[arg-type]
    assert session.keep(0.5).stays["text"].sum() == 5


def test_a_session_notices_that_the_classifier_was_trained_on() -> None:
    explainer = text_explainer()
    session = explainer.live(TEXT)
    with torch.no_grad():
        next(explainer.target.model.parameters()).add_(0.5)
    for move in (lambda: session.keep(0.5), lambda: session.remove([1]), lambda: session.fill_with("mean")):
        with pytest.raises(TargetMismatchError, match="have changed"):
            move()
    assert (session.share, session.removed) == (1.0, ())
