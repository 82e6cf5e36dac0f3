"""Tiny random models of every architecture that reads an image and a text, and pairs to show them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

import toy_models
from sidelight.inputs.images import ImageTransform
from sidelight.targets import ImageTextProcessor, ImageTextTarget

SIDE = 32
LONGEST = 16
VOCABULARY = 60
CLASSES = 3
TRANSFORM = ImageTransform((SIDE, SIDE))
TEXTS = ["a red square", "there is no blue circle near the green cross", "dull"]
ENCODER: dict[str, Any] = {**toy_models.SMALL, "intermediate_size": 24}
TEXT = {**ENCODER, "vocab_size": VOCABULARY, "max_position_embeddings": LONGEST}
VISION = {**ENCODER, "image_size": SIDE, "patch_size": 8}


@cache
def _trained() -> str:
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = list(toy_models.BERT_TOKENS)
    trainer = trainers.WordLevelTrainer(vocab_size=VOCABULARY, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer.to_str()


def make_tokenizer(**options: Any) -> PreTrainedTokenizerFast:
    """A word-level tokenizer: padding 0, first token 2, last token 3."""
    return toy_models.bert_like(_trained(), model_max_length=LONGEST, **options)


def tokenizer_of(name: str) -> PreTrainedTokenizerFast:
    """A tokenizer for the model ``name``. That of SigLIP gives no attention mask, as its own does not."""
    return make_tokenizer(**({"model_input_names": ["input_ids"]} if name == "siglip" else {}))


def bert() -> nn.Module:
    return toy_models.bert(**TEXT)


def vit() -> nn.Module:
    return toy_models.vit(**VISION)


def resnet() -> nn.Module:
    return toy_models.resnet(hidden_sizes=[8, 12])


def fusion(image: Callable[[], nn.Module] = resnet, **options: Any) -> Any:
    """A fusion classifier of three classes."""
    from sidelight.models.fusion import FusionClassifier

    own = {"width": 16, "heads": 2, "dropout": 0.2, "num_labels": CLASSES, **options}
    return FusionClassifier.from_encoders(bert(), image(), **own)  # type: ignore[arg-type]


def clip() -> nn.Module:
    from transformers import CLIPConfig, CLIPModel

    text = {**TEXT, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=VISION, projection_dim=12))


def siglip() -> nn.Module:
    from transformers import SiglipConfig, SiglipModel

    text = {**TEXT, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    return SiglipModel(SiglipConfig(text_config=text, vision_config=VISION))


def dual() -> nn.Module:
    from transformers import BertConfig, VisionTextDualEncoderConfig, VisionTextDualEncoderModel, ViTConfig

    config = VisionTextDualEncoderConfig.from_vision_text_configs(
        ViTConfig(**VISION), BertConfig(**TEXT), projection_dim=12
    )
    return VisionTextDualEncoderModel(config)


def vilt(head: str, **options: Any) -> nn.Module:
    import transformers

    config = transformers.ViltConfig(
        **{**TEXT, **VISION, "num_labels": CLASSES, "max_image_length": -1, **options}
    )
    return getattr(transformers, f"ViltFor{head}")(config)


def visual_bert(head: str) -> nn.Module:
    import transformers

    from sidelight.models.visual_bert import VisualBertOnPixels

    config = transformers.VisualBertConfig(**TEXT, visual_embedding_dim=12, num_labels=CLASSES)
    return VisualBertOnPixels(getattr(transformers, f"VisualBertFor{head}")(config), resnet())  # type: ignore[arg-type]


BUILDERS: dict[str, Callable[[], Any]] = {
    "fusion-resnet": fusion,
    "fusion-vit": lambda: fusion(vit),
    "clip": clip,
    "siglip": siglip,
    "dual": dual,
    "vilt-vqa": lambda: vilt("QuestionAnswering"),
    "vilt-retrieval": lambda: vilt("ImageAndTextRetrieval"),
    "vilt-pairs": lambda: vilt("ImagesAndTextClassification", num_images=1),
    "visualbert-vqa": lambda: visual_bert("QuestionAnswering"),
    "visualbert-nlvr": lambda: visual_bert("VisualReasoning"),
}


def make(name: str, seed: int = 0) -> Any:
    """The model ``name`` in training mode, its weights large enough to tell inputs apart."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = BUILDERS[name]()
        with torch.no_grad():
            for key, value in model.named_parameters():
                if value.ndim > 1:
                    value.mul_(3)
                elif "position" in key:
                    value.normal_()
            for key, value in model.state_dict().items():
                if key.endswith("running_var"):
                    value.uniform_(0.5, 1.5)
                elif "position_embeddings" in key or key.endswith("cls_token"):
                    value.normal_(0, 0.5)
    return model.train()


def make_target(name: str, **options: Any) -> ImageTextTarget:
    """The model ``name`` behind the target protocol, with what prepares pairs for it."""
    return ImageTextTarget(make(name), ImageTextProcessor(TRANSFORM, tokenizer_of(name)), **options)


def images(count: int = 3, seed: int = 0, size: tuple[int, int] = (40, 36)) -> list[Image.Image]:
    """Seeded RGB noise."""
    rng = np.random.default_rng(seed)
    return [Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)) for _ in range(count)]


def pairs() -> list[tuple[Image.Image, str]]:
    """Three pairs, their texts of three lengths."""
    return list(zip(images(), TEXTS, strict=True))


def evenly(mask: dict[str, Tensor], level: float) -> dict[str, Tensor]:
    """The same score for every feature."""
    return {name: torch.full(m.shape, level) for name, m in mask.items()}


def match_rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows of a bright half and a text that names a half; label 1 where they agree."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        side, said = rng.integers(2), rng.integers(2)
        image = rng.integers(0, 50, (16, 16, 3), dtype=np.uint8)
        image[:, 8 * side : 8 * side + 8] += 180
        pixels = np.zeros((16, 16), dtype=bool)
        pixels[:, 8 * side : 8 * side + 8] = True
        word = ("red", "blue")[said]
        text = f"a {word} square"
        rows.append(
            {
                "image": Image.fromarray(image),
                "text": text,
                "label": int(side == said),
                "evidence": {"image": pixels, "text": [(2, 2 + len(word))]},
            }
        )
    return rows


def save_parts(folder: Path) -> tuple[Path, Path]:
    """A saved text encoder with its tokenizer, and a saved image encoder with its transform."""
    text, image = folder / "text", folder / "image"
    bert().save_pretrained(text)  # type: ignore[operator]
    make_tokenizer().save_pretrained(text)
    resnet().save_pretrained(image)  # type: ignore[operator]
    ImageTextProcessor(TRANSFORM).save_pretrained(image)
    return text, image
