"""Rows of a batch of tensors."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


def is_batched(value: Tensor, size: int) -> bool:
    """Whether ``value`` has a batch axis of ``size`` samples; one that has none belongs to every sample."""
    return value.ndim > 0 and len(value) == size


def take_rows(tensors: Mapping[str, Tensor], rows: Tensor, size: int) -> dict[str, Tensor]:
    """The samples at ``rows [R]`` of a batch of ``size``, some perhaps more than once; the unbatched as they are."""
    return {k: v.index_select(0, rows) if is_batched(v, size) else v for k, v in tensors.items()}
