"""The image scorer: a U-Net decoder from the deepest states up to pixels, narrower at each stage (thesis §3.3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sidelight.core.field_checks import Flag, Size, Sizes, require_choice
from sidelight.core.types import Encoding, StateSpec
from sidelight.errors import ConfigError
from sidelight.scorers.base import DECODERS
from sidelight.scorers.readout import READINGS, ClassReadout

#: Up to this longer side in pixels, the decoder works at full resolution by default.
FULL_RESOLUTION_UP_TO = 96
#: Values that a decoder's convolutions may see beyond the border.
PADDINGS = ("zeros", "replicate")
Padding = Literal["zeros", "replicate"]


class ImageDecoder(nn.Module):
    """States of the frozen target to one raw score per pixel.

    The states are projected to few channels, and the width falls as the resolution doubles. So the decoder costs a few
    per cent of its target. A state joins the stage of its own resolution. If all states lie on one patch grid, each joins
    another stage: its channels hold positions within a patch and are unfolded to the resolution of the stage.

    Args:
        states: shape of each state, shallow to deep.
        size: height and width of the input in pixels.
        channels: width of each stage, deepest first. The last one repeats.
        stride: pixels per cell of the last stage. Default: 1 up to 96 pixels, and 2 above, because single pixels are
            not worth their cost there.
        cond_dim: width of a fusion vector that shifts and scales every stage, if there is one.
        padding: values that convolutions see beyond the border, ``zeros`` or ``replicate``. With zeros, corners and
            borders have raw scores of their own even before the training.
        pooled: whether states that are finer than the last stage are averaged down to it. Otherwise the last stage is as
            fine as the finest state, whatever ``stride`` says.
        classes: of the target. With them there are three readings of each class
            (:data:`~sidelight.scorers.readout.READINGS`), without them one, of the class that the target predicts.
        direct: whether states that all share one grid are unfolded to the last stage at once. Otherwise the resolution
            doubles from stage to stage.
        gates: how many of the last differences of one state and the next multiply the features of the last stage
            (:class:`Gate`). All states must share one grid and width.
    """

    def __init__(
        self,
        states: Sequence[StateSpec],
        size: tuple[int, int],
        channels: Sequence[int] = (64, 32, 16),
        cond_dim: int | None = None,
        stride: int | None = None,
        padding: Padding = "zeros",
        classes: int | None = None,
        pooled: bool = False,
        direct: bool = False,
        gates: int = 0,
    ) -> None:
        super().__init__()
        _require_sensible(padding, channels, stride)
        _require_changes(states, gates)
        grids = [s.grid for s in states]
        if not grids or any(g is None for g in grids):
            raise ConfigError("an image scorer needs at least one state with a grid.")
        found = [g for g in grids if g is not None]
        factors = [pool_factor(g, finest_size(size, stride)) if pooled else 1 for g in found]
        found = [(-(-g[0] // f), -(-g[1] // f)) for g, f in zip(found, factors, strict=True)]
        sizes = stage_sizes(found, size, stride, direct)
        widths = [channels[min(i, len(channels) - 1)] for i in range(len(sizes))]
        self.sizes = sizes
        self.joins = assign_skips(found, sizes)
        self.skips = nn.ModuleList(
            Skip(state.channels, widths[stage], unfold_factor(grid, sizes[stage]), pool)
            for state, grid, stage, pool in zip(states, found, self.joins, factors, strict=True)
        )
        self.stages = nn.ModuleList(
            Stage(widths[max(i - 1, 0)], width, cond_dim, padding) for i, width in enumerate(widths)
        )
        gate = states[-1].channels, widths[-1], unfold_factor(found[-1], sizes[-1]), factors[-1]
        self.gates = nn.ModuleList(Gate(*gate) for _ in range(gates))
        width = widths[-1] if classes else 1
        self.readout = nn.Conv2d(widths[-1], width, 3, padding=1, padding_mode=padding)
        self.of_class = ClassReadout(width, classes) if classes else None
        self._begin_above_zero()

    @torch.no_grad()
    def _begin_above_zero(self) -> None:
        """Start there, because the gradient of a map that ReLU sets to 0 everywhere is 0."""
        start = self.readout.bias if self.of_class is None else self.of_class.bias[:1]
        start.fill_(0.5)  # type: ignore[union-attr]

    def forward(
        self,
        states: Sequence[Tensor],
        size: tuple[int, int],
        fusion: Tensor | None = None,
        classes: Tensor | None = None,
    ) -> Tensor:
        """Raw scores for states ``[B, C_i, h_i, w_i]``, shallow to deep.

        Args:
            size: H and W.
            fusion: ``[B, cond_dim]``, if the decoder is conditioned.
            classes: ``[B, C]`` classes to score, if the decoder knows classes.

        Returns:
            ``[B, 1, H, W]``, or ``[B, C, 3, H, W]`` of the three readings of each class.
        """
        joined: list[Tensor | None] = [None] * len(self.sizes)
        for skip, stage, state in zip(self.skips, self.joins, states, strict=True):
            value = skip(state)
            held = joined[stage]
            joined[stage] = value if held is None else held + _fit(value, held)
        x = joined[0]
        assert x is not None  # the deepest state always joins stage 0
        for i, block in enumerate(self.stages):
            x = block(x, joined[i] if i else None, self.sizes[i] if i else None, fusion)
        if self.gates:
            x = x * self._gate(states, x)
        x = self.readout(x)
        if self.of_class is None or classes is None:
            return F.interpolate(x, size=size, mode="bilinear", align_corners=False)
        # before the interpolation, which is linear, because there are more features than raw scores
        asked = self.of_class.weights(classes).to(x.dtype)
        raw = asked.flatten(1, 2) @ x.flatten(2)
        raw = raw.view(*asked.shape[:3], *x.shape[2:]) + self.of_class.bias.view(-1, 1, 1)
        # one channel at a time: torch interpolates several channels more slowly, and copies them before
        grown = F.interpolate(raw.flatten(0, 2).unsqueeze(1), size=size, mode="bilinear", align_corners=False)
        grown = grown.view(*asked.shape[:3], *size)
        rank = READINGS.index("ranking")
        ranked = self.of_class.ranked(grown[:, :, rank].flatten(0, 1).flatten(1))
        grown[:, :, rank] = ranked.view(*asked.shape[:2], *size)
        return grown

    def _gate(self, states: Sequence[Tensor], like: Tensor) -> Tensor:
        """Factors of the last stage's features, ``[B, width, h, w]``."""
        late = states[-len(self.gates) - 1 :]
        changes = [after - before for before, after in pairwise(late)]
        return sum(
            (_fit(gate(c), like) for gate, c in zip(self.gates, changes, strict=True)), like.new_zeros(())
        )


