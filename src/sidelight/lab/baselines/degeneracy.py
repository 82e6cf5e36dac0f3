"""Baselines that are not what their name says, found on the target at hand.

Guided Backprop changes the gradient at ``nn.ReLU`` modules only and Captum's DeepLIFT knows
a short list of activations; on a model without them they *are* simpler methods. A table
that shows both as if they were two results misleads, so it is checked and said.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sidelight.core.types import Inputs
from sidelight.errors import ConfigError
from sidelight.lab.baselines.base import Rival, class_output, make_rival
from sidelight.targets.base import TargetModel

#: rivals that can degenerate; the check costs a few gradient passes of the target
SUSPECTS = (
    "saliency",
    "guided_backprop",
    "integrated_gradients",
    "deep_lift",
    "deep_lift_shap",
    "gradient_shap",
)
#: plain methods to compare with
PLAIN = ("gradient", "input_x_gradient")


@dataclass(frozen=True)
class Coincidence:
    """Rivals whose maps are the same on this target.

    Attributes:
        names: registry names, in the order given; a plain method may be among them.
        titles: what tables call them.
        absolute: whether they agree only after taking absolute values.
        note: one sentence for a table.
    """

    names: tuple[str, ...]
    titles: tuple[str, ...]
    absolute: bool
    note: str


def coincidences(
    target: TargetModel,
    inputs: Inputs,
    classes: Tensor,
    rivals: Iterable[str | Rival] | None = None,
    tol: float = 1e-4,
    ids: Sequence[int] | None = None,
) -> list[Coincidence]:
    """Which rivals give the same map on this target, and which plain method they are.

    Two maps coincide when cosine and correlation are at least ``1 - tol`` in every sample
    and modality, so a scale that min-max would remove does not hide it; two flat maps
    coincide too. Every rival is also compared with ``gradient``, ``input_x_gradient`` and
    its own :meth:`Rival.plain`. Unsigned rivals are compared with the others' absolute value.

    Args:
        target: the model.
        inputs: a few samples; eight are plenty.
        classes: ``[B]`` classes to explain.
        rivals: names or rivals (default: :data:`SUSPECTS`).
        tol: how far from 1 cosine and correlation may be.
        ids: per-sample seeds.

    Returns:
        Groups of two or more, those that agree with their sign first; empty where every
        rival is its own.
    """
    asked = [make_rival(r) if isinstance(r, str) else r for r in (SUSPECTS if rivals is None else rivals)]
    if len({r.name for r in asked}) < len(asked):
        raise ConfigError(f"each rival may be given once; got {', '.join(r.name for r in asked)}.")
    methods = _with_plain(asked)
    maps = [_flat(m(target, inputs, classes, ids)) for m in methods]
    signed = _groups([i for i, m in enumerate(methods) if m.signed], maps, tol)
    unsigned = [i for i, m in enumerate(methods) if not m.signed]
    names = {r.name for r in asked}
    found = [_describe([methods[i] for i in g], names) for g in (*signed, *_groups(unsigned, maps, tol))]
    found += [
        _describe([methods[i], *(methods[j] for j in group)], names, absolute=True)
        for i, group in itertools.product(unsigned, signed)
        if _same(maps[i], [m.abs() for m in maps[group[0]]], tol)
    ]
    return [f for f in found if f is not None]


def _with_plain(asked: Sequence[Rival]) -> list[Rival]:
    plain = [make_rival(name) for name in PLAIN] + [p for r in asked if (p := r.plain()) is not None]
    methods = list(asked)
    for rival in plain:
        if all(rival.name != m.name or rival != m for m in methods):
            methods.append(rival)
    return methods


def _flat(maps: Mapping[str, Tensor]) -> list[Tensor]:
    # scaled first, because a deep random model's gradients may square to zero
    flat = [m.flatten(1).double() for m in maps.values()]
    return [m / m.abs().amax(1, keepdim=True).clamp(min=torch.finfo(m.dtype).tiny) for m in flat]


def _same(first: Sequence[Tensor], second: Sequence[Tensor], tol: float) -> bool:
    return all(
        _aligned(a, b, tol) and _aligned(a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True), tol)
        for a, b in zip(first, second, strict=True)
    )


def _aligned(a: Tensor, b: Tensor, tol: float) -> bool:
    flat_a, flat_b = (v.norm(dim=1) <= 1e-12 * v.shape[1] for v in (a, b))
    cosine = torch.cosine_similarity(a, b, dim=1, eps=1e-30)
    return bool(((cosine >= 1 - tol) & ~flat_a & ~flat_b | flat_a & flat_b).all())


def _groups(candidates: Sequence[int], maps: Sequence[Sequence[Tensor]], tol: float) -> list[list[int]]:
    groups: list[list[int]] = []
    for i in candidates:
        home = next((g for g in groups if _same(maps[g[0]], maps[i], tol)), None)
        if home is None:
            groups.append([i])
        else:
            home.append(i)
    return groups


def _describe(members: Sequence[Rival], asked: set[str], absolute: bool = False) -> Coincidence | None:
    # two plain forms of different options may carry one name
    members = list({m.name: m for m in members}.values())
    if len(members) < 2 or not any(m.name in asked for m in members):
        return None
    plain = [m for m in members if m.name in PLAIN or m.name not in asked]
    clever = [m for m in members if m not in plain]
    if absolute:
        rest = " and ".join(m.title for m in members[1:])
        note = f"{members[0].title} is the absolute value of {rest} on this target."
    elif plain and clever:
        verb = "is" if len(clever) == 1 else "are"
        note = f"{' and '.join(m.title for m in clever)} {verb} {plain[0].title} on this target."
    else:
        note = f"{' and '.join(m.title for m in members)} give the same map on this target."
    return Coincidence(tuple(m.name for m in members), tuple(m.title for m in members), absolute, note)


def completeness_gap(
    target: TargetModel,
    inputs: Inputs,
    classes: Tensor,
    maps: Mapping[str, Tensor],
    baseline: str = "zero",
    ids: Sequence[int] | None = None,
) -> Tensor:
    """``[B]`` how far signed maps are from adding up to ``logit(x) − logit(baseline)``.

    0 for an exact Integrated Gradients or DeepLIFT map (the axiom of completeness); special
    tokens and padding count, as they are part of the raw map.

    Args:
        maps: raw maps of a signed rival, as :class:`Rival` returns them.
        baseline: the fill that the rival used.
        ids: per-sample seeds the rival used.
    """
    with torch.no_grad(), target.borrowed():
        features = target.features(inputs)
        size = len(next(iter(features.values())))
        base = target.fill_values(inputs, baseline, range(size) if ids is None else ids, features)
        full = {k: base[k].to(x).expand_as(x) for k, x in features.items()}
        explained = class_output(target.forward(inputs, features), classes)
        explained = explained - class_output(target.forward(inputs, full), classes)
        total = sum(m.flatten(1).sum(1) for m in maps.values())
    return total - explained
