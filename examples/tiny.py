"""Stands in for your own model: tiny classifiers, trained for a moment on made-up data, each with a fitted scorer."""

from __future__ import annotations

import tempfile

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
    ResNetConfig,
    ResNetForImageClassification,
)

from sidelight import Explainer, ImageTransform

SIDE = 32
FILLER = [
    "the",
    "a",
    "film",
    "story",
    "acting",
    "script",
    "was",
    "is",
    "very",
    "rather",
    "with",
    "and",
    "this",
    "one",
]
OPINIONS = {0: ["dull", "awful", "weak"], 1: ["great", "charming", "thrilling"]}


def pictures(count: int, seed: int = 0) -> list[dict]:
    """Rows of dark noise with one square: red has label 0, blue has label 1."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        pixels = rng.integers(0, 70, (SIDE, SIDE, 3), dtype=np.uint8)
        top, left = rng.integers(0, SIDE - 10, 2)
        pixels[top : top + 10, left : left + 10, 2 * (i % 2)] += 180
        rows.append({"image": Image.fromarray(pixels), "label": i % 2})
    return rows


def texts(count: int, seed: int = 0) -> list[dict]:
    """Rows of filler words with one opinion: bad ones have label 0, good ones have label 1."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        words = rng.choice(FILLER, 7).tolist()
        words[rng.integers(7)] = str(rng.choice(OPINIONS[i % 2]))
        rows.append({"text": " ".join(words), "label": i % 2})
    return rows


def image_explainer() -> Explainer:
    """A scorer beside a small ResNet."""
    torch.manual_seed(0)
    transform, rows = ImageTransform((SIDE, SIDE)), pictures(192)
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    config.id2label, config.label2id = {0: "red", 1: "blue"}, {"red": 0, "blue": 1}
    model = ResNetForImageClassification(config)
    learn(model, {"pixel_values": torch.stack([transform(row["image"]) for row in rows])}, rows)
    return fitted(model, rows, transform)


def text_explainer() -> Explainer:
    """A scorer beside a small BERT."""
    torch.manual_seed(0)
    rows, words = texts(192), tokenizer()
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
    )
    config.id2label, config.label2id = {0: "bad", 1: "good"}, {"bad": 0, "good": 1}
    model = BertForSequenceClassification(config)
    learn(model, dict(words([row["text"] for row in rows], padding=True, return_tensors="pt")), rows)
    return fitted(model, rows, words)


def tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer of whole words."""
    own = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    own.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    known = [*FILLER, *OPINIONS[0], *OPINIONS[1]]
    own.train_from_iterator(known, trainers.WordLevelTrainer(special_tokens=special, show_progress=False))
    own.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = {f"{t.strip('[]').lower()}_token": t for t in special}
    return PreTrainedTokenizerFast(tokenizer_object=own, model_max_length=32, **names)


def learn(
    model: torch.nn.Module, inputs: dict, rows: list[dict], steps: int = 60, rate: float = 5e-3
) -> None:
    """Train the classifier on all rows at once."""
    labels = torch.tensor([row["label"] for row in rows])
    optimiser = torch.optim.AdamW(model.train().parameters(), lr=rate)
    for _ in range(steps):
        optimiser.zero_grad()
        model(**inputs, labels=labels).loss.backward()
        optimiser.step()
    model.eval()


def fitted(model: torch.nn.Module, rows: list[dict], processor: object) -> Explainer:
    """The scorer. A real one gets some thousand rows and more epochs."""
    folder = tempfile.mkdtemp(prefix="sidelight-example-")
    quiet = {"extra": {"disable_tqdm": True}, "learning_rate": 3e-3, "on_collapse": "warn"}
    return Explainer.fit(
        model, rows, processor=processor, epochs=4, batch_size=16, output_dir=folder, **quiet
    )
