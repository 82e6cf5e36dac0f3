"""Masking, ``x ⊗ S = S·x + (1 − S)·fill``, and what every fill must keep to.

A fill gives the values that replace removed features. They are computed once per sample, from the sample's own seed, and
reused for every mask of that sample. So a curve compares masks under the same values, and no result depends on batching.

A fill belongs to one modality. If a target has several, :func:`pair_fills` says which fill of each modality a name means.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sidelight.core.finite import all_finite
from sidelight.core.registry import JOINED, Registry
from sidelight.core.seeds import one_each
from sidelight.core.types import Modality
from sidelight.errors import ConfigError, InputError, UnknownNameError


@dataclass(frozen=True)
class FillContext:
    """All that a fill may read besides the input.

    Attributes:
        seeds: one integer per sample, the only source of randomness.
        lower, upper: ``[C]`` smallest and largest value a channel can take, or ``None``.
        reference: ``[R, ...]`` other inputs of the same shape to draw from, or ``None``.
        tokens: vocabulary and special tokens of a text target, or ``None``.

    Example:
        >>> context = FillContext(seeds=[0], lower=torch.tensor([-1.0]), upper=torch.tensor([1.0]))
        >>> FILLS["image"]["black"](torch.tensor([[[[0.0, 0.5]]]]), context)  # one grey picture of two pixels
        tensor([[[[-1., -1.]]]])
    """

    seeds: Sequence[int]
    lower: Tensor | None = None
    upper: Tensor | None = None
    reference: Tensor | None = None
    tokens: TokenContext | None = None


#: ``(x, context) -> values``, broadcastable to ``x``.
Fill = Callable[[Tensor, FillContext], Tensor]

#: The name that stands for the modality's :data:`TRAINING_FILLS`.
VARIED = "varied"
#: Names that no fill may have, as regular expressions, with what they mean.
RESERVED = {
    VARIED: "several fills of a training",
    "none": "no fill in the tables of results",
    JOINED: "names joined by '+', one for each modality",
}

#: Fills of each modality by name.
FILLS: dict[str, Registry[Fill]] = {
    "image": Registry("image fill", RESERVED),
    "text": Registry("text fill", RESERVED),
}

#: Default fills of an evaluation, by modality.
DEFAULT_FILLS: dict[str, tuple[str, ...]] = {
    "image": ("zero", "black", "mean", "blur", "noise", "image"),
    "text": ("zero", "mean", "random", "drop"),
    "image+text": ("zero", "mean", "noise+random"),
}

#: The fills of a training that ``varied`` stands for, by modality. They are unlike each other, so that no map is fitted to
#: one of them.
TRAINING_FILLS: dict[str, tuple[str, ...]] = {
    "image": ("zero", "black", "image"),
    "text": ("zero", "random", "mean"),
    "image+text": ("zero", "image+random", "mean"),
}

#: A modality that lacks a fill takes this one, if another modality beside it has the fill.
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


def shared_fills(modalities: Iterable[str], count: int) -> tuple[str, ...]:
    """The first ``count`` fills that all ``modalities`` have. This is the default for modalities that others add."""
    first, *others = [FILLS[m] for m in modalities]
    return tuple(name for name, _ in first.items() if all(name in other for other in others))[:count]


def training_fills(names: Sequence[str], modalities: Collection[str], black: bool = True) -> tuple[str, ...]:
    """``names``, with the modalities' :data:`TRAINING_FILLS` in place of ``varied``.

    Args:
        black: whether the value of a black pixel is known. Otherwise the mean colour takes its place.

    Example:
        >>> training_fills(["varied"], ["image"], black=False)
        ('zero', 'mean', 'image')
    """
    if VARIED not in names:
        return tuple(names)
    several = TRAINING_FILLS.get("+".join(modalities)) or shared_fills(modalities, 3)
    known = [name if black or name != "black" else "mean" for name in several]
    found = [part for name in names for part in (known if name == VARIED else [name])]
    return tuple(dict.fromkeys(found))


def functions_of(names: Iterable[str], modalities: Iterable[str]) -> dict[str, Any]:
    """The functions that fills stand for, by modality and name. A target may have others, which no registry knows."""
    targets, found = list(modalities), {}
    for name in names:
        with suppress(KeyError, UnknownNameError):
            for modality, own in pair_fills(name, targets).items():
                found[f"fill {modality} {own}"] = FILLS[modality][own]
    return found


def pair_fills(name: str, modalities: Iterable[str]) -> dict[str, str]:
    """The fill of each modality that ``name`` stands for.

    One name stands for all: each modality takes its own fill of that name or, if it has none,
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


