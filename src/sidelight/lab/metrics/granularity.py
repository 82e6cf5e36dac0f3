"""The units in which features are removed: pixels, patches, tokens, coordinates.

A granularity belongs to one modality and groups its features into cells. It is data in a registry, so the code
that uses it works for any modality.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sidelight.core.layout import grid_cells
from sidelight.core.registry import JOINED, Registry
from sidelight.core.types import Inputs
from sidelight.errors import ConfigError, InputError, UnknownNameError

#: form of the names of squares, whose side may be any
_PATCH = r"patch([1-9]\d*)"


@dataclass(frozen=True)
class Granularity:
    """How the features of one modality group into cells.

    Attributes:
        name: its name in settings and tables.
        modality: the modality it applies to.
        cells: ``(score shape, inputs) -> int64 [N]`` or ``[B, N]``: the cell of each
            flattened feature, counted from 0. Ids of unreal features are ignored. The inputs serve groupings
            that differ by sample, such as words. The shape is that of the whole batch, ``[B, 1, H, W]`` or ``[B, T]``.

    Example:
        >>> twos = Granularity("twos", "text", lambda shape, inputs: torch.arange(shape[1]) // 2)
        >>> twos.cells((1, 5), {})
        tensor([0, 0, 1, 1, 2])
    """

    name: str
    modality: str
    cells: Callable[[Sequence[int], Inputs], Tensor]


def unit_cells(shape: Sequence[int], inputs: Inputs) -> Tensor:
    """Every feature is its own cell."""
    return torch.arange(int(torch.tensor(list(shape[1:])).prod()))


def coordinate_cells(shape: Sequence[int], inputs: Inputs) -> Tensor:
    """Every coordinate of every embedding is its own cell.

    Args:
        shape: ``[B, T, D]``.

    Raises:
        InputError: there is one score a token.
    """
    if len(shape) != 3:
        raise InputError(
            f"granularity 'coordinate' needs scores [B, T, D], one a coordinate of an embedding; got {tuple(shape)}. "
            "Use it with evaluation.protocol: thesis; otherwise use 'token'."
        )
    return unit_cells(shape, inputs)


def patch_cells(shape: Sequence[int], size: int) -> Tensor:
    """Cells of ``size × size`` pixels from the top left. Those at the border may be smaller.

    Args:
        shape: ``[B, 1, H, W]``.
    """
    return grid_cells(shape[-2], shape[-1], size)


#: Granularities by name. The first one of a modality is its finest.
GRANULARITIES: Registry[Granularity] = Registry(
    "granularity",
    {
        "none": "no granularity in the tables of results",
        JOINED: "names joined by '+', one for each modality",
        _PATCH: "squares of that many pixels",
    },
)
GRANULARITIES.add("pixel", Granularity("pixel", "image", unit_cells))
GRANULARITIES.add("token", Granularity("token", "text", unit_cells))
GRANULARITIES.add("coordinate", Granularity("coordinate", "text", coordinate_cells))


def granularity(name: str) -> Granularity:
    """The granularity ``name``: a registered one, or ``patch<size>`` for squares of any size in pixels.

    Args:
        name: in :data:`GRANULARITIES`, e.g. ``"pixel"`` or ``"token"``, or e.g. ``"patch4"``.

    Raises:
        UnknownNameError: there is none of that name.

    Example:
        >>> granularity("patch2").cells((1, 1, 2, 4), {}).view(2, 4)
        tensor([[0, 0, 1, 1],
                [0, 0, 1, 1]])
    """
    patch = re.fullmatch(_PATCH, name)
    if patch:
        size = int(patch[1])
        return Granularity(name, "image", lambda shape, inputs: patch_cells(shape, size))
    try:
        return GRANULARITIES[name]
    except UnknownNameError as error:
        raise UnknownNameError(f"{error} Patches of s pixels: 'patch4', 'patch16', ...") from None


def finest(modality: str) -> Granularity:
    """The granularity that makes every feature of ``modality`` a cell of its own."""
    entries = (g for _, g in GRANULARITIES.items() if g.modality == modality)
    return next(entries, Granularity("unit", modality, unit_cells))


def resolve(names: Sequence[str], modalities: Iterable[str]) -> dict[str, Mapping[str, Granularity]]:
    """The granularity of each modality, for modalities that are ranked together.

    A name may join several by ``+`` (``"patch4+word"``). A modality that a name does not mention takes its finest
    granularity. A name that mentions none of the modalities is left out, unless no name is left.

    Returns:
        label, e.g. ``"patch4+token"``, to the granularity of each modality.

    Raises:
        UnknownNameError: a part of a name is unknown.
        ConfigError: a name gives one modality two granularities.
    """
    modalities = list(modalities)
    base = {m: finest(m) for m in modalities}
    plans: dict[str, Mapping[str, Granularity]] = {}
    for name in names:
        parts = [granularity(part) for part in name.split("+")]
        chosen = {g.modality: g for g in parts}
        if len(chosen) < len(parts):
            raise ConfigError(f"granularity {name!r} names one modality twice; give one part per modality.")
        plan = {m: chosen.get(m, base[m]) for m in modalities}
        if chosen.keys() & plan.keys():
            plans["+".join(g.name for g in plan.values())] = plan
    return plans or {"+".join(g.name for g in base.values()): base}
