"""Pictures moved in a classifier's training: each is a shifted or mirrored crop of itself, and only in training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pair_models import make_target
from sidelight.errors import ConfigError
from sidelight.lab.config.sections import ClassifierTraining
from sidelight.lab.runs import classifier as module
from sidelight.lab.runs.augmentation import augmented, moved
from sidelight.lab.runs.classifier import Classifier, new_classifier
from sidelight.targets import as_target


def crops(picture: np.ndarray, down: int, right: int) -> list[np.ndarray]:
    """Every shift of ``picture [C, H, W]`` by at most ``down`` and ``right``, mirrored or not, made by numpy."""
    _, height, width = picture.shape
    padded = np.pad(picture, ((0, 0), (down, down), (right, right)), mode="reflect")
    found = [
        padded[:, y : y + height, x : x + width] for y in range(2 * down + 1) for x in range(2 * right + 1)
    ]
    return found + [crop[:, :, ::-1] for crop in found]


def test_each_picture_is_a_moved_or_mirrored_one() -> None:
    torch.manual_seed(0)
    pixels = torch.rand(1, 3, 16, 24).expand(60, 3, 16, 24)
    possible = crops(pixels[0].numpy(), 2, 3)
    places = [
        next(i for i, crop in enumerate(possible) if np.array_equal(crop, own))
        for own in moved(pixels).numpy()
    ]
    mirrored = sum(place >= len(possible) // 2 for place in places)
    assert 15 < mirrored < 45  # of 60, with probability 0.5
    assert len(set(places)) > 30  # of 70 possible ones


def test_only_classifiers_of_pictures_are_augmented() -> None:
    with pytest.raises(ConfigError, match="augment is for classifiers of pictures"):
        augmented(make_target("fusion-resnet"), ClassifierTraining(augment=True))
    assert augmented(make_target("fusion-resnet"), ClassifierTraining()) is False


def test_pictures_move_in_training_only(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    vit = new_classifier(
        {"model_type": "vit", "image_size": 8, "patch_size": 4, **sizes},
        ("a", "b"),
        "AutoModelForImageClassification",
    )
    asked: list[int] = []

    def black(pixels: torch.Tensor) -> torch.Tensor:
        asked.append(len(pixels))
        return torch.zeros_like(pixels)

    monkeypatch.setattr(module, "moved", black)
    trained = Classifier(as_target(vit.eval()), augment=True)
    pixels, labels = torch.randn(3, 3, 8, 8), torch.tensor([0, 1, 0])
    with torch.no_grad():
        trained.train()
        in_training = trained(labels, pixel_values=pixels)["logits"]
        trained.eval()
        later = trained(labels, pixel_values=pixels)["logits"]
        alone, empty = (vit.eval()(pixel_values=p).logits for p in (pixels, torch.zeros_like(pixels)))
    assert asked == [3]
    torch.testing.assert_close(in_training, empty)  # this model has no dropout
    torch.testing.assert_close(later, alone)
    assert not torch.allclose(alone, empty)
