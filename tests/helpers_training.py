"""Small classifiers and data for the training tests: a bright square in one of four corners."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import toy_models
from sidelight.inputs.images import ImageTransform
from sidelight.training.settings import TrainingConfig

SIZE = 16
TRANSFORM = ImageTransform((SIZE, SIZE), mode="L", mean=(0.5,), std=(0.5,))


def corner_images(count: int, seed: int = 0) -> tuple[np.ndarray, list[int]]:
    """``count`` uint8 images ``[16, 16]`` with a bright square in the corner that is the label."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 60, (count, SIZE, SIZE), dtype=np.uint8)
    labels = rng.integers(0, 4, count).tolist()
    for image, label in zip(images, labels, strict=True):
        top, left = 8 * (label // 2) + 2, 8 * (label % 2) + 2
        image[top : top + 4, left : left + 4] = rng.integers(200, 256)
    return images, labels


def corner_rows(count: int, seed: int = 0) -> list[tuple[np.ndarray, int]]:
    """Pairs ``(image, label)``."""
    return list(zip(*corner_images(count, seed), strict=True))


def corner_tensor(count: int, seed: int = 0) -> Tensor:
    """Normalised pixels ``[count, 1, 16, 16]``."""
    return torch.stack([TRANSFORM(i) for i in corner_images(count, seed)[0]])


class TinyNet(nn.Module):
    """A plain convolutional classifier with batch norm and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU())
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(16 * 4 * 4, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.first(x)))


BUILDERS: dict[str, Callable[[], nn.Module]] = {
    "vit": lambda: toy_models.vit(image_size=SIZE, patch_size=4, num_channels=1, num_labels=4),
    "resnet": lambda: toy_models.resnet(num_channels=1, num_labels=4),
    "plain": TinyNet,
}


@lru_cache(maxsize=8)
def _weights(kind: str) -> dict[str, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BUILDERS[kind]().train()
        x, y = corner_tensor(128, seed=9), torch.tensor(corner_images(128, seed=9)[1])
        optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
        for _ in range(150 if kind == "vit" else 40):
            out = model(x)
            loss = nn.functional.cross_entropy(getattr(out, "logits", out), y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return {k: v.detach().clone() for k, v in model.state_dict().items()}


def classifier(kind: str = "vit") -> Any:
    """A fresh copy of a small trained classifier, in eval mode: ``vit``, ``resnet`` or ``plain``."""
    weights = _weights(kind)
    with torch.random.fork_rng():
        model = BUILDERS[kind]()
    model.load_state_dict(weights)
    return model.eval()


def quick(**changes: Any) -> TrainingConfig:
    """Eight steps and two validations on 64 rows, quietly."""
    values: dict[str, Any] = {
        "epochs": 1,
        "batch_size": 8,
        "evals_per_epoch": 2,
        "learning_rate": 3e-3,
        "extra": {"disable_tqdm": True, "use_cpu": True},
    }
    return TrainingConfig(**{**values, **changes})


def state(module: nn.Module) -> dict[str, Tensor]:
    """A copy of a module's state."""
    return {k: v.detach().clone() for k, v in module.state_dict().items()}


def saved_state(folder: str | Path) -> dict[str, Tensor]:
    """Weights of a saved scorer."""
    return load_file(str(Path(folder) / "scorer.safetensors"))


def largest_difference(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    """Largest absolute difference of two states with the same names."""
    assert a.keys() == b.keys()
    return max(float((a[k] - b[k]).abs().max()) for k in a)
