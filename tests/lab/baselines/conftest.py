"""Fixtures around the tiny targets of ``baseline_toys``."""

from __future__ import annotations

import pytest
import torch

from baseline_toys import SIZE, Embedder, LinearNet, PairToy, SharedReluNet, TextToy, mobilenet, resnet, vit
from sidelight.targets import ImageTarget


@pytest.fixture
def images():
    return {"pixel_values": torch.randn(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(5))}


@pytest.fixture
def classes():
    return torch.tensor([0, 3, 1])


@pytest.fixture(params=["vit", "resnet", "mobilenet", "shared_relu"])
def target(request):
    torch.manual_seed(0)
    if request.param == "shared_relu":
        return ImageTarget(SharedReluNet(), layers=["second", "third"])
    return ImageTarget({"vit": vit, "resnet": resnet, "mobilenet": mobilenet}[request.param]())


@pytest.fixture
def vit_target():
    torch.manual_seed(0)
    return ImageTarget(vit())


@pytest.fixture
def resnet_target():
    torch.manual_seed(0)
    return ImageTarget(resnet())


@pytest.fixture
def linear_target():
    return ImageTarget(LinearNet(), layers=["body"])


@pytest.fixture
def small_images():
    return {"pixel_values": torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(6))}


@pytest.fixture
def text_target():
    torch.manual_seed(0)
    return TextToy(Embedder())


@pytest.fixture
def texts():
    ids = torch.tensor([[3, 5, 7, 2, 9], [4, 4, 1, 0, 0], [8, 6, 0, 0, 0]])
    return {"input_ids": ids, "attention_mask": (ids != 0).long()}


@pytest.fixture
def pair_target():
    torch.manual_seed(0)
    model = Embedder()
    model.image = LinearNet()
    return PairToy(model)


@pytest.fixture
def pairs(small_images, texts):
    return {**small_images, **texts}