def _require_changes(states: Sequence[StateSpec], gates: int) -> None:
    late = states[-gates - 1 :]
    if gates < 0 or gates >= max(1, len(states)) or len({(s.grid, s.channels) for s in late}) > 1:
        raise ConfigError(
            f"gates={gates} needs {gates + 1} states of one grid and one width, of which each is the one before and what "
            f"layers added; the scorer reads {', '.join(f'{s.channels} × {s.grid}' for s in states)}."
        )


def _require_sensible(padding: str, channels: Sequence[int], stride: int | None) -> None:
    require_choice(padding, PADDINGS, "padding")
    if not channels or min(channels) < 1:
        raise ConfigError(f"channels must be positive widths, deepest first; got {list(channels)}.")
    if stride is not None and stride < 1:
        raise ConfigError(f"stride must be at least 1 pixel; got {stride}.")


class Norm(nn.GroupNorm):
    """Group norm that also takes a group of one value (a 1×1 grid, few channels). Its output is the bias."""

    def forward(self, x: Tensor) -> Tensor:
        # the forward of the parent class refuses a group of one value
        return torch.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class Skip(nn.Module):
    """Average a state over cells, normalise it, project it, and unfold its channels onto a finer grid.

    The state may lie in memory channels first or last. The result lies channels last: there the unfolding, the doubling
    of the resolution and the convolutions of the stages read and write whole runs of memory.
    """

    def __init__(self, channels: int, width: int, factor: int, pool: int = 1) -> None:
        super().__init__()
        self.factor, self.pool = factor, pool
        self.norm = Norm(1, channels)
        self.project = nn.Conv2d(channels, width * factor * factor, 1)

    def forward(self, state: Tensor) -> Tensor:
        x, f = cell_means(state, self.pool), self.factor
        found = self._projected(x.flatten(2).transpose(1, 2))
        parts = found.unflatten(2, (f, f, -1)).unflatten(1, x.shape[2:])  # [B, h, w, f, f, width]
        return parts.transpose(2, 3).flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)

    def _projected(self, cells: Tensor) -> Tensor:
        """``project(norm(x))`` of ``[B, N, C]`` cells by one product, for a normed copy of a large state costs much.

        The channels of one place within a cell come together: ``[B, N, f · f · width]``.
        """
        mean = cells.mean((1, 2), keepdim=True)
        square = torch.linalg.vector_norm(cells, dim=(1, 2), keepdim=True) ** 2 / cells[0].numel()
        scale = ((square - mean**2).clamp(min=0) + self.norm.eps).rsqrt()
        weight, shift = _by_place(self.project.weight.flatten(1), self.factor), self.project.bias
        if shift is None:  # of a gate
            return torch.addcmul(-mean * scale * weight.sum(1), cells @ weight.t(), scale)
        scaled = weight * self.norm.weight
        bias = _by_place(shift[:, None], self.factor)[:, 0] + weight @ self.norm.bias
        return torch.addcmul(bias - mean * scale * scaled.sum(1), cells @ scaled.t(), scale)


