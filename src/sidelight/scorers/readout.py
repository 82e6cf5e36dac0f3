"""The last step of a decoder: features of each position become raw scores, one for each reading of a class."""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: The three readings of a class. ``map`` goes through the score head and is shown. ``ranking`` says which features come
#: first. ``effects`` says how much each feature changes the probability, with a sign.
READINGS = ("map", "ranking", "effects")

#: Scale of the raw effects. If a part covers this share of the input and all its raw effects are 1, it changes the
#: probability by 1.
UNIT = 0.125


class ClassReadout(nn.Module):
    """One vector for each class and reading. Its product with the decoder's output at a position is the raw score there.

    So one pass of the decoder serves all classes. The vector of a class is the sum of a part that all classes share and a
    part of its own. The own parts begin as a random projection of the classifier's last layer (:meth:`start_from`). So
    classes that are alike for the classifier begin alike.

    Args:
        width: D, size of the decoder's output at a position.
        classes: K, number of classes.
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        readings = len(READINGS)
        self.shared = nn.Parameter(torch.randn(readings, width) * width**-0.5)
        self.own = nn.Parameter(torch.randn(classes, readings, width) * 0.5 * width**-0.5)
        self.bias = nn.Parameter(torch.zeros(readings))

    def weights(self, classes: Tensor) -> Tensor:
        """``[B, C, R, D]`` vectors of the classes ``[B, C]``, for R readings."""
        return self.shared + self.own[classes]

    @torch.no_grad()
    def start_from(self, weight: Tensor) -> None:
        """Begin with a random projection of the classifier's last weight ``[K, H]``, centred over classes."""
        known = weight.detach().float().cpu()
        centred = known - known.mean(0)
        scale = centred.norm(dim=1).mean().clamp(min=1e-6)
        readings, width = self.shared.shape
        projection = torch.randn(centred.shape[1], readings * width) * 0.5 * width**-0.5
        self.own.copy_((centred / scale @ projection).view_as(self.own))
