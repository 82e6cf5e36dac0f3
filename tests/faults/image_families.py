"""A tiny random classifier of every image family of transformers, and where it cannot be built, why."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES as NAMES

#: what makes a family small; sizes that the others have by default are left alone
_TRANSFORMER = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "image_size": 64,
    "patch_size": 8,
}
_VISION = {
    "vision_config": dict(_TRANSFORMER),
    "text_config": {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "vocab_size": 64,
        "projection_dim": 16,
    },
    "projection_dim": 16,
}
SMALL: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("beit", "data2vec-vision", "deit", "dinov2", "dinov2_with_registers", "ijepa", "vit", "vit_msn"), _TRANSFORMER),
    **dict.fromkeys(("clip", "metaclip_2", "siglip"), _VISION),
    "shieldgemma2": {
        "vision_config": {**_TRANSFORMER},
        "text_config": {
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 16,
            "intermediate_size": 32,
            "vocab_size": 64,
        },
        "mm_tokens_per_image": 16,
    },
    "siglip2": {**_VISION, "vision_config": {**_TRANSFORMER, "num_patches": 64}},
    "bit": {"embedding_size": 16, "hidden_sizes": [16, 24, 32, 48], "depths": [1, 1, 1, 1], "num_groups": 4},
    "convnext": {"hidden_sizes": [16, 24, 32, 48], "depths": [1, 1, 1, 1], "image_size": 64},
    "convnextv2": {"hidden_sizes": [16, 24, 32, 48], "depths": [1, 1, 1, 1], "image_size": 64},
    "cvt": {"embed_dim": [16, 24, 32], "num_heads": [1, 1, 2], "depth": [1, 2, 3]},
    "dinat": {"embed_dim": 16, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 2, 2]},
    "donut-swin": {"embed_dim": 16, "depths": [1, 1, 2], "num_heads": [1, 2, 4], "image_size": 64, "patch_size": 4, "window_size": 4},
    "swin": {"embed_dim": 16, "depths": [1, 1, 2], "num_heads": [1, 2, 4], "image_size": 64, "patch_size": 4, "window_size": 4},
    "swinv2": {"embed_dim": 16, "depths": [1, 1, 2], "num_heads": [1, 2, 4], "image_size": 64, "patch_size": 4, "window_size": 4},
    "efficientnet": {"width_coefficient": 0.25, "depth_coefficient": 0.2, "image_size": 64, "hidden_dim": 320},
    "focalnet": {"embed_dim": 16, "depths": [1, 1, 1, 1], "image_size": 64, "hidden_sizes": [16, 32, 64, 128]},
    "hgnet_v2": {
        "embedding_size": 16,
        "hidden_sizes": [16, 24, 32, 48],
        "depths": [1, 1, 1, 1],
        "stem_channels": [3, 8, 16],
        "stage_in_channels": [16, 16, 24, 32],
        "stage_mid_channels": [8, 8, 8, 8],
        "stage_out_channels": [16, 24, 32, 48],
        "stage_num_blocks": [1, 1, 1, 1],
    },
    "hiera": {"embed_dim": 16, "depths": [1, 1, 2, 1], "num_heads": [1, 2, 2, 4], "image_size": [64, 64], "masked_unit_size": [8, 8]},
    "imagegpt": {"n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 65, "n_positions": 64},
    "levit": {"hidden_sizes": [16, 32, 48], "num_attention_heads": [1, 2, 2], "depths": [1, 1, 1], "key_dim": [8, 8, 8], "image_size": 64},
    "mobilenet_v1": {"depth_multiplier": 0.25, "min_depth": 4, "image_size": 64},
    "mobilenet_v2": {"depth_multiplier": 0.25, "min_depth": 4, "image_size": 64},
    "mobilevit": {"hidden_sizes": [16, 24, 32], "neck_hidden_sizes": [8, 8, 16, 16, 24, 24, 48], "image_size": 64, "num_attention_heads": 2},
    "mobilevitv2": {"width_multiplier": 0.25, "image_size": 64},
    "perceiver": {"num_latents": 16, "d_latents": 32, "num_blocks": 1, "num_self_attends_per_block": 2, "num_self_attention_heads": 2, "num_cross_attention_heads": 1, "image_size": 64},
    "poolformer": {"hidden_sizes": [16, 24, 32, 48], "depths": [1, 1, 1, 1]},
    "pp_lcnet": {"scale": 0.25},
    "pvt": {"hidden_sizes": [16, 24, 32, 48], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 1, 2, 2], "image_size": 64, "sequence_reduction_ratios": [8, 4, 2, 1]},
    "pvt_v2": {"hidden_sizes": [16, 24, 32, 48], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 1, 2, 2], "image_size": 64},
    "regnet": {"embedding_size": 16, "hidden_sizes": [16, 24, 32, 48], "depths": [1, 1, 1, 1], "groups_width": 8},
    "resnet": {"embedding_size": 16, "hidden_sizes": [16, 24, 32, 48], "depths": [1, 1, 1, 1], "layer_type": "basic"},
    "segformer": {"hidden_sizes": [16, 24, 32, 48], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 1, 2, 2]},
    "swiftformer": {"embed_dims": [16, 24, 32, 48], "depths": [1, 1, 1, 1], "image_size": 64},
    "textnet": {"hidden_sizes": [16, 16, 24, 32, 48], "stem_out_channels": 16, "image_size": [64, 64]},
}  # fmt: skip


def classes() -> list[tuple[str, str]]:
    """``(model type, class name)`` of every image classifier of transformers."""
    return [(k, c) for k, v in NAMES.items() for c in (v if isinstance(v, tuple) else (v,))]


def build(kind: str, name: str, **more: Any) -> Any:
    """A tiny random model of class ``name``, in evaluation mode; what goes wrong is raised."""
    config = transformers.AutoConfig.for_model(kind, num_labels=3, **{**SMALL.get(kind, {}), **more})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = getattr(transformers, name)(config).eval()
        return _lively(model)


def _lively(model: Any) -> Any:
    """``model`` with statistics of its own: with small random weights the picture fades away layer by layer."""
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the mean of what it saw
        norm.train()
    if norms:
        with torch.no_grad():
            model(pixel_values=torch.randn(8, 3, 64, 64))
    return model.eval()
