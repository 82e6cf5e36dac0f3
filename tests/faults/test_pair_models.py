"""Models that read an image with a text: what they are given, and modules of one's own that are no such model."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from fault_models import SQUARE, P, eye, untrained
from torch import Tensor, nn

import sidelight
import toy_models
from pair_models import LONGEST, TEXTS, TRANSFORM, images, make, make_tokenizer, pairs, tokenizer_of
from serving_toys import one
from sidelight import Explainer, ExplainFailure
from sidelight.checks.selfcheck import self_check
from sidelight.errors import ConfigError, InputError, InputTypeError, SelfCheckError, UnsupportedTargetError
from sidelight.serving import ServeOptions, app
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


@torch.no_grad()
def test_kind_siglip_heeds_a_mask_of_the_users_whatever_its_tokenizer_gives() -> None:
    """It was dropped without a word, so the probabilities were those of other inputs."""
    model, tokenizer = make("siglip"), make_tokenizer(model_input_names=["input_ids"])
    explainer = untrained(model.eval(), ImageTextProcessor(TRANSFORM, tokenizer), pairs()[0])
    words = make_tokenizer()(TEXTS, padding="max_length", max_length=LONGEST, return_tensors="pt")
    words.pop("token_type_ids", None)
    inputs = {"pixel_values": torch.stack([TRANSFORM(image) for image in images()]), **words}
    own = model(**inputs).logits_per_image.diagonal()
    found = explainer.explain(inputs)
    torch.testing.assert_close(torch.tensor([e.probabilities[1] for e in found]), own.sigmoid())
    without = {name: value for name, value in inputs.items() if name != "attention_mask"}
    plain = explainer.target.encode(without).logits
    torch.testing.assert_close(plain, siglip_alone(model, tokenizer), rtol=0, atol=1e-5)
    assert not torch.allclose(own, plain[:, 1], atol=1e-3)


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


class Own(nn.Module):
    """A module of one's own that reads both. No reader knows it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.words, self.head = nn.Conv2d(3, 8, 3, 2), nn.Embedding(60, 8), nn.Linear(16, 3)

    def forward(self, pixel_values: Tensor, input_ids: Tensor) -> Tensor:
        seen, read = self.conv(pixel_values).relu().mean((2, 3)), self.words(input_ids).mean(1)
        found: Tensor = self.head(torch.cat([seen, read], 1))
        return found


class Otherwise(Own):
    """The same with other names, so that its inputs tell nothing."""

    def forward(self, picture: Tensor, words: Tensor) -> Tensor:
        return super().forward(picture, words)


@pytest.mark.parametrize("kind", [Own, Otherwise])
@pytest.mark.parametrize("options", [{}, {"layers": ["conv"]}, {"layers": [-1]}])
def test_kind_a_pair_module_of_ones_own_is_said_to_be_unknown(kind: Any, options: dict[str, Any]) -> None:
    for processor in (ImageTextProcessor(TRANSFORM, make_tokenizer()), (TRANSFORM, make_tokenizer())):
        with pytest.raises(UnsupportedTargetError, match=f"{kind.__name__} .*is not an image-text model"):
            as_target(kind(), processor, **options)


def test_kind_an_unknown_pair_model_is_told_what_is_read_and_what_to_do() -> None:
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    flava = transformers.FlavaModel(
        transformers.FlavaConfig(
            text_config=small, image_config={**small, "image_size": 32}, multimodal_config=small
        )
    )
    with pytest.raises(UnsupportedTargetError) as found:
        as_target(flava, ImageTextProcessor(TRANSFORM, make_tokenizer()))
    told = str(found.value)
    assert "clip, chinese_clip, altclip, metaclip_2, vision-text-dual-encoder, siglip, which compare" in told
    assert "classifiers of the types sidelight-fusion, vilt, visual_bert" in told
    assert "FusionClassifier" in told


@pytest.mark.parametrize(
    ("make_one", "words"),
    [
        (lambda: toy_models.vit(image_size=32, num_labels=3), "reads images alone. Give its image processor"),
        (lambda: toy_models.bert(num_labels=3, vocab_size=60), "reads texts alone. Give its tokenizer"),
    ],
)
def test_kind_a_processor_of_pairs_beside_a_model_of_one_modality_is_told(make_one: Any, words: str) -> None:
    with pytest.raises(UnsupportedTargetError, match=words):
        as_target(make_one(), ImageTextProcessor(TRANSFORM, make_tokenizer()))


def test_kind_layers_of_another_kind_are_told() -> None:
    both = ImageTextProcessor(TRANSFORM, make_tokenizer())
    for layers in (["conv"], "conv"):
        with pytest.raises(ConfigError, match=r"CLIPModel reads texts, so layers are numbers.*'conv'"):
            as_target(make("clip"), both, layers=layers)
    with pytest.raises(ConfigError, match=r"reads texts, so layers are numbers of its hidden states"):
        as_target(toy_models.bert(num_labels=3, vocab_size=60), make_tokenizer(), layers=["encoder"])
    with pytest.raises(ConfigError, match=r"reads images, so layers are names of submodules.*states="):
        as_target(toy_models.vit(image_size=32, num_labels=3), TRANSFORM, layers=[-1])


def test_kind_a_pair_given_to_a_model_of_one_modality_is_told() -> None:
    pair = pairs()[0]
    with pytest.raises(InputTypeError, match="classifier of images alone"):
        as_target(toy_models.vit(image_size=32, num_labels=3), TRANSFORM).reader.prepare([pair])
    with pytest.raises(InputTypeError, match="classifier of texts alone"):
        as_target(toy_models.bert(num_labels=3, vocab_size=60), make_tokenizer()).reader.read([pair])


