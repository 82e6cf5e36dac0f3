"""Pictures moved at random, so that a classifier learns more from few of them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from sidelight.errors import ConfigError
from sidelight.lab.config.sections import ClassifierTraining
from sidelight.targets import TargetModel

#: largest shift, as a share of a side
SHIFT = 1 / 8


def augmented(target: TargetModel, config: ClassifierTraining) -> bool:
    """Whether the training of ``target`` moves its pictures.

    Raises:
        ConfigError: it should, but the classifier reads no pictures alone. A caption may speak of left and right.
    """
    if config.augment and tuple(target.modalities) != ("image",):
        raise ConfigError(
            f"target.training.augment is for classifiers of pictures; this one reads {' and '.join(target.modalities)}. "
            "Leave it out."
        )
    return config.augment


def moved(pixels: Tensor) -> Tensor:
    """``[B, C, H, W]`` shifted by up to :data:`SHIFT` of each side, and mirrored with probability 0.5.

    Each picture has its own draw. A border that comes into view mirrors the picture.

    Examples:
        >>> moved(torch.ones(2, 3, 8, 8)).shape
        torch.Size([2, 3, 8, 8])
    """
    size, _, height, width = pixels.shape
    down, right = int(SHIFT * height), int(SHIFT * width)
    padded = F.pad(pixels, (right, right, down, down), mode="reflect")
    rows = torch.randint(2 * down + 1, (size, 1)) + torch.arange(height)
    columns = torch.randint(2 * right + 1, (size, 1)) + torch.arange(width)
    mirrored = torch.rand(size, 1, dtype=torch.float32) < 0.5
    columns = torch.where(mirrored, columns.flip(1), columns)
    rows, columns = rows.to(pixels.device)[:, :, None], columns.to(pixels.device)[:, None, :]
    own = torch.arange(size, device=pixels.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[own, rows, columns].permute(0, 3, 1, 2)