def _by_place(values: Tensor, factor: int) -> Tensor:
    """Rows ``[width · f · f, ...]`` of a projection, those of one place within a cell together."""
    return values.unflatten(0, (-1, factor * factor)).transpose(0, 1).flatten(0, 1) if factor > 1 else values


def cell_means(x: Tensor, side: int) -> Tensor:
    """Means of ``x [B, C, h, w]`` over cells of ``side × side``, which are smaller at the lower and right border.

    Sums of rows and then of columns are several times as fast on a CPU as ``avg_pool2d``.

    Example:
        >>> import torch
        >>> cell_means(torch.arange(9.0).view(1, 1, 3, 3), 2)
        tensor([[[[2.0000, 3.5000],
                  [6.5000, 8.0000]]]])
    """
    if side == 1:
        return x
    rows, columns = (-(-n // side) * side - n for n in x.shape[2:])
    if not rows and not columns:
        return _cell_sums(x, side) / side**2
    sizes = F.pad(torch.ones_like(x[:1, :1]), (0, columns, 0, rows))
    return _cell_sums(F.pad(x, (0, columns, 0, rows)), side) / _cell_sums(sizes, side)


def _cell_sums(x: Tensor, side: int) -> Tensor:
    rows = sum((x[:, :, i::side] for i in range(1, side)), x[:, :, ::side])
    return sum((rows[..., i::side] for i in range(1, side)), rows[..., ::side])


class Gate(Skip):
    """What layers added to a state, normalised and projected without biases: factors of the features of a finer grid.

    Early states say where there is ink, so a map could be made of them alone and stay the same if later layers were
    others. A product with what the later layers add cannot: without biases no factor is the same everywhere
    (``docs/notes/audit-of-mnist.md``).
    """

    def __init__(self, channels: int, width: int, factor: int, pool: int = 1) -> None:
        super().__init__(channels, width, factor, pool)
        self.norm = Norm(1, channels, affine=False)
        self.project = nn.Conv2d(channels, width * factor * factor, 1, bias=False)


class Stage(nn.Module):
    """Upsample, narrow, add the skip, convolve."""

    def __init__(self, width_in: int, width: int, cond_dim: int | None, padding: Padding) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(width_in, width, 1) if width_in != width else nn.Identity()
        self.conv = nn.Conv2d(width, width, 3, padding=1, padding_mode=padding)
        self.norm = Norm(min(4, width) if width % min(4, width) == 0 else 1, width)
        self.film = nn.Linear(cond_dim, 2 * width) if cond_dim else None

    def forward(
        self, x: Tensor, skip: Tensor | None, size: tuple[int, int] | None, fusion: Tensor | None
    ) -> Tensor:
        x = self.narrow(x)
        if skip is not None:
            x = _fit(x, skip) + skip
        elif size is not None:
            x = F.interpolate(x, size=size, mode="nearest")
        x = self.norm(self.conv(x))
        if self.film is not None and fusion is not None:
            scale, shift = self.film(fusion)[:, :, None, None].chunk(2, 1)
            x = x * (1 + scale) + shift
        return F.gelu(x)


def _fit(x: Tensor, like: Tensor) -> Tensor:
    return x if x.shape[-2:] == like.shape[-2:] else F.interpolate(x, size=like.shape[-2:], mode="nearest")


def stage_sizes(
    grids: Sequence[tuple[int, int]],
    size: tuple[int, int],
    stride: int | None = None,
    direct: bool = False,
) -> list[tuple[int, int]]:
    """Resolutions of the decoder's stages: the states' own grids, then doubling up to ``size / stride``.

    With ``direct``, states of one common grid go to the last resolution at once.

    Example:
        >>> stage_sizes([(14, 14)] * 4, (224, 224))
        [(14, 14), (28, 28), (56, 56), (112, 112)]
        >>> stage_sizes([(14, 14)] * 4, (224, 224), stride=4, direct=True)
        [(14, 14), (56, 56)]
    """
    goal = finest_size(size, stride)
    sizes = sorted(set(grids))
    factor = max(goal) if direct and len(sizes) == 1 else 2
    while sizes[-1][0] < goal[0] or sizes[-1][1] < goal[1]:
        rows, columns = sizes[-1]
        sizes.append((min(rows * factor, goal[0]), min(columns * factor, goal[1])))
    return sizes


def finest_size(size: tuple[int, int], stride: int | None = None) -> tuple[int, int]:
    """Resolution of the last stage for inputs of ``size``, if no state is finer."""
    stride = stride or (1 if max(size) <= FULL_RESOLUTION_UP_TO else 2)
    return -(-size[0] // stride), -(-size[1] // stride)


def pool_factor(grid: tuple[int, int], finest: tuple[int, int]) -> int:
    """Side of the cells over which ``grid`` is averaged so that it is not finer than ``finest``."""
    return max(1, *(-(-g // f) for g, f in zip(grid, finest, strict=True)))


def assign_skips(grids: Sequence[tuple[int, int]], sizes: Sequence[tuple[int, int]]) -> list[int]:
    """Stage that each state joins: that of its own resolution or, if all share one grid, each one stage later."""
    deepest = sizes[0]
    same = [i for i, g in enumerate(grids) if g == deepest]
    joins = []
    for i, grid in enumerate(grids):
        if grid != deepest:
            joins.append(list(sizes).index(grid))
        else:
            joins.append(min(same[-1] - i if len(set(grids)) == 1 else 0, len(sizes) - 1))
    return joins


def unfold_factor(grid: tuple[int, int] | None, size: tuple[int, int]) -> int:
    """How many times finer ``size`` is than ``grid``, on the axis with the smaller ratio."""
    return max(1, min(round(s / g) for s, g in zip(size, grid, strict=True))) if grid else 1


@DECODERS.register("image")
class ImageScorer(nn.Module):
    """:class:`ImageDecoder` behind the decoder protocol of :mod:`sidelight.scorers.base`.

    Args:
        channels: width of each stage, deepest first. The last one repeats.
        stride: pixels per cell of the last stage. Default: 1 up to 96 pixels, and above that 2, or more if ``fit`` finds
            that the decoder would cost too much beside its classifier.
        padding: what convolutions see beyond the border: ``zeros`` or ``replicate``. With zeros, corners and borders have
            raw scores of their own even before the training.
        pooled: whether states that are finer than the last stage are averaged down to it.
        direct: whether states that all share one grid, as a transformer's do, are unfolded to the last stage at once.
        gates: how many of the last differences of one state and the next, as a transformer's layers add them, multiply
            the features of the last stage. 0 for none.
    """

    OPTIONS: ClassVar[dict[str, Any]] = {
        "channels": Sizes,
        "stride": Size | None,
        "padding": str,
        "pooled": Flag,
        "direct": Flag,
        "gates": Size,
    }

    def __init__(
        self,
        states: Sequence[StateSpec],
        feature_shape: Sequence[int],
        cond_dim: int | None = None,
        channels: Sequence[int] = (64, 32, 16),
        stride: int | None = None,
        padding: Padding = "zeros",
        classes: int | None = None,
        pooled: bool = False,
        direct: bool = False,
        gates: int = 0,
    ) -> None:
        super().__init__()
        size = (feature_shape[-2], feature_shape[-1])
        self.decoder = ImageDecoder(
            states, size, channels, cond_dim, stride, padding, classes, pooled, direct, gates
        )

    def forward(self, encoding: Encoding, modality: str, classes: Tensor | None = None) -> Tensor:
        size = encoding.feature_mask[modality].shape[-2:]
        # a model in half precision gives states in half precision, but the scorer has a precision of its own
        dtype = self.decoder.readout.weight.dtype
        states = [s.to(dtype) for s in encoding.states[modality]]
        fusion = None if encoding.fusion is None else encoding.fusion.to(dtype)
        return self.decoder(states, (size[0], size[1]), fusion, classes)
