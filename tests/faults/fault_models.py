"""What the reproducers of reported faults share: a small tokenizer, classifiers of texts and pictures, sixty texts.

The names follow the reports: ``tok``, ``model``, ``eye``, ``SQUARE``, ``T``, ``P`` and ``S``.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import processors
from transformers import (
    PreTrainedTokenizerFast,
)

import toy_models
from sidelight import Explainer, ImageTransform, ScorerConfig
from sidelight.targets import as_target
from sidelight.training.network import new_scorer

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
    tokenizer = toy_models.wordpiece(T, 200)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return tokenizer.to_str()


def tok(max_length: int = 64) -> PreTrainedTokenizerFast:
    """A WordPiece tokenizer with [CLS] and [SEP]: padding 0, unknown 1, first 2, last 3, mask 4."""
    return toy_models.bert_like(_wordpiece(), model_max_length=max_length)


@cache
def _bytes() -> str:
    return toy_models.byte_bpe(T, 320, ["<|end|>"]).to_str()


def bt() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer as GPT-2 has it: no padding token until one is added."""
    return toy_models.fast(_bytes(), model_max_length=64, eos_token="<|end|>")


#: sizes of both models below
_SMALL = {"hidden_size": 32, "intermediate_size": 48}


def bert(vocabulary: int | None = None, labels: int = 3, seed: int = 0, **options: Any) -> Any:
    """A random BERT classifier of two layers, in evaluation mode, whose verdicts differ from text to text."""
    size = len(tok()) if vocabulary is None else vocabulary
    own = {**_SMALL, "vocab_size": size, "max_position_embeddings": 64, "initializer_range": 0.5, **options}
    return toy_models.seeded(lambda: toy_models.bert(num_labels=labels, **own).eval(), seed)


def eye(labels: int = 3, seed: int = 0, **options: Any) -> Any:
    """A random ViT classifier of two layers for pictures of 32 pixels, in evaluation mode."""
    own = {**_SMALL, "image_size": SIDE, "initializer_range": 0.3, **options}
    return toy_models.seeded(lambda: toy_models.vit(num_labels=labels, **own).eval(), seed)


def untrained(model: Any, processor: Any, row: Any) -> Explainer:
    """An explainer of ``model`` with a scorer by class that was never trained. ``row`` is one sample."""
    target = as_target(model, processor)
    torch.manual_seed(0)
    return Explainer(target, new_scorer(target, [row], ScorerConfig(by_class=True)))
