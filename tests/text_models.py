"""Tiny random classifiers of every text family, and tokenizers trained in memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    DebertaConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    GPT2Config,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    RobertaConfig,
    XLMRobertaConfig,
)

import toy_models

CORPUS = [
    "the film was not great but the story is charming",
    "a truly awful movie, with weak acting and a dull script!",
    "don't miss this one: thrilling, elegant, memorable (see www.films.org)",
    "naïve café résumé, über größe; straße",
    "我喜欢这部电影，非常好看。",
    "מצוין מאוד הסרט الفيلم رائع جدا",
    "so good 😀👍🏽 #mustsee @critic 10.5/10",
] * 4
SPECIAL = {
    "bert": {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"},
    "roberta": {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"},
    "gpt": {"pad": "<|pad|>", "unk": "<|unk|>", "eos": "<|end|>"},
    "llama": {"unk": "<unk>", "bos": "<s>", "eos": "</s>", "pad": "<pad>"},
}
TEXTS = ["the film was great", "a truly awful movie, with weak acting!", "dull"]


def _wordpiece(special: list[str]) -> Tokenizer:
    return toy_models.wordpiece(CORPUS, 260, special)


def _byte_bpe(special: list[str]) -> Tokenizer:
    tokenizer = toy_models.byte_bpe(CORPUS, 340, special)
    if "<mask>" in special:
        tokenizer.post_processor = processors.RobertaProcessing(
            ("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False
        )
    return tokenizer


def _unigram(special: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=200, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    ids = {token: i for i, token in enumerate(special)}
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", ids["<s>"]), ("</s>", ids["</s>"])],
    )
    return tokenizer


def _byte_fallback(special: list[str]) -> Tokenizer:
    """Llama-style: BPE over the text with spaces marked, bytes for what the vocabulary lacks."""
    byte_tokens = [f"<0x{i:02X}>" for i in range(256)]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback()])
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=special + byte_tokens, limit_alphabet=40, show_progress=False
    )
    # no piece may span two words, as SentencePiece trains by default: ties between merges are broken anew in
    # every process, and now and then "great the" became one piece
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.pre_tokenizer = None
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", special.index("<s>"))]
    )
    return tokenizer


_KINDS: dict[str, tuple[Callable[[list[str]], Tokenizer], str]] = {
    "wordpiece": (_wordpiece, "bert"),
    "byte_bpe": (_byte_bpe, "roberta"),
    "gpt_bpe": (_byte_bpe, "gpt"),
    "unigram": (_unigram, "roberta"),
    "byte_fallback": (_byte_fallback, "llama"),
}
TOKENIZERS = tuple(_KINDS)


@cache
def _trained(kind: str) -> str:
    train, family = _KINDS[kind]
    return train(list(SPECIAL[family].values())).to_str()


def make_tokenizer(kind: str, **options: Any) -> PreTrainedTokenizerFast:
    """A fresh tokenizer of a family; its vocabulary is trained once."""
    names: dict[str, Any] = {f"{k}_token": v for k, v in SPECIAL[_KINDS[kind][1]].items()}
    if kind == "wordpiece":
        names["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
    return toy_models.fast(_trained(kind), **{**names, **options})


_ENCODER = {
    **toy_models.SMALL,
    "vocab_size": 512,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_labels": 3,
}
_CONFIGS: dict[str, tuple[Callable[[], Any], str]] = {
    "bert": (lambda: BertConfig(**_ENCODER, max_position_embeddings=40), "wordpiece"),
    "minilm": (lambda: BertConfig(**{**_ENCODER, "num_hidden_layers": 3}), "wordpiece"),
    "distilbert": (
        lambda: DistilBertConfig(vocab_size=512, dim=32, n_layers=2, n_heads=2, hidden_dim=48, num_labels=3),
        "wordpiece",
    ),
    "electra": (lambda: ElectraConfig(**_ENCODER, embedding_size=24), "wordpiece"),
    "roberta": (
        lambda: RobertaConfig(**_ENCODER, max_position_embeddings=42, pad_token_id=1),
        "byte_bpe",
    ),
    "xlm-roberta": (lambda: XLMRobertaConfig(**_ENCODER, pad_token_id=1), "unigram"),
    "deberta": (
        lambda: DebertaConfig(**_ENCODER, relative_attention=True, pos_att_type=["p2c", "c2p"]),
        "byte_bpe",
    ),
    "deberta-v3": (
        lambda: DebertaV2Config(
            **_ENCODER,
            relative_attention=True,
            position_buckets=16,
            pos_att_type=["p2c", "c2p"],
            position_biased_input=False,
            type_vocab_size=0,
            share_att_key=True,
            norm_rel_ebd="layer_norm",
            embedding_size=24,
        ),
        "unigram",
    ),
    "gpt2": (
        lambda: GPT2Config(
            vocab_size=512, n_embd=32, n_layer=2, n_head=2, n_positions=64, num_labels=3, pad_token_id=0
        ),
        "gpt_bpe",
    ),
    "llama": (
        lambda: LlamaConfig(**_ENCODER, num_key_value_heads=1, pad_token_id=3),
        "byte_fallback",
    ),
    "qwen2": (lambda: Qwen2Config(**_ENCODER, num_key_value_heads=1, pad_token_id=0), "gpt_bpe"),
}
FAMILIES = tuple(_CONFIGS)
DECODERS_ONLY = ("gpt2", "llama", "qwen2")


def make_model(family: str) -> nn.Module:
    """A tiny classifier with random weights large enough to tell inputs apart."""
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(_CONFIGS[family][0]()).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4)
    return model


def make_pair(family: str, **options: Any) -> tuple[nn.Module, PreTrainedTokenizerFast]:
    """A model and a tokenizer that fits it."""
    return make_model(family), make_tokenizer(_CONFIGS[family][1], **options)
