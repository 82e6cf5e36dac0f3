"""How a state lies in memory: which of its axes are height, width and channels, found by moving something.

Networks give maps channels first or last, or tokens, and their shapes do not say which: height, width and
channels may coincide. A bright block is therefore moved over a picture, and where the state answers shows how it
lies (:func:`find_layouts`). A state that answers nowhere in particular is no map of the picture.

A layout is written by its axes: ``B`` batch, ``C`` channels, ``H`` height, ``W`` width, ``N`` tokens. Of tokens
``+columns`` says that they go column by column instead of row by row, ``+last`` that extra tokens (class,
distillation, registers) come last instead of first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import torch
from torch import Tensor

from sidelight.errors import ConfigError, UnsupportedTargetError
from sidelight.targets.states import token_grid

#: maps by the order of their axes; the first is what most networks give
MAPS = (
    "BCHW",
    *sorted(o for o in map("".join, ("B" + "".join(p) for p in permutations("CHW"))) if o != "BCHW"),
)
TOKENS = ("BNC", "BNC+last", "BNC+columns", "BNC+columns+last", "BCN", "BCN+columns")
LAYOUTS = (*MAPS, *TOKENS)

#: places a side that the block is put at
PLACES = 4
#: agreement of answer and place, a correlation in [-1, 1], from which a layout is taken for found, and from
#: which one is believed that the configuration or the other states speak for. Measured on the families of
#: transformers: right layouts .9 and more, wrong ones below .6
FOUND, BELIEVED = 0.8, 0.3
#: pixels that go through the model together
_PIXELS_A_PASS = 4 * 224 * 224

#: gives the states of pixels [N, C, H, W], always as many
States = Callable[[Tensor], Sequence[Any]]


def tensor_of(state: Any) -> Tensor | None:
    """The tensor of a state that may be a map or tokens (of a tuple the first), else ``None``."""
    value = state[0] if isinstance(state, (tuple, list)) and state else state
    return value if isinstance(value, Tensor) and value.ndim in (3, 4) else None


def check_layout(layout: str) -> str:
    """``layout``; raises :class:`ConfigError` for one that is not in :data:`LAYOUTS`."""
    if layout not in LAYOUTS:
        raise ConfigError(f"layouts: {layout!r} is none of {', '.join(LAYOUTS)}.")
    return layout


def lay_out(state: Tensor, layout: str, image_size: tuple[int, int], patch_size: Any = None) -> Tensor:
    """``state`` as ``[B, C, h, w]``.

    Args:
        state: ``[B, ., ., .]`` map or ``[B, ., .]`` tokens.
        layout: one of :data:`LAYOUTS`; ``""`` for what is usual, ``BCHW`` or ``BNC``.
        image_size: height and width of the input in pixels.
        patch_size: the model's patch size, where it tells one.

    Raises:
        UnsupportedTargetError: the state has not as many axes as its layout, or its tokens fit no grid.
    """
    axes, *flags = (layout or ("BCHW" if state.ndim == 4 else "BNC")).split("+")
    if state.ndim != len(axes):
        raise UnsupportedTargetError(
            f"a state of shape {tuple(state.shape)} cannot lie as {layout}; name other layers."
        )
    if "N" not in axes:
        return state.permute([axes.index(a) for a in "BCHW"])
    tokens = state.transpose(1, 2) if axes == "BCN" else state
    h, w = token_grid(tokens.shape[1], image_size, patch_size)
    patches = tokens[:, : h * w] if "last" in flags else tokens[:, tokens.shape[1] - h * w :]
    rows = patches.transpose(1, 2)
    if "columns" in flags:
        return rows.reshape(len(rows), -1, w, h).transpose(2, 3)
    return rows.reshape(len(rows), -1, h, w)


def find_layouts(
    states_of: States, pixels: Tensor, patch_size: Any = None, channels: frozenset[int] = frozenset()
) -> list[str | None]:
    """How each state lies: ``None`` where that cannot be told, ``""`` for what has too few or many axes to be a map.

    Args:
        states_of: one pass.
        pixels: ``[B, C, H, W]`` something the model takes; its values are not used.
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
        believed = [layout] if layout else _believed(answer, own, sure, channels, patch_size)
        found.append(next(iter(believed), None if answer.shape else ""))
    return found


@dataclass(frozen=True)
class _Answer:
    """How strongly a state answers at each place; per axis taken for channels, ``[N, ...]`` of the other axes.

    The shape is empty for what can be no map.
    """

    shape: tuple[int, ...]
    by_channels: dict[int, Tensor]


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
    change = moved.float() - still.float()
    rounding = 8 * torch.finfo(still.dtype).eps * still.float().abs()
    return torch.where(change.abs() > rounding, change, torch.zeros_like(change))


