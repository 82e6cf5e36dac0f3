"""Models that people use, with random weights, to be timed. Random weights cost as much as trained ones.

The numbers of layers and channels are those of the published checkpoints named beside each model.
"""

from __future__ import annotations

from typing import Any

from sidelight.core.registry import Registry
from sidelight.inputs.images import ImageTransform
from sidelight.inputs.pairs import ImageTextProcessor
from sidelight.targets import TargetModel, as_target

#: Sides of a picture, in pixels.
SIDES = (224, 224)
#: Classes of ImageNet.
CLASSES = 1000

#: Targets with random weights, by name.
SHAPES: Registry[Any] = Registry("model to time")


def _pictures(model: Any) -> TargetModel:
    return as_target(model.eval(), ImageTransform(SIDES))


@SHAPES.register("vit-b16")
def _vit() -> TargetModel:  # google/vit-base-patch16-224
    from transformers import ViTConfig, ViTForImageClassification

    return _pictures(ViTForImageClassification(ViTConfig(num_labels=CLASSES)))


@SHAPES.register("deit-s")
def _deit() -> TargetModel:  # facebook/deit-small-patch16-224
    from transformers import ViTConfig, ViTForImageClassification

    sizes = {"hidden_size": 384, "num_attention_heads": 6, "intermediate_size": 1536}
    return _pictures(ViTForImageClassification(ViTConfig(num_labels=CLASSES, **sizes)))


@SHAPES.register("dinov2-s")
def _dino() -> TargetModel:  # facebook/dinov2-small
    from transformers import Dinov2Config, Dinov2ForImageClassification

    sizes = {"hidden_size": 384, "num_attention_heads": 6, "image_size": 224, "patch_size": 14}
    return _pictures(Dinov2ForImageClassification(Dinov2Config(num_labels=CLASSES, **sizes)))


@SHAPES.register("clip-vit-b32")
def _clip() -> TargetModel:  # the picture side of openai/clip-vit-base-patch32
    from transformers import CLIPConfig, CLIPForImageClassification

    vision = {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
    }
    small = {"num_hidden_layers": 1}  # the text side takes no part
    config = CLIPConfig(vision_config={**vision, "patch_size": 32}, text_config=small, num_labels=CLASSES)
    return _pictures(CLIPForImageClassification(config))


@SHAPES.register("swin-t")
def _swin() -> TargetModel:  # microsoft/swin-tiny-patch4-window7-224
    from transformers import SwinConfig, SwinForImageClassification

    return _pictures(SwinForImageClassification(SwinConfig(num_labels=CLASSES)))


@SHAPES.register("convnext-t")
def _convnext() -> TargetModel:  # facebook/convnext-tiny-224
    from transformers import ConvNextConfig, ConvNextForImageClassification

    return _pictures(ConvNextForImageClassification(ConvNextConfig(num_labels=CLASSES)))


@SHAPES.register("resnet-50")
def _resnet() -> TargetModel:  # microsoft/resnet-50
    from transformers import ResNetConfig, ResNetForImageClassification

    return _pictures(ResNetForImageClassification(ResNetConfig(num_labels=CLASSES)))


@SHAPES.register("mobilenet-v2")
def _mobilenet() -> TargetModel:  # google/mobilenet_v2_1.0_224
    from transformers import MobileNetV2Config, MobileNetV2ForImageClassification

    return _pictures(MobileNetV2ForImageClassification(MobileNetV2Config(num_labels=CLASSES)))


@SHAPES.register("roberta-base-shape")
def _roberta() -> TargetModel:  # FacebookAI/roberta-base
    from transformers import RobertaConfig, RobertaForSequenceClassification

    config = RobertaConfig(
        vocab_size=50265, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5, num_labels=2
    )
    return as_target(RobertaForSequenceClassification(config).eval())


@SHAPES.register("distilbert")
def _distilbert() -> TargetModel:  # distilbert/distilbert-base-uncased
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    return as_target(DistilBertForSequenceClassification(DistilBertConfig(num_labels=2)).eval())


@SHAPES.register("deberta-v3-base")
def _deberta() -> TargetModel:  # microsoft/deberta-v3-base
    from transformers import DebertaV2Config, DebertaV2ForSequenceClassification

    sizes = {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
    }
    attention = {
        "relative_attention": True,
        "position_buckets": 256,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "type_vocab_size": 0,
    }
    config = DebertaV2Config(vocab_size=128100, num_labels=2, **sizes, **attention)
    return as_target(DebertaV2ForSequenceClassification(config).eval())


@SHAPES.register("minilm-l6")
def _minilm() -> TargetModel:  # sentence-transformers/all-MiniLM-L6-v2
    from transformers import BertConfig, BertForSequenceClassification

    sizes = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
    return as_target(BertForSequenceClassification(BertConfig(num_labels=2, **sizes)).eval())


@SHAPES.register("gpt2")
def _gpt2() -> TargetModel:  # openai-community/gpt2
    from transformers import GPT2Config, GPT2ForSequenceClassification

    config = GPT2Config(num_labels=2, pad_token_id=50256)
    return as_target(GPT2ForSequenceClassification(config).eval())


@SHAPES.register("qwen2-0.5b")
def _qwen() -> TargetModel:  # Qwen/Qwen2-0.5B
    from transformers import Qwen2Config, Qwen2ForSequenceClassification

    sizes = {
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
    }
    config = Qwen2Config(
        vocab_size=151936,
        num_key_value_heads=2,
        num_labels=2,
        pad_token_id=151643,
        max_position_embeddings=4096,
        **sizes,
    )
    return as_target(Qwen2ForSequenceClassification(config).eval())


@SHAPES.register("vit-roberta-shape")
def _pair() -> TargetModel:  # the fusion has the thesis's size, as in configs/hub/
    from sidelight.models.fusion import FusionClassifier

    texts, pictures = _roberta(), _vit()
    model = FusionClassifier.from_encoders(
        texts.model.roberta, pictures.model.vit, width=256, layers=2, heads=8
    )
    return as_target(model.eval(), ImageTextProcessor(ImageTransform(SIDES)))
