"""Tiny classifiers, rows and files under the names that the examples of README and docs use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    PreTrainedTokenizerFast,
    ResNetConfig,
    ResNetForImageClassification,
    ResNetModel,
)

from sidelight import ImageTransform
from sidelight.models.fusion import FusionClassifier
from sidelight.targets import ImageTextProcessor

SIDE = 32
WORDS = [
    "what",
    "a",
    "wonderful",
    ",",
    "day",
    "dull",
    "film",
    "two",
    "dogs",
    "on",
    "the",
    "beach",
    "not",
    "so",
]
SENTENCES = [
    "what a wonderful day",
    "a dull film",
    "two dogs on the beach",
    "not so wonderful",
    "so dull, so dull",
]
ENCODER: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}
RESNET: dict[str, Any] = {
    "embedding_size": 8,
    "hidden_sizes": [8, 16],
    "depths": [1, 1],
    "layer_type": "basic",
}


def names(folder: Path) -> dict[str, Any]:
    """What the examples take as given; files go to ``folder``."""
    photos = [{"image": photo(seed), "label": seed % 2} for seed in range(24)]
    texts = [{"text": SENTENCES[i % len(SENTENCES)], "label": i % 2} for i in range(24)]
    pairs = [{**photos[i], "text": texts[i]["text"]} for i in range(24)]
    photo(99).save(folder / "photo.jpg")
    lines = ["text,label", *(f'"{row["text"]}",{row["label"]}' for row in texts)]
    (folder / "reviews.csv").write_text("\n".join(lines), encoding="utf-8")
    tokenizer = make_tokenizer()
    transform = ImageTransform((SIDE, SIDE))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return {
            "image_model": lively(ResNetForImageClassification(ResNetConfig(**RESNET, num_labels=2))),
            "image_processor": transform,
            "photos": photos,
            "text_model": lively(
                BertForSequenceClassification(BertConfig(**ENCODER, vocab_size=len(tokenizer)))
            ),
            "tokenizer": tokenizer,
            "texts": texts,
            "pair_model": lively(pair_model(tokenizer)),
            "pair_processor": ImageTextProcessor(transform, tokenizer),
            "pairs": pairs,
        }


def photo(seed: int) -> Image.Image:
    """A dark picture with one bright half."""
    pixels = np.random.default_rng(seed).integers(0, 60, (SIDE, SIDE, 3), dtype=np.uint8)
    half = slice(0, SIDE // 2) if seed % 2 else slice(SIDE // 2, SIDE)
    pixels[:, half] += 160
    return Image.fromarray(pixels)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer of whole words."""
    own = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    own.normalizer = normalizers.Lowercase()
    own.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    own.train_from_iterator(WORDS, trainers.WordLevelTrainer(special_tokens=special, show_progress=False))
    own.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    parts = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    return PreTrainedTokenizerFast(tokenizer_object=own, model_max_length=32, **parts)


def pair_model(tokenizer: PreTrainedTokenizerFast) -> nn.Module:
    """A fusion classifier of two classes."""
    text = BertModel(BertConfig(**ENCODER, vocab_size=len(tokenizer)))
    image = ResNetModel(ResNetConfig(**RESNET))
    return FusionClassifier.from_encoders(text, image, width=16, heads=2, num_labels=2)


def lively(model: nn.Module) -> nn.Module:
    """``model`` with weights large enough to tell inputs apart."""
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data.mul_(3)
    return model.eval()
