"""A classifier's step of several batches is the step of one large batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sidelight import ImageTransform
from sidelight.lab.runs.classifier import ClassifierTraining, train_classifier
from sidelight.targets import as_target

PLAIN = {"optim": "sgd", "lr_scheduler_type": "constant", "max_grad_norm": 0.0}


class Linear(nn.Module):
    """Two logits of a picture, linear in its pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.same, self.head = nn.Conv2d(1, 1, 1), nn.Linear(64, 2)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.fill_(0.1)

    def forward(self, pixel_values: Tensor) -> Tensor:
        return self.head(self.same(pixel_values).flatten(1))

    def save_pretrained(self, folder: str) -> None:
        torch.save(self.state_dict(), Path(folder) / "weights.pt")


def trained(folder: Path, batch_size: int, batches: int) -> Tensor:
    draw = np.random.default_rng(0)
    rows = [
        {"image": draw.integers(0, 255, (8, 8), dtype=np.uint8), "label": number % 3 // 2}
        for number in range(12)
    ]
    transform = ImageTransform((8, 8), mode="L", mean=(0.0,), std=(1.0,))
    target = as_target(Linear(), transform, layers=["same"])
    extra = {**PLAIN, "gradient_accumulation_steps": batches}
    config = ClassifierTraining(
        epochs=1, batch_size=batch_size, learning_rate=0.01, warmup_ratio=0.0, weight_decay=0.0, extra=extra
    )
    train_classifier(target, rows, rows[:3], folder, config)
    return torch.cat([parameter.detach().flatten() for parameter in target.model.parameters()])


def test_gradients_of_batches_are_averaged(tmp_path: Path) -> None:
    whole, parts = trained(tmp_path / "whole", 12, 1), trained(tmp_path / "parts", 3, 4)
    assert not torch.allclose(whole, torch.full_like(whole, 0.1), atol=1e-4)
    torch.testing.assert_close(parts, whole, atol=1e-6, rtol=0)
