"""Baseline methods that become simpler methods on a target.

Guided Backprop changes the gradient at ``nn.ReLU`` modules only, and Captum's DeepLIFT knows a short list of
activations. On a model without them they *are* simpler methods. A table that shows both as two results
misleads, so a note beside it names them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sidelight.core.tensors import masked_mean
from sidelight.core.types import Inputs
from sidelight.errors import ConfigError
from sidelight.lab.baselines.base import Rival, make_rival
from sidelight.targets.base import TargetModel

#: methods that can become simpler ones. The check costs a few gradient passes of the target
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
    """Baseline methods whose maps are the same on this target.

    Attributes:
        names: registry names, in the order given. A plain method may be among them.
        titles: what tables call them.
        absolute: whether they agree only after taking absolute values.
        note: one sentence for a table.

    Example:
        >>> inputs = explainer.target.reader.prepare(["a dull film"]).inputs  # a BERT, which has no nn.ReLU
        >>> [found] = coincidences(explainer.target, inputs, torch.tensor([0]), ["guided_backprop"])
        >>> found.names, found.absolute
        (('guided_backprop', 'gradient'), False)
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
    """The baseline methods that give the same map on this target, and the plain method that they are.

    Two maps coincide if cosine and correlation over the features are at least ``1 - tol`` in every sample and modality.
    Padding and special tokens do not count. A scale that min-max would remove hides nothing. Two flat maps coincide too. Every method is also compared with
    ``gradient``, ``input_x_gradient`` and its own :meth:`Rival.plain`. Unsigned methods are compared with the
    absolute values of signed ones.

    Args:
        target: the model that they explain.
        inputs: the model's inputs, a few samples. Eight are plenty.
        classes: ``[B]`` integer class to explain for each sample.
        rivals: names or methods (default: :data:`SUSPECTS`, those that can become simpler ones).
        tol: how far from 1 cosine and correlation may be.
        ids: one integer per sample, as for a call of :class:`Rival`.

    Returns:
        Groups of two or more methods, those that agree with their sign first. The list is empty if no two coincide.

    Raises:
        ConfigError: a method is given twice.
        UnknownNameError: there is no method of a name.
        InputError: classes or ids do not fit the batch.
        UnsupportedTargetError: a method cannot work on this target.

    Example:
        >>> inputs = explainer.target.reader.prepare(["a dull film"]).inputs
        >>> [c.note for c in coincidences(explainer.target, inputs, torch.tensor([0]), ["guided_backprop"])]
        ['Guided Backprop is the same as Gradient (signed) on this target.']
    """
    asked = [make_rival(r) if isinstance(r, str) else r for r in (SUSPECTS if rivals is None else rivals)]
    if len({r.name for r in asked}) < len(asked):
        raise ConfigError(f"each baseline method may be given once; got {', '.join(r.name for r in asked)}.")
    methods = _with_plain(asked)
    real = target.feature_mask(inputs)
    maps = [_flat(m(target, inputs, classes, ids), real) for m in methods]
    signed = _groups([i for i, m in enumerate(methods) if m.signed], maps, tol)
    unsigned = [i for i, m in enumerate(methods) if not m.signed]
    names = {r.name for r in asked}
    found = [_describe([methods[i] for i in g], names) for g in (*signed, *_groups(unsigned, maps, tol))]
    found += [
        _describe([methods[i], *(methods[j] for j in group)], names, absolute=True)
        for i, group in itertools.product(unsigned, signed)
        if _same(maps[i], [(values.abs(), real) for values, real in maps[group[0]]], tol)
    ]
    return [f for f in found if f is not None]


def _with_plain(asked: Sequence[Rival]) -> list[Rival]:
    plain = [make_rival(name) for name in PLAIN] + [p for r in asked if (p := r.plain()) is not None]
    methods = list(asked)
    for rival in plain:
        if all(rival.name != m.name or rival != m for m in methods):
            methods.append(rival)
    return methods


#: values of one modality ``[B, N]``, 0 at what is no feature, and which are features
_Flat = tuple[Tensor, Tensor]


def _flat(maps: Mapping[str, Tensor], real: Mapping[str, Tensor]) -> list[_Flat]:
    """Maps of one method by modality, scaled to [−1, 1]. A special token may hold nearly all of a gradient, so it is left out."""
    found = []
    for name, values in maps.items():
        there = real[name].to(values.device).flatten(1)
        flat = values.flatten(1).double().masked_fill(~there, 0.0)
        # scale first, because a deep random model's gradients may square to zero
        largest = flat.abs().amax(1, keepdim=True).clamp(min=torch.finfo(flat.dtype).tiny)
        found.append((flat / largest, there))
    return found


def _same(first: Sequence[_Flat], second: Sequence[_Flat], tol: float) -> bool:
    return all(
        _aligned(a, b, tol) and _aligned(_centred(a, real), _centred(b, real), tol)
        for (a, real), (b, _) in zip(first, second, strict=True)
    )


def _centred(values: Tensor, real: Tensor) -> Tensor:
    return (values - masked_mean(values, real)[:, None]).masked_fill(~real, 0.0)


def _aligned(a: Tensor, b: Tensor, tol: float) -> bool:
    flat_a, flat_b = (v.norm(dim=1) <= 1e-12 * v.shape[1] for v in (a, b))
    cosine = torch.cosine_similarity(a, b, dim=1, eps=1e-30)
    return bool(((cosine >= 1 - tol) & ~flat_a & ~flat_b | flat_a & flat_b).all())


def _groups(candidates: Sequence[int], maps: Sequence[Sequence[_Flat]], tol: float) -> list[list[int]]:
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
        note = f"{' and '.join(m.title for m in clever)} {verb} the same as {plain[0].title} on this target."
    else:
        note = f"{' and '.join(m.title for m in members)} give the same map on this target."
    return Coincidence(tuple(m.name for m in members), tuple(m.title for m in members), absolute, note)
