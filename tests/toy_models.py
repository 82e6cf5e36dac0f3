"""The architectures and tokenizers that all toy models are made of, each built in one place.

The modules beside this one choose sizes, weights and data: :mod:`tiny_models` (images), :mod:`text_models`,
:mod:`pair_models`, :mod:`helpers_training` (trained for a moment), :mod:`baseline_toys` and :mod:`fault_models`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    MobileNetV2Config,
    MobileNetV2ForImageClassification,
    PreTrainedTokenizerFast,
    ResNetConfig,
    ResNetForImageClassification,
    ResNetModel,
    ViTConfig,
    ViTForImageClassification,
    ViTModel,
)

#: sizes of a small transformer, of two layers unless more are wanted
SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
BERT_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def vit(**options: Any) -> Any:
    """A ViT with patches of 8 pixels: a classifier if ``num_labels`` is given, else an encoder."""
    kind = ViTForImageClassification if "num_labels" in options else ViTModel
    return kind(ViTConfig(**{**SMALL, "patch_size": 8, **options}))


def resnet(**options: Any) -> Any:
    """A ResNet of basic blocks, one a stage: a classifier if ``num_labels`` is given, else an encoder."""
    sizes = {"embedding_size": 8, "hidden_sizes": [8, 16], "layer_type": "basic", **options}
    kind = ResNetForImageClassification if "num_labels" in options else ResNetModel
    return kind(ResNetConfig(**{"depths": [1] * len(sizes["hidden_sizes"]), **sizes}))


def mobilenet(**options: Any) -> Any:
    """A MobileNetV2 classifier of a quarter of the usual width."""
    return MobileNetV2ForImageClassification(MobileNetV2Config(depth_multiplier=0.25, **options))


def bert(**options: Any) -> Any:
    """A BERT: a classifier if ``num_labels`` is given, else an encoder."""
    kind = BertForSequenceClassification if "num_labels" in options else BertModel
    return kind(BertConfig(**{**SMALL, **options}))


def seeded(build: Callable[[], Any], seed: int = 0) -> Any:
    """What ``build`` makes from a seed; the caller's random state stays."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()


def wordpiece(texts: Sequence[str], size: int, special: Sequence[str] = BERT_TOKENS) -> Tokenizer:
    """A WordPiece tokenizer without case, as BERT has it; it adds ``[CLS]`` (2) and ``[SEP]`` (3)."""
    tokenizer = Tokenizer(models.WordPiece(_pieces(texts, size, special), unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(list(special))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def _pieces(texts: Sequence[str], size: int, special: Sequence[str]) -> dict[str, int]:
    """The vocabulary of WordPiece, the same in every process.

    The trainer numbers the letters inside words in an order that changes from process to process, and breaks ties between
    pieces by these numbers. So the letters are given to it in the order of the alphabet.
    """
    trained = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    trained.normalizer = normalizers.BertNormalizer(lowercase=True)
    trained.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    letters = sorted({letter for text in texts for letter in trained.normalizer.normalize_str(text)})
    known = [*special, *(f"##{letter}" for letter in letters if not letter.isspace())]
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=known, show_progress=False)
    trained.train_from_iterator(texts, trainer)
    return trained.get_vocab()


def byte_bpe(texts: Sequence[str], size: int, special: Sequence[str]) -> Tokenizer:
    """A byte-level BPE tokenizer as GPT-2 has it; it adds nothing."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def fast(trained: str, **options: Any) -> PreTrainedTokenizerFast:
    """A fresh tokenizer from the text that ``Tokenizer.to_str`` gave."""
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(trained), **options)


def bert_like(trained: str, **options: Any) -> PreTrainedTokenizerFast:
    """As :func:`fast`, with the names of BERT's special tokens."""
    names = {f"{token.strip('[]').lower()}_token": token for token in BERT_TOKENS}
    return fast(trained, **names, **options)
