"""A tiny random model of every sequence classifier in transformers, where its configuration can be shrunk."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from fault_models import tok
from torch import nn
from transformers import PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES as NAMES

#: what sizes are called, and how small they are made
WIDTH = ("hidden_size", "d_model", "dim", "n_embd", "embedding_size", "emb_dim", "word_embed_proj_dim")
LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "decoder_layers")
HEADS = (
    "num_attention_heads",
    "n_head",
    "n_heads",
    "num_heads",
    "encoder_attention_heads",
    "decoder_attention_heads",
)
INNER = (
    "intermediate_size",
    "hidden_dim",
    "ffn_dim",
    "encoder_ffn_dim",
    "decoder_ffn_dim",
    "d_ff",
    "d_inner",
    "n_inner",
)
SIZES: dict[str, int] = {
    **dict.fromkeys(WIDTH, 16),
    **dict.fromkeys(LAYERS, 2),
    **dict.fromkeys((*HEADS, "num_key_value_heads"), 2),
    **dict.fromkeys((*INNER, "ffn_hidden_size", "moe_intermediate_size"), 24),
    **dict.fromkeys(
        ("d_head", "head_dim", "d_kv", "v_head_dim", "qk_head_dim", "kv_lora_rank", "q_lora_rank"), 8
    ),
    **dict.fromkeys(("qk_rope_head_dim", "qk_nope_head_dim"), 4),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len"), 64),
    **dict.fromkeys(("num_local_experts", "num_experts", "n_routed_experts"), 2),
    "num_experts_per_tok": 1,
    "attention_window": 8,
    "image_size": 32,
    "patch_size": 16,
}
#: sizes of families that have rules of their own; ``None``: as the configuration has it
OWN: dict[str, dict[str, Any]] = {
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "funnel": {"num_hidden_layers": None, "block_sizes": [1, 1]},
    "gptj": {"rotary_dim": 4},
    "falcon": {"head_dim": None},
    "lilt": {"channel_shrink_ratio": 2, "hidden_size": 24, "num_attention_heads": 2},
    "hunyuan_v1_dense": {"head_dim": 8},
    "hunyuan_v1_moe": {"head_dim": 8},
    "ministral": {"head_dim": 8},
    "nemotron": {"head_dim": 8, "num_key_value_heads": 2},
    "layoutlmv3": {"coordinate_size": 2, "shape_size": 4, "visual_embed": False},
    "deepseek_v2": {"topk_method": "greedy", "n_group": 1, "topk_group": 1, "first_k_dense_replace": 2},
    "deepseek_v3": {"n_group": 1, "topk_group": 1, "first_k_dense_replace": 2, "head_dim": 4},
    "axk1": {"n_group": 1, "topk_group": 1, "first_k_dense_replace": 2, "head_dim": 4},
    "cohere_compass_text": {
        "layer_types": ["full_attention"] * 2,
        "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 10000.0}},
    },
    "reformer": {"axial_pos_shape": [8, 8], "axial_pos_embds_dim": [8, 8]},
    "xlnet": {"max_position_embeddings": None},
    "t5": {"decoder_start_token_id": 0},
    "umt5": {"decoder_start_token_id": 0},
    "jamba": {
        "num_hidden_layers": 4,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "use_mamba_kernels": False,
    },
    "zamba": {
        "num_hidden_layers": 6,
        "attn_layer_period": 3,
        "attn_layer_offset": 1,
        "layers_block_type": None,
        "use_mamba_kernels": False,
    },
    "zamba2": {
        "num_hidden_layers": 4,
        "layers_block_type": ["linear_attention", "hybrid"] * 2,
        "hybrid_layer_ids": [1, 3],
    },
    "xmod": {"default_language": "en_XX"},
    "qwen3_next": {"num_hidden_layers": 4},
    "qwen3_5_text": {"num_hidden_layers": 4},
    "qwen3_5": {"text_config": {"num_hidden_layers": 4}},
    "luke": {"entity_vocab_size": 10, "entity_emb_size": 16},
    "markuplm": {"xpath_unit_hidden_size": 4},
    # its usual stand-in for a norm lets random weights grow until texts get the same logits
    "mobilebert": {"normalization_type": "layer_norm"},
    "perceiver": {"num_latents": 8, "d_latents": 16, "d_model": 16},
}
#: seconds that building one may take; the rest has defaults too large to be shrunk like this
PATIENCE = 40


def build(kind: str) -> Any:
    """A random classifier of three classes for the vocabulary of ``tok()``; raises anything where it cannot be made."""
    sizes = {**_small(CONFIG_MAPPING[kind]()), "num_labels": 3}
    own = OWN.get(kind, {})
    sizes |= {k: {**sizes[k], **v} if isinstance(sizes.get(k), dict) else v for k, v in own.items()}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = CONFIG_MAPPING[kind](**{k: v for k, v in sizes.items() if v is not None})
        model = getattr(transformers, NAMES[kind])(config).eval()
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.data.normal_(0, 0.3)
        for module in model.modules():
            if isinstance(module, nn.Embedding) and module.padding_idx is not None:
                module.weight.data[module.padding_idx] = 0  # as training leaves it
    return model


def _small(base: Any) -> dict[str, Any]:
    """What makes a configuration like ``base`` small, the configurations inside it too."""
    sizes = {k: v for k, v in SIZES.items() if type(getattr(base, k, None)) is int}
    special = {k: 3 for k in ("bos_token_id", "eos_token_id") if getattr(base, k, None) is not None}
    inside = {
        k: {**_small(v), "model_type": v.model_type}
        for k, v in vars(base).items()
        if isinstance(v, PreTrainedConfig)
    }
    vocabulary = {"vocab_size": len(tok()), "pad_token_id": 0} if hasattr(base, "vocab_size") else {}
    return {**sizes, **special, **inside, **vocabulary}
