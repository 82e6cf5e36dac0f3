"""Checks of the encoders in a fusion, and the width of their outputs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel

from sidelight.errors import UnsupportedTargetError

#: side in pixels of the trial picture for an encoder without a fixed size
TRIAL_SIZE = 64


def encoder_options(config: PreTrainedConfig) -> dict[str, Any]:
    """Return arguments for ``AutoModel`` that leave out an unused pooling layer."""
    try:
        kind = AutoModel._model_mapping[type(config)]
    except KeyError as error:
        raise UnsupportedTargetError(
            f"transformers has no plain model of type {config.model_type!r} to take as an encoder."
        ) from error
    kind = kind[0] if isinstance(kind, tuple) else kind
    return {"add_pooling_layer": False} if "add_pooling_layer" in inspect.signature(kind).parameters else {}


def new_encoder(config: PreTrainedConfig) -> PreTrainedModel:
    """Make an untrained encoder."""
    return AutoModel.from_config(config, **encoder_options(config))


def check_encoder(model: Any, reads: str) -> None:
    """Raise :class:`UnsupportedTargetError` unless ``model`` is an encoder of ``"input_ids"`` or ``"pixel_values"``."""
    parameters: Mapping[str, Any] = inspect.signature(model.forward).parameters
    other = {"input_ids": "pixel_values", "pixel_values": "input_ids"}[reads]
    config = getattr(model, "config", None)
    what = {"input_ids": "a text encoder", "pixel_values": "an image encoder"}[reads]
    if reads not in parameters or other in parameters or getattr(config, "is_encoder_decoder", False):
        raise UnsupportedTargetError(
            f"{type(model).__name__} is not {what}: it must take {reads} alone and be no encoder-decoder. "
            "Give e.g. BERT or RoBERTa for text, ViT, DeiT, ResNet or MobileNetV2 for images."
        )


def text_channels(encoder: PreTrainedModel) -> int:
    """Return the width of a text encoder's output, found in a trial pass."""
    # the word embeddings give the device, and every vocabulary has the id 0
    device = next(encoder.get_input_embeddings().parameters()).device
    return _try(encoder, {"input_ids": torch.zeros(1, 2, dtype=torch.long, device=device)}).shape[-1]


def image_channels(encoder: PreTrainedModel) -> int:
    """Return the width or channels of an image encoder's output, found in a trial pass."""
    size = getattr(encoder.config, "image_size", None) or TRIAL_SIZE
    sides = (size, size) if isinstance(size, int) else tuple(size)
    first = next(encoder.parameters())
    shape = (1, getattr(encoder.config, "num_channels", 3), *sides)
    state = _try(encoder, {"pixel_values": torch.zeros(shape, dtype=first.dtype, device=first.device)})
    return state.shape[1] if state.ndim == 4 else state.shape[-1]


@torch.no_grad()
def _try(encoder: PreTrainedModel, inputs: dict[str, Tensor]) -> Tensor:
    modes = [m for m in encoder.modules() if m.training]
    encoder.eval()
    try:
        state = getattr(encoder(**inputs), "last_hidden_state", None)
    finally:
        for module in modes:
            module.training = True
    if not isinstance(state, Tensor) or state.ndim not in (3, 4):
        raise UnsupportedTargetError(
            f"{type(encoder).__name__} gives no last_hidden_state [B, L, D] or [B, C, h, w] to fuse."
        )
    return state
