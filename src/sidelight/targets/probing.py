"""The search for layouts of states with a moving block.

Networks give maps with channels first or last, or tokens. Shapes do not tell them apart, because height, width
and channels may be equal. :func:`find_layouts` therefore moves a bright block over a picture, and the cells that
respond show the layout. If no cell responds to a place, the state is no map of the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sidelight.errors import UnsupportedTargetError
from sidelight.targets.layouts import MAPS, TOKENS, lay_out, tensor_of

#: number of block places along each side
PLACES = 4
#: Agreements of response and place, as correlations in [-1, 1]. A layout is found if it reaches the first. Tokens
#: follow other states or the configuration if they reach the second. A map does not if another layout reaches the
#: third. On transformers' families right layouts of distinct cells reach 0.8, and wrong ones stay below 0.6.
FOUND, BELIEVED, BEATEN = 0.8, 0.3, 0.6
#: agreement of a state whose cells look alike
INDISTINCT = -1.0
#: pixels in one pass of the model
_PIXELS_A_PASS = 4 * 224 * 224

#: returns the states of pixels [N, C, H, W], always the same number
States = Callable[[Tensor], Sequence[Any]]


def find_layouts(
    states_of: States, pixels: Tensor, patch_size: Any = None, channels: frozenset[int] = frozenset()
) -> list[str | None]:
    """Find the layout of each state: ``None`` if it is unclear, ``""`` if the number of axes fits no map.

    Args:
        states_of: runs one pass.
        pixels: ``[B, C, H, W]`` of a valid size. The values do not matter.
        patch_size: the model's patch size, if known.
        channels: numbers of channels in the model's configuration. They count if the responses do not decide.
    """
    size = (pixels.shape[-2], pixels.shape[-1])
    answers, places = _answers(states_of, pixels[:1])
    scores = [_scores(a, places, size, patch_size) for a in answers]
    best = [max(s, key=s.__getitem__, default=None) for s in scores]
    sure = [b if b is not None and s[b] >= FOUND else None for b, s in zip(best, scores, strict=True)]
    found = []
    for answer, own, layout in zip(answers, scores, sure, strict=True):
        believed = [layout] if layout else _believed(answer, own, sure, channels, size, patch_size)
        found.append(next(iter(believed), None if answer.shape else ""))
    return found


@dataclass(frozen=True)
class _Answer:
    """The strength of a state's response at each place.

    ``by_channels`` maps each possible axis of channels to ``[N, ...]`` over the other axes. ``shape`` is empty if
    the state is no map.
    """

    shape: tuple[int, ...]
    by_channels: dict[int, Tensor]

    @property
    def silent(self) -> bool:
        """Whether the block changes nothing. If so, no layout is ruled out."""
        return not any(bool(strength.any()) for strength in self.by_channels.values())


def _answers(states_of: States, pixels: Tensor) -> tuple[list[_Answer], Tensor]:
    """Return each state's response to a block at ``N`` places, and ``[N, 2]`` rows and columns of the places."""
    blocks, places = _probes(pixels)
    base, probes = blocks[:1], blocks[1:]
    step = max(1, _PIXELS_A_PASS // (pixels.shape[-1] * pixels.shape[-2]))
    still = [tensor_of(s) for s in states_of(base)]
    parts: list[list[dict[int, Tensor]]] = [[] for _ in still]
    for chunk in probes.split(step):
        moved = [tensor_of(s) for s in states_of(chunk)]
        for kept, a, b in zip(parts, moved, still, strict=True):
            if a is not None and b is not None and a.shape[1:] == b.shape[1:] and len(a) == len(chunk):
                change = _change(a, b)
                kept.append({c: change.norm(dim=c) for c in range(1, a.ndim)})
    found = []
    for kept, b in zip(parts, still, strict=True):
        whole = kept and sum(len(k[1]) for k in kept) == len(probes)
        joined = {c: torch.cat([k[c] for k in kept]).cpu() for c in kept[0]} if whole else {}
        found.append(_Answer(() if b is None else tuple(b.shape), joined))
    return found, places


def _change(moved: Tensor, still: Tensor) -> Tensor:
    """Return the change that the block caused, with zeros in place of rounding errors."""
    change, size = moved.float() - still.float(), still.float().abs()
    eps = torch.finfo(still.dtype).eps
    if float(change.abs().amax()) < eps * float(size.amax()):
        return torch.zeros_like(change)
    return torch.where(change.abs() > 8 * eps * size, change, torch.zeros_like(change))


def _probes(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Make a picture of faint noise, copies with a bright block at each place, and the places."""
    height, width = pixels.shape[-2:]
    rows, columns = min(PLACES, height), min(PLACES, width)
    noise = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    pictures, places = [0.5 * noise], []
    for i in range(rows):
        for j in range(columns):
            own = 0.5 * noise
            top, left = i * height // rows, j * width // columns
            own[..., top : (i + 1) * height // rows, left : (j + 1) * width // columns] += 2.0
            pictures.append(own)
            places.append((i / rows, j / columns))
    return torch.cat(pictures).to(pixels.device, pixels.dtype), torch.tensor(places)


def _scores(
    answer: _Answer, places: Tensor, image_size: tuple[int, int], patch_size: Any
) -> dict[str, float]:
    """Return the agreement of each possible layout with the places of the block."""
    found: dict[str, float] = {}
    if not answer.by_channels:
        return found
    for layout in MAPS if len(answer.shape) == 4 else TOKENS:
        axes = layout.split("+")[0]
        strength = answer.by_channels[axes.index("C")].unsqueeze(-1)
        plain = layout.replace("C", "", 1) if "N" not in axes else ""
        try:
            if plain:  # the norm already removed the axis of channels
                grid = strength.permute(0, 3, plain.index("H"), plain.index("W"))
            else:
                grid = lay_out(strength, layout.replace("BCN", "BNC"), image_size, patch_size)
        except UnsupportedTargetError:
            continue
        found[layout] = agreement(grid[:, 0], places)
    return found


def agreement(strength: Tensor, places: Tensor) -> float:
    """Correlate the places of a map's response with the places of the block, in [-1, 1].

    Only differences between places and between cells count. Constant cells and uniform responses do not matter.

    Args:
        strength: ``[N, h, w]`` responses of the cells, one map a place.
        places: ``[N, 2]`` rows and columns.

    Returns:
        The worse of both axes, or :data:`INDISTINCT` if the map has one cell or all cells respond alike.
    """
    cells = strength.flatten(1).double()
    if not cells.any():
        return 0.0
    cells = cells / cells.max()  # a deep random network responds only faintly
    change = cells - cells.mean(0, keepdim=True)
    spread = change.std(0, keepdim=True)
    change = change / (spread + 0.1 * spread.median() + 1e-12)  # a few cells with huge values must not decide
    change = (change - change.mean(1, keepdim=True)).unflatten(1, strength.shape[1:])
    if float(change.abs().max()) < 1e-3:
        return INDISTINCT
    found = []
    for axis, n in enumerate(strength.shape[1:]):
        if n > 1:
            where = torch.arange(n, dtype=torch.float64) - (n - 1) / 2
            pulled = (change.sum(2 - axis) * where).sum(1)
            found.append(_correlation(pulled, places[:, axis].double()))
    return min(found, default=INDISTINCT)


def _correlation(a: Tensor, b: Tensor) -> float:
    a, b = a - a.mean(), b - b.mean()
    size = float(a.norm() * b.norm())
    return float((a * b).sum()) / size if size > 0 else 0.0


def _believed(
    answer: _Answer,
    scores: dict[str, float],
    others: Sequence[str | None],
    channels: frozenset[int],
    image_size: tuple[int, int],
    patch_size: Any,
) -> list[str]:
    """Return layouts, best first, that have other evidence than the responses and that these do not contradict."""
    if not scores:
        return []
    if len(answer.shape) == 3:
        alike = [o for o in others if o is not None and "N" in o]
        known = ["BNC"] if patch_size is not None else []
        return [layout for layout in [*alike, *known] if answer.silent or _leads(scores, layout)]
    sides = {"BCHW": answer.shape[2:], "BHWC": answer.shape[1:3]}
    wide = {"BCHW": answer.shape[1], "BHWC": answer.shape[3]}
    one_cell = [layout for layout, cells in sides.items() if set(cells) == {1}]
    alike = [o for o in others if o is not None and "N" not in o]
    named = _only([layout for layout, count in wide.items() if count in channels])
    shaped = _only([layout for layout, cells in sides.items() if _same_shape(cells, image_size)])
    return one_cell or [o for o in [*alike, *named, *shaped] if answer.silent or not _beaten(scores, o)]


def _only(layouts: list[str]) -> list[str]:
    return layouts if len(layouts) == 1 else []


def _same_shape(cells: tuple[int, ...], image_size: tuple[int, int]) -> bool:
    """Whether a grid has the aspect ratio of the picture, up to one cell."""
    (h, w), (height, width) = cells, image_size
    return abs(h * width - w * height) <= max(height, width) and h <= height and w <= width


def _leads(scores: dict[str, float], layout: str) -> bool:
    return scores.get(layout, -1.0) >= max(BELIEVED, max(scores.values()) - 0.1)


def _beaten(scores: dict[str, float], layout: str) -> bool:
    """Whether another layout agrees clearly better, or the state responds alike to all places."""
    own = scores.get(layout, -1.0)
    return own == INDISTINCT or max(scores.values()) >= max(BEATEN, own + 0.3)


def configured_channels(config: Any) -> frozenset[int]:
    """Return the numbers of channels in a Hugging Face config: hidden sizes, listed or doubled from stage to stage."""
    found: set[int] = set()
    for key in ("hidden_size", "embed_dim", "hidden_sizes", "embed_dims", "out_channels", "embedding_size"):
        value = getattr(config, key, None)
        sizes = value if isinstance(value, (list, tuple)) else [value]
        found |= {n for n in sizes if isinstance(n, int)}
    stages = len(getattr(config, "depths", None) or [])
    base = getattr(config, "embed_dim", None)
    if isinstance(base, int):
        found |= {base * 2**i for i in range(stages)}
    return frozenset(found)
