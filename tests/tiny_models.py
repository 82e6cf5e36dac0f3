"""Tiny randomly initialised image classifiers of each family, made in milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import toy_models

#: rows and columns of the inputs below, not square on purpose
SIZE = (32, 48)
CLASSES = 5
#: sizes of the transformers
TOKENS: dict[str, Any] = {**toy_models.SMALL, "num_hidden_layers": 3, "num_labels": CLASSES}


def _deit() -> nn.Module:
    from transformers import DeiTConfig, DeiTForImageClassification

    return DeiTForImageClassification(DeiTConfig(image_size=SIZE, patch_size=8, **TOKENS))


def _beit() -> nn.Module:
    from transformers import BeitConfig, BeitForImageClassification

    return BeitForImageClassification(BeitConfig(image_size=SIZE, patch_size=8, **TOKENS))


def _dinov2_registers() -> nn.Module:
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersForImageClassification

    options = {**TOKENS, "mlp_ratio": 2}
    del options["intermediate_size"]
    config = Dinov2WithRegistersConfig(image_size=32, patch_size=8, num_register_tokens=4, **options)
    return Dinov2WithRegistersForImageClassification(config)


def _swin() -> nn.Module:
    from transformers import SwinConfig, SwinForImageClassification

    config = SwinConfig(
        image_size=32,
        patch_size=4,
        embed_dim=8,
        depths=[2, 2, 2],
        num_heads=[1, 2, 4],
        window_size=2,
        num_labels=CLASSES,
    )
    return SwinForImageClassification(config)


def _convnext() -> nn.Module:
    from transformers import ConvNextConfig, ConvNextForImageClassification

    config = ConvNextConfig(
        hidden_sizes=[8, 16, 24],
        depths=[1, 1, 1],
        num_stages=3,
        num_labels=CLASSES,
        layer_scale_init_value=0.5,
    )
    return ConvNextForImageClassification(config)


BUILDERS: dict[str, Callable[[], nn.Module]] = {
    "vit": lambda: toy_models.vit(image_size=SIZE, **TOKENS),
    "deit": _deit,
    "beit": _beit,
    "dinov2_registers": _dinov2_registers,
    "swin": _swin,
    "convnext": _convnext,
    "resnet": lambda: toy_models.resnet(hidden_sizes=[8, 16, 24], num_labels=CLASSES),
    "mobilenet_v2": lambda: toy_models.mobilenet(num_labels=CLASSES, tf_padding=False),
}

#: What each gives for inputs of :data:`SIZE`: channels and grid of the states that a target reads.
STATES: dict[str, list[tuple[int, tuple[int, int]]]] = {
    "vit": [(16, (4, 6))] * 4,
    "deit": [(16, (4, 6))] * 4,
    "beit": [(16, (4, 6))] * 4,
    "dinov2_registers": [(16, (4, 6))] * 4,
    "swin": [(8, (8, 12)), (16, (4, 6)), (32, (2, 3))],
    "convnext": [(8, (8, 12)), (16, (4, 6)), (24, (2, 3))],
    "resnet": [(8, (16, 24)), (8, (8, 12)), (16, (4, 6)), (24, (2, 3))],
    "mobilenet_v2": [(8, (16, 24)), (8, (8, 12)), (8, (4, 6)), (24, (2, 3)), (80, (1, 2))],
}


def tiny(name: str, seed: int = 0) -> Any:
    """The tiny model ``name`` with seeded weights and lively batch statistics, in training mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = BUILDERS[name]().train()
        for key, value in model.state_dict().items():
            if key.endswith("running_mean"):
                value.normal_(0, 0.1)
            elif key.endswith("running_var"):
                value.uniform_(0.5, 1.5)
            elif "position_embeddings" in key or key.endswith("_token") or "register_tokens" in key:
                value.normal_(0, 0.02)
    return model


class PlainNet(nn.Module):
    """A network that is not from Hugging Face: two named stages and a linear head."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(channels, 6, 3, stride=2, padding=1), nn.ReLU())
        self.deep = nn.Sequential(nn.Conv2d(6, 12, 3, stride=2, padding=1), nn.BatchNorm2d(12), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(12, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.deep(self.stem(x)).mean((2, 3)))


def plain(seed: int = 0, channels: int = 3) -> PlainNet:
    """A seeded :class:`PlainNet` in training mode."""
    return toy_models.seeded(lambda: PlainNet(channels).train(), seed)


def pixels(count: int = 2, size: tuple[int, int] = SIZE, channels: int = 3, seed: int = 1) -> Tensor:
    """Seeded normal pixels ``[count, channels, *size]``."""
    return torch.randn(count, channels, *size, generator=torch.Generator().manual_seed(seed))