def _probes(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """A picture of faint noise, the same with a bright block at each place; and the places."""
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
    """Correlation, in [-1, 1], of where a map answers with where something was; the worse of both axes.

    Only what changes from place to place and from cell to cell counts, so neither an answer everywhere nor
    a cell that always answers matters.

    Args:
        strength: ``[N, h, w]`` answers of the cells, one map a place.
        places: ``[N, 2]`` rows and columns.

    Returns:
        -1 where the map has one cell, as nothing can be seen there.
    """
    cells = strength.flatten(1).double()
    cells = cells / cells.abs().max().clamp(
        min=1e-300
    )  # a deep random network answers faintly, but it answers
    change = cells - cells.mean(0, keepdim=True)
    spread = change.std(0, keepdim=True)
    change = change / (spread + 0.1 * spread.median() + 1e-12)  # a few cells with huge values decide nothing
    change = (change - change.mean(1, keepdim=True)).unflatten(1, strength.shape[1:])
    found = []
    for axis, n in enumerate(strength.shape[1:]):
        if n > 1:
            where = torch.arange(n, dtype=torch.float64) - (n - 1) / 2
            pulled = (change.sum(2 - axis) * where).sum(1)
            found.append(_correlation(pulled, places[:, axis].double()))
    return min(found, default=-1.0)


def _correlation(a: Tensor, b: Tensor) -> float:
    a, b = a - a.mean(), b - b.mean()
    size = float(a.norm() * b.norm())
    return float((a * b).sum()) / size if size > 0 else 0.0


def _believed(
    answer: _Answer,
    scores: dict[str, float],
    others: Sequence[str | None],
    channels: frozenset[int],
    patch_size: Any,
) -> list[str]:
    """Layouts that something else than the answers speaks for, best first, and the answers not against."""
    if not scores:
        return []
    if len(answer.shape) == 3:
        alike = [o for o in others if o is not None and "N" in o]
        known = ["BNC"] if patch_size is not None else []
        return [layout for layout in [*alike, *known] if _not_against(scores, layout)]
    first, last = answer.shape[1] in channels, answer.shape[3] in channels
    one_cell = [
        o for o, cells in (("BCHW", answer.shape[2:]), ("BHWC", answer.shape[1:3])) if set(cells) == {1}
    ]
    known = [o for o, yes in (("BCHW", first and not last), ("BHWC", last and not first)) if yes]
    alike = [o for o in others if o is not None and "N" not in o]
    return [*one_cell, *[layout for layout in alike if _not_against(scores, layout)], *known]


def _not_against(scores: dict[str, float], layout: str) -> bool:
    """Whether the answers leave room for ``layout``: none other agrees better, or nothing answers at all."""
    if all(score in (0.0, -1.0) for score in scores.values()):
        return True
    return layout in scores and scores[layout] >= max(BELIEVED, max(scores.values()) - 0.1)


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


class StateLayouts:
    """How the states of one model lie: given, found once, or assumed.

    Args:
        given: one layout for all states, one for each (``None`` for a state that is none), or ``None``.
        assumed: without any given, take maps for ``BCHW`` and tokens for ``BNC`` instead of finding out.

    Raises:
        ConfigError: a layout is not known.
    """

    def __init__(self, given: str | Sequence[str | None] | None, assumed: bool = False) -> None:
        each = [given] if isinstance(given, str) else given
        if each is not None and not all(layout is None or isinstance(layout, str) for layout in each):
            raise ConfigError(f"layouts must be texts such as {LAYOUTS[0]!r}; got {given!r}.")
        self._each = None if each is None else [check_layout(e) if e else e for e in each]
        self._same = self._each[0] if self._each is not None and isinstance(given, str) else None
        self._assumed = assumed

    @property
    def known(self) -> bool:
        """Whether there is nothing to find out."""
        return self._assumed or self._each is not None

    def settle(
        self, states_of: States, pixels: Tensor, patch_size: Any, config: Any, names: Sequence[str] = ()
    ) -> None:
        """Find out, and remember.

        Args:
            states_of, pixels, patch_size: see :func:`find_layouts`.
            config: of the model, or ``None``.
            names: of the layers that give the states, where the caller named them: each must be a map.

        Raises:
            UnsupportedTargetError: a layer that was named gives no map of the picture, or no state is one.
        """
        found = find_layouts(states_of, pixels, patch_size, configured_channels(config))
        lost = [i for i, layout in enumerate(found) if layout is None]
        if lost and (names or not any(found)):
            what = f"layer {names[lost[0]]!r}" if names and lost else "any hidden state"
            raise UnsupportedTargetError(
                f"it cannot be told which axes of {what} are height and width: a block that was moved over a picture moved "
                "nothing there. Name layers that give maps of the picture, layers=[...], or say how they lie, "
                f"layouts=... (one of {', '.join(LAYOUTS)})."
            )
        self._each = found

    def of(self, index: int) -> str | None:
        """The layout of the state ``index``; ``None`` for one that is no map. What is only assumed is ``""``."""
        if self._same is not None:
            return self._same
        return "" if self._each is None or index >= len(self._each) else self._each[index]

    def of_tokens(self) -> str:
        """The order of the tokens, where states are tokens."""
        return next((e for e in self._each or () if e is not None and e.startswith("BN")), "BNC")

    def maps(self, raw: Sequence[Any], image_size: tuple[int, int], patch_size: Any) -> list[Tensor]:
        """The states that are maps, as ``[B, C, h, w]``, shallow to deep.

        Raises:
            UnsupportedTargetError: there is none, or tokens fit no grid.
        """
        found = [
            lay_out(value, layout, image_size, patch_size)
            for i, state in enumerate(raw)
            if (value := tensor_of(state)) is not None and (layout := self.of(i)) is not None
        ]
        if not found:
            raise UnsupportedTargetError(
                "no state has the shape [B, C, h, w] or [B, L, D]; name other layers to read."
            )
        return found

    def to_option(self) -> str | list[str | None] | None:
        """What gives the same layouts again; ``None`` for what is not known or only assumed."""
        if self._each is None:
            return None
        return self._each[0] if len(set(self._each)) == 1 else list(self._each)