def test_kind_a_pair_model_that_changes_its_pixels_in_place() -> None:
    model = make("fusion-resnet")

    def scale(_module: Any, _args: Any, given: dict[str, Any]) -> None:
        given["pixel_values"].mul_(2)

    model.image_encoder.register_forward_pre_hook(scale, with_kwargs=True)
    target = as_target(model, ImageTextProcessor(TRANSFORM, make_tokenizer()))
    inputs = target.reader.read(pairs()).inputs
    before, whole = inputs["pixel_values"].clone(), target.unmasked(inputs)
    first, second = (target.classify(inputs, {}, unmasked=whole) for _ in range(2))
    torch.testing.assert_close(first, second)
    torch.testing.assert_close(first, target.encode(inputs).logits)
    assert torch.equal(inputs["pixel_values"], before)


@pytest.fixture(scope="module")
def both() -> Explainer:
    processor = ImageTextProcessor(TRANSFORM, make_tokenizer())
    return untrained(make("fusion-resnet").eval(), processor, pairs()[0])


@pytest.mark.parametrize("names", [("text", "text_pair"), ("premise", "hypothesis"), ("sentence", "label")])
def test_kind_a_row_is_the_same_pair_for_a_pipeline_and_for_explain(
    both: Explainer, names: tuple[str, str]
) -> None:
    """The pipeline left out the second of two texts, and refused what explain takes."""
    row = {"img": images()[0], names[0]: TEXTS[0], names[1]: TEXTS[1]}
    alone, found = both.explain(row), sidelight.pipeline(explainer=both)(row)["explanation"]
    assert found.inputs["text"] == alone.inputs["text"]
    np.testing.assert_allclose(found.scores["text"], alone.scores["text"], atol=1e-5)


@pytest.mark.parametrize("count", [-1, "2", 1.5, True])
def test_kind_a_number_of_answers_that_is_none_is_told(both: Explainer, count: Any) -> None:
    with pytest.raises(ConfigError, match="top_k must be a number of answers"):
        sidelight.pipeline(explainer=both)(pairs()[0], top_k=count)


def test_kind_a_pair_in_the_wrong_fields_of_a_form_is_told_which(both: Explainer) -> None:
    """The message was "image must be a file, and 'image' a value"."""
    service = app({"pairs": both}, ServeOptions())
    picture = {"text": ("a.png", b"content", "image/png")}
    found = one(service, data={"image": TEXTS[0]}, files=picture)
    assert found.json()["error"]["message"] == "in a form, 'image' must be a file."
    found = one(service, files=picture)
    assert found.json()["error"]["message"] == "in a form, 'text' must be a value and no file."


def test_kind_a_model_of_regions_is_told_that_it_takes_no_pixels() -> None:
    """It was said to read texts alone, and then that it is for another task."""
    config = transformers.LxmertConfig(
        hidden_size=16,
        num_attention_heads=2,
        intermediate_size=24,
        vocab_size=99,
        l_layers=1,
        x_layers=1,
        r_layers=1,
    )
    model = transformers.LxmertForQuestionAnswering(config)
    with pytest.raises(
        UnsupportedTargetError,
        match=r"regions that a detector found \(visual_feats\) and not pixels\. sidelight reads models",
    ):
        as_target(model, ImageTextProcessor(TRANSFORM, make_tokenizer()))


def test_kind_models_that_join_two_encoders_are_not_called_text_models() -> None:
    """They name ids as their main input, so they were read as classifiers of texts, which lacked this and that."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    eyes, words = {**sizes, "image_size": 16, "patch_size": 8}, {**sizes, "vocab_size": 20}
    blip = transformers.BlipConfig(text_config=words, vision_config=eyes, projection_dim=8)
    flava = transformers.FlavaConfig(image_config=eyes, text_config=words, multimodal_config=sizes)
    pictures = transformers.BlipImageProcessor(size={"height": 16, "width": 16})
    processor = transformers.BlipProcessor(pictures, make_tokenizer())
    for model in (transformers.BlipModel(blip), transformers.FlavaModel(flava)):
        with pytest.raises(
            UnsupportedTargetError, match="is not an image-text model that sidelight can read"
        ):
            as_target(model, processor)


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA])
def test_kind_a_missing_picture_is_called_missing(both: Explainer, missing: Any) -> None:
    """pandas gives NaN for an empty cell of a table, and the message spoke of a float."""
    whole = {"image": images(1)[0], "text": "a red square"}
    for row in ({**whole, "image": missing}, (missing, "a red square")):
        found = both.explain([row, whole], errors="skip")
        assert isinstance(found[0], ExplainFailure)
        assert re.search(
            rf"(image of this row is|has no image) \(?{re.escape(repr(missing))}\)?\. Leave", found[0].reason
        )
        assert found[1].label
    with pytest.raises(InputError, match=r"row 1 of train: the image of this row is .*\. Leave the row out"):
        Explainer.fit(both.target, [whole, {**whole, "image": missing}])


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA])
def test_kind_a_missing_picture_of_a_model_of_pictures_is_called_missing(missing: Any) -> None:
    explainer = untrained(eye(), SQUARE, P[0])
    for row in (missing, {"image": missing}):
        found = explainer.explain([row, P[0]], errors="skip")
        assert isinstance(found[0], ExplainFailure)
        assert "missing value: leave the row out" in found[0].reason