def require_unlike(names: Iterable[str], modalities: Collection[str], argument: str = "fills") -> None:
    """Refuse two names that stand for the same fills, because each sample would be counted twice.

    Args:
        names: as :func:`pair_fills` takes them.
        modalities: names in the target's order.
        argument: for messages.

    Raises:
        ConfigError: see above.
        UnknownNameError, InputError: as :func:`pair_fills`.

    Example:
        >>> require_unlike(["zero", "noise"], ["image", "text"])
    """
    known: dict[tuple[str, ...], str] = {}
    for name in names:
        meant = tuple(pair_fills(name, modalities).values())
        if meant in known:
            raise ConfigError(
                f"{argument} names {known[meant]!r} and {name!r}, which are the same: {' + '.join(meant)}. Name it once."
            )
        known[meant] = name


@dataclass(frozen=True)
class TokenContext:
    """All that text fills may read. It is the ``tokens`` field of a fill context.

    Attributes:
        embed: word embeddings ``[..., D]`` of ids ``[...]``.
        mean: ``() -> [D]`` mean word embedding of the vocabulary.
        ordinary: ids of the vocabulary's ordinary (not special) tokens.
        real: ``[B, T]`` boolean, true for tokens that are features.
        mask_id, pad_id: ids of the special tokens, if there are such.
    """

    embed: Callable[[Tensor], Tensor]
    mean: Callable[[], Tensor]
    ordinary: Callable[[], Tensor]
    real: Tensor
    mask_id: int | None = None
    pad_id: int | None = None


def apply_mask(x: Tensor, scores: Tensor, values: Tensor, modality: Modality) -> Tensor:
    """``S·x + (1 − S)·values``. Scores of 1 return ``x`` exactly.

    Args:
        x: differentiable input, e.g. ``[B, C, H, W]``.
        scores: one score in [0, 1] per feature, e.g. ``[B, 1, H, W]``.
        values: of the fill, broadcastable to ``x``.
        modality: of ``x``.
    """
    s = modality.expand(scores).to(x.dtype)
    return s * x + (1 - s) * values.to(x.dtype)


def complement(scores: Tensor, feature_mask: Tensor) -> Tensor:
    """``1 − S`` over the features. Padding and special tokens are never removed and stay 1."""
    return torch.where(feature_mask, 1 - scores, torch.ones_like(scores))


def fill_values(name: str, x: Tensor, modality: Modality, context: FillContext) -> Tensor:
    """Values of the fill ``name`` for ``x``.

    Raises:
        UnknownNameError: there is none.
        InputError: seeds do not fit ``x``, or the fill gives no tensor that can be broadcast to ``x``, gives NaN or infinity,
            or changes ``x``.
    """
    one_each(context.seeds, len(x), "seeds")
    fill, before = FILLS[modality.name][name], _changes(x)
    values = fill(x, context)
    if _changes(x) != before:
        raise InputError(
            f"fill {name!r} changed its input x in place, which other fills and masks read. Work on a copy."
        )
    if isinstance(values, Tensor) and not all_finite(values):
        raise InputError(
            f"fill {name!r} gives NaN or infinity, which no classifier can read. Mend the fill, e.g. where it divides by 0, or "
            "leave it out of fills."
        )
    if not isinstance(values, Tensor) or not _fits(values, x):
        given = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
        raise InputError(
            f"fill {name!r} must give a tensor that can be broadcast to its input, shape {tuple(x.shape)}; got {given}."
        )
    return values


def _changes(x: Tensor) -> int:
    """Torch's counter of changes in place. Inference tensors have none."""
    return 0 if x.is_inference() else x._version


def _fits(values: Tensor, x: Tensor) -> bool:
    """Whether ``values`` can be broadcast to the shape of ``x``, and ``x`` stays as it is."""
    own = (1,) * (x.ndim - values.ndim) + tuple(values.shape)
    return len(own) == x.ndim and all(a in (1, b) for a, b in zip(own, x.shape, strict=True))
