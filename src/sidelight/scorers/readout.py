"""The last step of a decoder: features of each position become raw scores, one for each reading of a class."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sidelight.core.tensors import deviations

#: The three readings of a class. ``map`` goes through the score head and is shown. ``ranking`` says which features come
#: first. ``effects`` says how much each feature changes the probability, with a sign.
READINGS = ("map", "ranking", "effects")

#: Scale of the raw effects. If a part covers this share of the input and all its raw effects are 1, it changes the
#: probability by 1. So with a larger unit the effects of the same step of the optimiser are smaller.
UNIT = 0.125
#: The same for targets of several modalities: with :data:`UNIT` maps of a picture beside a text choose less well
#: (``docs/notes/scenes.md``).
SHARED_UNIT = 1.0

#: Standard deviation of a sample's ranking scores in each modality. The rank term adds noise with a standard deviation
#: of 1.28 to them. If nothing fixed their spread, they would grow until the noise tries no other order.
SPREAD = 3.0
#: Added to the variance, so that scores which are nearly equal do not become far apart.
FLAT = 0.01
#: How many times faster than other parameters the level of a modality's ranking moves, with which words come before or
#: after the pixels of the same sample.
LEVEL_SPEED = 30.0


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

    def ranked(self, raw: Tensor, real: Tensor | None = None) -> Tensor:
        """``[B, N]`` ranking scores of :data:`SPREAD` around the level of the modality.

        Only the order of a ranking counts. A fixed spread keeps the noise of the rank term at one strength, and makes
        scores of several modalities comparable.

        Args:
            raw: ``[B, N]`` raw scores of the reading ``ranking``, bias included.
            real: ``[B, N]`` boolean, true for features that count. Default: all.
        """
        away, variance = deviations(raw.float(), real)
        level = LEVEL_SPEED * self.bias[READINGS.index("ranking")]
        return torch.addcmul(level, away, SPREAD / (variance + FLAT).sqrt())

    @torch.no_grad()
    def start_from(self, weight: Tensor) -> None:
        """Begin with a random projection of the classifier's last weight ``[K, H]``, centred over classes."""
        known = weight.detach().float().cpu()
        centred = known - known.mean(0)
        scale = centred.norm(dim=1).mean().clamp(min=1e-6)
        readings, width = self.shared.shape
        projection = torch.randn(centred.shape[1], readings * width) * 0.5 * width**-0.5
        self.own.copy_((centred / scale @ projection).view_as(self.own))
