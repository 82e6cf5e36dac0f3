"""The masking operator ``x ⊗ S = S·x + (1 − S)·fill`` and the fills by name.

A fill answers "what stands where a feature was removed?". Its values are computed once
per sample, from the sample's own seed, and reused for every mask of that sample, so a
curve compares masks and not noise draws, and a result does not depend on batching.

A fill belongs to one modality. Where a target has several, :func:`pair_fills` says what one
name means for each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from sidelight.core.modality import Modality
from sidelight.core.registry import Registry
from sidelight.errors import InputError

if TYPE_CHECKING:
    from sidelight.fills.text import TokenContext


@dataclass(frozen=True)
class FillContext:
    """What a fill may look at besides the input.

    Attributes:
        seeds: one integer per sample; the only source of randomness.
        lower, upper: ``[C]`` smallest and largest value a channel can take, or ``None``.
        reference: ``[R, ...]`` other inputs of the same shape to draw from, or ``None``.
        tokens: vocabulary and special tokens of a text target, or ``None``.
    """

    seeds: Sequence[int]
    lower: Tensor | None = None
    upper: Tensor | None = None
    reference: Tensor | None = None
    tokens: TokenContext | None = None


#: ``(x, context) -> values``, broadcastable to ``x``.
Fill = Callable[[Tensor, FillContext], Tensor]

#: Fills of each modality by name.
FILLS: dict[str, Registry[Fill]] = {"image": Registry("image fill"), "text": Registry("text fill")}

#: What an evaluation fills with unless told otherwise, by modality.
DEFAULT_FILLS: dict[str, tuple[str, ...]] = {
    "image": ("zero", "black", "mean", "blur", "noise", "image"),
    "text": ("zero", "mean", "random", "drop"),
    "image+text": ("zero", "mean", "noise+random"),
}

#: What stands in for a fill that a modality does not have, where another one beside it does.
COUNTERPARTS: dict[str, dict[str, str]] = {
    "image": {"random": "noise", "drop": "zero", "mask": "mean", "pad": "zero"},
    "text": {"noise": "random", "image": "random", "blur": "mean", "black": "zero"},
}


def default_fills(modalities: Iterable[str]) -> list[str]:
    """Default fills of a target with ``modalities``."""
    names = list(modalities)
    joint = DEFAULT_FILLS.get("+".join(names))
    if joint is not None:
        return list(joint)
    first, *others = [DEFAULT_FILLS[m] for m in names]
    return [name for name in first if all(name in other for other in others)]


def pair_fills(name: str, modalities: Iterable[str]) -> dict[str, str]:
    """The fill of each modality that ``name`` asks for.

    One name stands for all: each modality takes its own fill of that name or, where it has none,
    the counterpart in :data:`COUNTERPARTS`. Names joined by ``+`` stand for one modality each, in order.

    Args:
        name: e.g. ``"mean"``, ``"noise"``, ``"noise+drop"``.
        modalities: names in the target's order.

    Raises:
        UnknownNameError: a modality has no such fill and no counterpart of it.
        InputError: another number of joined names than modalities.

    Example:
        >>> pair_fills("noise", ["image", "text"])
        {'image': 'noise', 'text': 'random'}
        >>> pair_fills("noise+drop", ["image", "text"])
        {'image': 'noise', 'text': 'drop'}
    """
    targets, parts = list(modalities), name.split("+")
    if len(parts) > 1 and len(parts) != len(targets):
        raise InputError(
            f"fill {name!r} names {len(parts)} fills; the target has {len(targets)} modality(ies), "
            f"{', '.join(targets)}: give one name for all, or one for each in this order."
        )
    if len(parts) > 1:
        chosen = dict(zip(targets, parts, strict=True))
    else:
        shared = any(name in FILLS[m] for m in targets)
        chosen = {
            m: COUNTERPARTS.get(m, {}).get(name, name) if shared and name not in FILLS[m] else name
            for m in targets
        }
    for modality, fill in chosen.items():
        FILLS[modality][fill]
    return chosen


def apply_mask(x: Tensor, scores: Tensor, values: Tensor, modality: Modality) -> Tensor:
    """``S·x + (1 − S)·values`` (method §1); scores 1 return ``x`` exactly.

    Args:
        x: differentiable input, e.g. ``[B, C, H, W]``.
        scores: one score in [0, 1] per feature, e.g. ``[B, 1, H, W]``.
        values: what replaces a removed feature; broadcastable to ``x``.
        modality: tells how scores sit on ``x``.
    """
    s = modality.expand(scores).to(x.dtype)
    return s * x + (1 - s) * values.to(x.dtype)


def complement(scores: Tensor, feature_mask: Tensor) -> Tensor:
    """``1 − S`` over the features; what is none (padding, special tokens) is never removed and stays 1."""
    return torch.where(feature_mask, 1 - scores, torch.ones_like(scores))


def fill_values(name: str, x: Tensor, modality: Modality, context: FillContext) -> Tensor:
    """Values of the fill ``name`` for ``x``; raises :class:`UnknownNameError` if there is none."""
    if len(context.seeds) != len(x):
        raise InputError(f"a fill needs one seed per sample: got {len(context.seeds)} for {len(x)} samples.")
    return FILLS[modality.name][name](x, context)


def _generator(seed: int, salt: int) -> torch.Generator:
    # CPU generators give the same draw on every device.
    return torch.Generator().manual_seed((int(seed) * 1_000_003 + salt) % 2**63)


@FILLS["image"].register("zero")
def zero(x: Tensor, context: FillContext) -> Tensor:
    """0 in the model's own (normalised) space: the thesis's fill."""
    return torch.zeros_like(x)


@FILLS["image"].register("black")
def black(x: Tensor, context: FillContext) -> Tensor:
    """The value of a black pixel after normalisation."""
    if context.lower is None:
        raise InputError(
            "fill 'black' needs the pixel range of the target; give its image processor "
            "(or an ImageTransform), which tells mean and standard deviation."
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
    """Independent uniform noise over the pixel range (standard normal where it is unknown)."""
    shape = x.shape[1:]
    if context.lower is None or context.upper is None:
        draws = [torch.randn(shape, generator=_generator(s, 1)) for s in context.seeds]
        return torch.stack(draws).to(x)
    draws = [torch.rand(shape, generator=_generator(s, 1)) for s in context.seeds]
    low, high = (b.to(x).view(1, -1, 1, 1) for b in (context.lower, context.upper))
    return low + (high - low) * torch.stack(draws).to(x)


@FILLS["image"].register("image")
def other_image(x: Tensor, context: FillContext) -> Tensor:
    """Another image: drawn from the reference bank, else the next one of the batch.

    Only the bank makes the fill independent of batching; a sample that is in the bank itself
    gets the one after its draw.
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
    pick = int(torch.randint(len(bank), (1,), generator=_generator(seed, 2)))
    taken = bank[pick]
    return bank[(pick + 1) % len(bank)] if torch.equal(taken, own) else taken


def gaussian_blur(x: Tensor, sigma: float) -> Tensor:
    """Separable Gaussian blur of ``[B, C, H, W]`` with edge replication.

    Args:
        x: image batch.
        sigma: standard deviation in pixels; the kernel reaches 3 sigma, at most the image.
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
