"""The slope term: effects learn in which proportion the features of an input raise the log-odds of the class.

The coalition term measures what a random half of the features changes. That is one number for two passes. One pass with
gradient gives a number for each feature: the slope of the log-odds with its mask. The slopes are taken between halfway
and the whole input, at a random point on the straight way from a fill. Their mean over the whole way would be Integrated
Gradients (Sundararajan et al. 2017). Near the input they say what a single removal changes, which is what effects are for
(``docs/notes/judges.md``). One network learns the mean from single noisy draws, as in stochastic amortization (Covert et al.
2024, arXiv 2401.15866).

The term is a correlation, so it teaches proportions. How large effects are in units of probability is what the coalition
term teaches. It teaches images alone. A text has few words, whose effects random halves teach well, and on the embedded texts
maps lost more predictions with the term than without. Pictures beside a text keep it: without it some trainings rank them
badly (``docs/notes/scenes.md``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sidelight.core.tensors import deviations, masked_mean
from sidelight.training.step import Step, choose_fill, pick_fills

#: The part of the way from a fill to the input on which slopes are taken begins here, and it ends at the input.
BEGIN = 0.5
#: Added to variances, so that equal values have correlation 0 and not NaN.
EPSILON = 1e-12


def slope_loss(step: Step) -> Tensor:
    """``[B]`` sum over images of ``w·(1 − r)``, with r the correlation of effects and slopes. Texts stay whole.

    The weight w in [0, 2) grows with the slopes. It is 1 if their norm is the mean norm of the batch. Otherwise an image on
    which nothing depends would teach the noise of its slopes.
    """
    taught = [m for m, values in step.effects.items() if values.ndim == 4]
    if not taught:
        return step.zeros()
    size = len(step.goal)
    fill = choose_fill(step.fills, pick_fills(len(step.fills), size, step.training))
    shares = BEGIN + (1 - BEGIN) * torch.rand(size, generator=step.generator(), dtype=torch.float32)
    found = step.zeros()
    for m, slope in step.slopes(on_the_way(step.feature_mask, taught, shares), fill).items():
        norm = slope.flatten(1).norm(dim=1)
        weight = 2 * norm / (norm + norm.mean()).clamp(min=EPSILON)
        found = found + weight * (1 - correlation(step.effects[m].float(), slope, step.feature_mask[m]))
    return found


def on_the_way(
    feature_mask: Mapping[str, Tensor], modalities: Sequence[str], shares: Tensor
) -> dict[str, Tensor]:
    """Masks of ``modalities`` with the value ``shares [B]`` at every feature of a sample, and 1 where none is."""
    masks = {}
    for m in modalities:
        real = feature_mask[m]
        share = shares.to(real.device).view(-1, *[1] * (real.ndim - 1))
        masks[m] = torch.where(real, share, torch.ones_like(share))
    return masks


def correlation(values: Tensor, others: Tensor, real: Tensor) -> Tensor:
    """``[B]`` Pearson's correlation over the real features of each sample, 0 if either has no spread.

    Example:
        >>> import torch
        >>> real = torch.tensor([[True, True, True, False]])
        >>> correlation(torch.tensor([[1.0, 2.0, 3.0, 9.0]]), torch.tensor([[2.0, 4.0, 6.0, 0.0]]), real)
        tensor([1.])
    """
    flat = real.flatten(1)
    (a, spread), (b, other) = (deviations(_scaled(v.flatten(1), flat), flat) for v in (values, others))
    return masked_mean(a * b, flat) / (spread * other + EPSILON).sqrt().squeeze(1)


def _scaled(values: Tensor, real: Tensor) -> Tensor:
    """``values [B, N]`` in units of their largest size: tiny slopes would vanish beside EPSILON. 0 where none is real."""
    values = values.masked_fill(~real, 0.0)
    return values / values.detach().abs().amax(1, keepdim=True).clamp(min=EPSILON)
