"""Scores of one or several modalities as one row of features per sample, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from sidelight.core.tensors import pooled
from sidelight.core.types import Scores


@dataclass(frozen=True)
class Layout:
    """The place in ``[B, N]`` of each feature of the modalities that are ranked together.

    Attributes:
        shapes: modality name to the shape of one sample's scores, in order.
        real: ``[B, N]`` true for features that count.
        cells: ``[B, N]`` cell of each feature, 0 to M − 1.
        size: ``[B, M]`` real features in each cell. A cell with none is no cell.

    Example:
        >>> real, cells = torch.ones(1, 4, dtype=torch.bool), torch.tensor([[0, 0, 1, 1]])
        >>> layout = Layout({"text": (4,)}, real, cells, size=torch.tensor([[2, 2]]))
        >>> layout.pool(torch.tensor([[1.0, 3.0, 5.0, 5.0]]))  # the mean of each cell
        tensor([[2., 5.]])
    """

    shapes: Mapping[str, tuple[int, ...]]
    real: Tensor
    cells: Tensor
    size: Tensor

    @property
    def real_cells(self) -> Tensor:
        """``[B, M]`` bool: cells that hold a real feature."""
        return self.size > 0

    def flatten(self, values: Mapping[str, Tensor]) -> Tensor:
        """``{modality: [B, ...]}`` to ``[B, N]``."""
        return torch.cat([values[name].flatten(1) for name in self.shapes], 1)

    def unflatten(self, flat: Tensor) -> Scores:
        """``[R, N]`` to ``{modality: [R, ...]}`` for any number of rows."""
        widths = [int(torch.Size(s).numel()) for s in self.shapes.values()]
        parts = flat.split(widths, 1)
        return {n: p.reshape(len(flat), *s) for (n, s), p in zip(self.shapes.items(), parts, strict=True)}

    def pool(self, flat: Tensor) -> Tensor:
        """Mean over the real features of each cell: ``[B, N]`` to float32 ``[B, M]``."""
        # sum in float64 and round once, so that equal pixels give equal cells of any size
        return pooled(flat.double(), self.cells, self.size, self.real).float()

    def any_of(self, flat: Tensor) -> Tensor:
        """Whether any real feature of a cell is true: boolean ``[B, N]`` to ``[B, M]``."""
        found = torch.zeros(self.size.shape, dtype=torch.bool, device=flat.device)
        return found.scatter_reduce_(1, self.cells, flat & self.real, "amax")

    def spread(self, per_cell: Tensor) -> Tensor:
        """Each feature gets its cell's value: ``[B, M]`` to ``[B, N]``."""
        return per_cell.gather(1, self.cells)


def lay_out(feature_mask: Mapping[str, Tensor], cells: Mapping[str, Tensor] = MappingProxyType({})) -> Layout:
    """Lay out all modalities of ``feature_mask``, in its order.

    Args:
        feature_mask: per modality a bool tensor of the scores' shape, true for real features.
        cells: per modality ``[N]`` or ``[B, N]`` cell of each feature, from 0 on. A modality without has one cell for
            each feature.
    """
    joined, offset = [], 0
    for name, mask in feature_mask.items():
        own = cells.get(name)
        ids = torch.arange(mask[0].numel(), device=mask.device) if own is None else own
        joined.append(ids.expand(len(mask), -1) + offset)
        offset += int(ids.max()) + 1
    real = torch.cat([mask.flatten(1) for mask in feature_mask.values()], 1)
    places = torch.cat(joined, 1)
    size = torch.zeros(len(real), offset, dtype=torch.int64, device=real.device)
    size.scatter_add_(1, places, real.long())
    return Layout({name: tuple(mask.shape[1:]) for name, mask in feature_mask.items()}, real, places, size)


def grid_cells(height: int, width: int, side: int, shift: tuple[int, int] = (0, 0)) -> Tensor:
    """``[H·W]`` the cell of each pixel in a grid of squares. Those at the border may be smaller.

    Args:
        side: of a cell in pixels.
        shift: rows and columns by which the grid begins before the picture.

    Example:
        >>> grid_cells(2, 3, 2).view(2, 3)
        tensor([[0, 0, 1],
                [0, 0, 1]])
    """
    rows, columns = ((torch.arange(n) + s) // side for n, s in zip((height, width), shift, strict=True))
    return (rows[:, None] * (int(columns[-1]) + 1) + columns).flatten()
