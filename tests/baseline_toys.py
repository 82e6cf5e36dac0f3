"""Tiny seeded targets: transformers, convolutions, a linear model and one with two modalities."""

from __future__ import annotations

import torch
from torch import nn

import toy_models
from sidelight.core.types import IMAGE, TEXT
from sidelight.targets.base import TargetModel

SIZE = 32
CLASSES = 5


def lively(model: nn.Module) -> nn.Module:
    """Weights and batch norms away from their defaults, where ReLU nets are homogeneous."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.bias.data):
                tensor.copy_(0.3 * torch.randn(tensor.shape, generator=generator))
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            fan = module.weight[0].numel()
            module.weight.data = torch.randn(module.weight.shape, generator=generator) * (2 / fan) ** 0.5
    return model.eval()


def vit() -> nn.Module:
    return lively(toy_models.vit(num_hidden_layers=3, image_size=SIZE, num_labels=CLASSES))


def resnet() -> nn.Module:
    return lively(toy_models.resnet(num_labels=CLASSES))


def mobilenet() -> nn.Module:
    return lively(toy_models.mobilenet(num_labels=CLASSES, image_size=SIZE))


class SharedReluNet(nn.Module):
    """One ReLU object in three places, as torchvision writes its ResNets."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.second = nn.Conv2d(6, 6, 3, stride=2, padding=1)
        self.third = nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.first(x))
        x = self.relu(self.second(x))
        x = self.relu(self.third(x))
        return self.head(x.mean((2, 3)))


class SeparateReluNet(SharedReluNet):
    """The same function with one ReLU object a place."""

    def __init__(self) -> None:
        super().__init__()
        self.relu2 = nn.ReLU()
        self.relu3 = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.first(x))
        x = self.relu2(self.second(x))
        x = self.relu3(self.third(x))
        return self.head(x.mean((2, 3)))


class LinearNet(nn.Module):
    """Logits ``W·x``: every attribution is known in closed form."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Identity()
        self.weight = nn.Parameter(
            torch.randn(CLASSES, 3, 16, 16, generator=torch.Generator().manual_seed(3))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.einsum("bchw,kchw->bk", self.body(x), self.weight)


class Embedder(nn.Module):
    """Token ids to logits through word embeddings, with attention to real tokens only."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 6)
        self.mix = nn.Linear(6, 8)
        self.act = nn.Tanh()
        self.head = nn.Linear(8, CLASSES)

    def pooled(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        hidden = self.act(self.mix(x)) * mask[..., None]
        return hidden.sum(1) / mask.sum(1, keepdim=True)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.head(self.pooled(x, mask))


class TextToy(TargetModel):
    """A text target: ids ``[B, T]``, id 0 is padding."""

    modalities = {"text": TEXT}  # noqa: RUF012

    def features(self, inputs):
        return {"text": self.model.embed(inputs["input_ids"])}

    def forward(self, inputs, features):
        return self.model(features["text"], inputs["attention_mask"])

    def feature_mask(self, inputs):
        return {"text": inputs["attention_mask"].bool()}

    def fill_values(self, inputs, fill, seeds, features=None):
        features = self.features(inputs) if features is None else features
        return {name: torch.zeros_like(x) for name, x in features.items()}


class PairToy(TextToy):
    """Image and text together: the logits are the sum of a linear image model and a text model."""

    modalities = {"image": IMAGE, "text": TEXT}  # noqa: RUF012

    def features(self, inputs):
        return {"image": inputs["pixel_values"], **super().features(inputs)}

    def forward(self, inputs, features):
        return super().forward(inputs, features) + self.model.image(features["image"])

    def feature_mask(self, inputs):
        x = inputs["pixel_values"]
        real = torch.ones(len(x), 1, *x.shape[-2:], dtype=torch.bool)
        return {"image": real, **super().feature_mask(inputs)}
