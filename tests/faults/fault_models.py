"""What the reproducers of reported faults share: a small tokenizer, classifiers of texts and pictures, sixty texts.

The names follow the reports: ``tok``, ``model``, ``eye``, ``SQUARE``, ``T``, ``P`` and ``S``.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
    ViTConfig,
    ViTForImageClassification,
)

from sidelight import ImageTransform

_GOOD = ["great", "charming", "funny", "moving", "clever"]
_BAD = ["dull", "awful", "boring", "weak", "clumsy"]
_THINGS = ["film", "story", "plot", "acting", "script", "ending"]

#: sixty short texts, all different
T: list[str] = [
    f"the {t} was {g} but the rest is {b}" for t in _THINGS for g, b in zip(_GOOD, _BAD, strict=True)
]
T += [f"a {b} {t} with a {g} idea" for t in _THINGS for g, b in zip(_GOOD, _BAD, strict=True)]

SIDE = 32
SQUARE = ImageTransform((SIDE, SIDE))

#: settings under which a training takes about a second
S: dict[str, Any] = {
    "epochs": 1,
    "batch_size": 16,
    "evals_per_epoch": 1,
    "label": "prediction",
    "on_collapse": "warn",
}


def pictures(count: int = 40, seed: int = 0, side: int = SIDE) -> list[Image.Image]:
    """Random pictures, all different."""
    noise = np.random.default_rng(seed)
    return [Image.fromarray(noise.integers(0, 256, (side, side, 3), dtype=np.uint8)) for _ in range(count)]


#: forty random pictures
P = pictures()


@cache
def _wordpiece() -> str:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(T, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return tokenizer.to_str()


def tok(max_length: int = 64) -> PreTrainedTokenizerFast:
    """A WordPiece tokenizer with [CLS] and [SEP]: padding 0, unknown 1, first 2, last 3, mask 4."""
    names = {f"{n}_token": f"[{n.upper()}]" for n in ("pad", "unk", "cls", "sep", "mask")}
    own = Tokenizer.from_str(_wordpiece())
    return PreTrainedTokenizerFast(tokenizer_object=own, model_max_length=max_length, **names)


@cache
def _bytes() -> str:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(T, trainer)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer.to_str()


def bt() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer as GPT-2 has it: no padding token until one is added."""
    own = Tokenizer.from_str(_bytes())
    return PreTrainedTokenizerFast(tokenizer_object=own, model_max_length=64, eos_token="<|end|>")


#: sizes of both models below
_SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}


def bert(vocabulary: int | None = None, labels: int = 3, seed: int = 0, **options: Any) -> Any:
    """A random BERT classifier of two layers, in evaluation mode, whose verdicts differ from text to text."""
    config = BertConfig(
        vocab_size=len(tok()) if vocabulary is None else vocabulary,
        **_SMALL,
        max_position_embeddings=64,
        num_labels=labels,
        initializer_range=0.5,
        **options,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return BertForSequenceClassification(config).eval()


def eye(labels: int = 3, seed: int = 0, **options: Any) -> Any:
    """A random ViT classifier of two layers for pictures of 32 pixels, in evaluation mode."""
    config = ViTConfig(
        image_size=SIDE,
        patch_size=8,
        **_SMALL,
        num_labels=labels,
        initializer_range=0.3,
        **options,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return ViTForImageClassification(config).eval()
