"""Fills of images by name. Importing this module registers them in ``FILLS["image"]``."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sidelight.core.seeds import drawing
from sidelight.errors import InputError
from sidelight.fills.base import FILLS, FillContext


@FILLS["image"].register("zero")
def zero(x: Tensor, context: FillContext) -> Tensor:
    """0 in the model's normalised pixels: the fill of the thesis."""
    return torch.zeros_like(x)


@FILLS["image"].register("black")
def black(x: Tensor, context: FillContext) -> Tensor:
    """The value of a black pixel after normalisation."""
    if context.lower is None:
        raise InputError(
            "fill 'black' needs the pixel range of the target; give its image processor "
            "(or an ImageTransform), which holds mean and standard deviation."
        )
    return context.lower.to(x).view(1, -1, 1, 1).expand_as(x)


@FILLS["image"].register("mean")
def mean(x: Tensor, context: FillContext) -> Tensor:
    """The image's own mean colour."""
    return x.mean((2, 3), keepdim=True).expand_as(x)


@FILLS["image"].register("blur")
def blur(x: Tensor, context: FillContext) -> Tensor:
    """Gaussian blur, sigma = 1/8 of the shorter side."""
    sigma = max(1.0, min(x.shape[-2:]) / 8)
    return gaussian_blur(x, sigma)


@FILLS["image"].register("noise")
def noise(x: Tensor, context: FillContext) -> Tensor:
    """Independent uniform noise over the pixel range (standard normal if that is unknown)."""
    shape = x.shape[1:]
    if context.lower is None or context.upper is None:
        draws = [torch.randn(shape, generator=drawing(s, 1), dtype=torch.float32) for s in context.seeds]
        return torch.stack(draws).to(x)
    draws = [torch.rand(shape, generator=drawing(s, 1), dtype=torch.float32) for s in context.seeds]
    low, high = (b.to(x).view(1, -1, 1, 1) for b in (context.lower, context.upper))
    return low + (high - low) * torch.stack(draws).to(x)


@FILLS["image"].register("image")
def other_image(x: Tensor, context: FillContext) -> Tensor:
    """Another image: drawn from the reference bank, else the next one of the batch.

    Only with a bank is the fill independent of batching. If a sample would draw itself from the bank, it gets the next
    image of the bank.
    """
    if context.reference is None or len(context.reference) == 0:
        if len(x) < 2:
            raise InputError("fill 'image' needs a reference bank or a batch of at least two images.")
        return x.roll(-1, 0)
    reference = context.reference.to(x)
    if reference.shape[1:] != x.shape[1:]:
        bank, given = ("×".join(map(str, t.shape[1:])) for t in (reference, x))
        raise InputError(
            f"fill 'image' draws from a bank of {bank} images, which do not fit a {given} input."
        )
    return torch.stack([_draw(reference, own, seed) for own, seed in zip(x, context.seeds, strict=True)])


def _draw(bank: Tensor, own: Tensor, seed: int) -> Tensor:
    pick = int(torch.randint(len(bank), (1,), generator=drawing(seed, 2)))
    taken = bank[pick]
    return bank[(pick + 1) % len(bank)] if torch.equal(taken, own) else taken


def gaussian_blur(x: Tensor, sigma: float) -> Tensor:
    """Separable Gaussian blur of ``[B, C, H, W]`` with edge replication.

    Args:
        x: image batch.
        sigma: standard deviation in pixels. The kernel reaches 3 sigma, at most the image.
    """
    out = x
    for dim in (2, 3):
        radius = min(int(3 * sigma + 0.5), x.shape[dim] - 1)
        t = torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device)
        kernel = torch.exp(-0.5 * (t / sigma) ** 2)
        kernel = kernel / kernel.sum()
        pad = (0, 0, radius, radius) if dim == 2 else (radius, radius, 0, 0)
        shape = (1, 1, -1, 1) if dim == 2 else (1, 1, 1, -1)
        weight = kernel.view(shape).expand(x.shape[1], *([-1] * 3))
        out = F.conv2d(F.pad(out, pad, mode="replicate"), weight, groups=x.shape[1])
    return out
