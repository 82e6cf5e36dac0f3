"""How states lie, found by moving something.

Networks give maps channels first or last, or tokens, and their shapes do not say which: height, width and
channels may coincide. A bright block is therefore moved over a picture, and where the state answers shows how it
lies (:func:`find_layouts`). A state that answers nowhere in particular is no map of the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sidelight.errors import UnsupportedTargetError
from sidelight.targets.layouts import MAPS, TOKENS, lay_out, tensor_of

#: places a side that the block is put at
PLACES = 4
#: agreement of answer and place, a correlation in [-1, 1], from which a layout is found; from which tokens are
#: believed to lie as configuration or other states say; from which another layout of a map forbids that.
#: Measured on the families of transformers: right layouts .8 and more where cells are distinct, wrong ones below .6
FOUND, BELIEVED, BEATEN = 0.8, 0.3, 0.6
#: agreement of what cannot be told
INDISTINCT = -1.0
#: pixels that go through the model together
_PIXELS_A_PASS = 4 * 224 * 224

#: gives the states of pixels [N, C, H, W], always as many
States = Callable[[Tensor], Sequence[Any]]


def find_layouts(
    states_of: States, pixels: Tensor, patch_size: Any = None, channels: frozenset[int] = frozenset()
) -> list[str | None]:
    """How each state lies: ``None`` where that cannot be told, ``""`` for what has too few or many axes to be a map.

    Args:
        states_of: one pass.
        pixels: ``[B, C, H, W]`` something the model takes. Its values are not used.
        patch_size: the model's patch size, where it tells one.
        channels: numbers of channels that its configuration names, believed where the answers do not decide.
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
    """How strongly a state answers at each place. Per axis taken for channels, ``[N, ...]`` of the other axes.

    The shape is empty for what can be no map.
    """

    shape: tuple[int, ...]
    by_channels: dict[int, Tensor]

    @property
    def silent(self) -> bool:
        """Whether the block changes nothing, so that nothing speaks against any layout."""
        return not any(bool(strength.any()) for strength in self.by_channels.values())


def _answers(states_of: States, pixels: Tensor) -> tuple[list[_Answer], Tensor]:
    """The answer of each state to a block at each of ``N`` places, and ``[N, 2]`` row and column of the places."""
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
    """What the block changed, zero where that is no more than rounding."""
    change, size = moved.float() - still.float(), still.float().abs()
    eps = torch.finfo(still.dtype).eps
    if float(change.abs().amax()) < eps * float(size.amax()):
        return torch.zeros_like(change)
    return torch.where(change.abs() > 8 * eps * size, change, torch.zeros_like(change))


def _probes(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """A picture of faint noise, the same with a bright block at each place. And the places."""
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
    """How well each layout that the state may have agrees with where the block was."""
    found: dict[str, float] = {}
    if not answer.by_channels:
        return found
    for layout in MAPS if len(answer.shape) == 4 else TOKENS:
        axes = layout.split("+")[0]
        strength = answer.by_channels[axes.index("C")].unsqueeze(-1)
        plain = layout.replace("C", "", 1) if "N" not in axes else ""
        try:
            if plain:  # the axis of channels is summed up already
                grid = strength.permute(0, 3, plain.index("H"), plain.index("W"))
            else:
                grid = lay_out(strength, layout.replace("BCN", "BNC"), image_size, patch_size)
        except UnsupportedTargetError:
            continue
        found[layout] = agreement(grid[:, 0], places)
    return found


def agreement(strength: Tensor, places: Tensor) -> float:
    """Correlation, in [-1, 1], of where a map answers with where something was. The worse of both axes.

    Only what changes from place to place and from cell to cell counts, so neither an answer everywhere nor
    a cell that always answers matters.

    Args:
        strength: ``[N, h, w]`` answers of the cells, one map a place.
        places: ``[N, 2]`` rows and columns.

    Returns:
        :data:`INDISTINCT` where nothing can be seen: the map has one cell, or all cells answer alike.
    """
    cells = strength.flatten(1).double()
    if not cells.any():
        return 0.0
    cells = cells / cells.max()  # a deep random network answers faintly, but it answers
    change = cells - cells.mean(0, keepdim=True)
    spread = change.std(0, keepdim=True)
    change = change / (spread + 0.1 * spread.median() + 1e-12)  # a few cells with huge values decide nothing
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
    """Layouts that something else than the answers speaks for, best first, and the answers not against."""
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
    """Whether a grid has the sides of the picture, up to one cell."""
    (h, w), (height, width) = cells, image_size
    return abs(h * width - w * height) <= max(height, width) and h <= height and w <= width


def _leads(scores: dict[str, float], layout: str) -> bool:
    return scores.get(layout, -1.0) >= max(BELIEVED, max(scores.values()) - 0.1)


def _beaten(scores: dict[str, float], layout: str) -> bool:
    """Whether another layout agrees clearly better, or the whole state answers alike wherever the block is."""
    own = scores.get(layout, -1.0)
    return own == INDISTINCT or max(scores.values()) >= max(BEATEN, own + 0.3)


def configured_channels(config: Any) -> frozenset[int]:
    """Numbers of channels that a Hugging Face config names: hidden sizes, doubled from stage to stage or listed."""
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
