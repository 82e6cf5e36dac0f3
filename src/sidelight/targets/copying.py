"""Copies of a target whose model nobody else holds."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import Tensor, nn

from sidelight.errors import UnsupportedTargetError, first_line

Copied = TypeVar("Copied")


def own_copy(target: Copied) -> Copied:
    """Return a copy of ``target`` to change at will.

    Raises:
        UnsupportedTargetError: its model cannot be copied.
    """
    try:
        return copy.deepcopy(target)
    except Exception as error:
        model = type(getattr(target, "model", target)).__name__
        raise UnsupportedTargetError(
            f"{model} cannot be copied ({first_line(error)}), and what is done here must not change your model. Attributes "
            "that hold locks, open files or results of a pass are the usual causes."
        ) from error


def computed_values(model: nn.Module) -> dict[int, Tensor]:
    """Return copies of tensors that a pass with gradients left in ``model``, by the id of each, for ``deepcopy``.

    PyTorch copies no tensor with a graph. ``torch.nn.utils.weight_norm`` keeps such a weight in its layer, and models keep
    their features.
    """
    left = (v for m in model.modules() for v in vars(m).values() if isinstance(v, Tensor) and not v.is_leaf)
    return {id(value): value.detach().clone() for value in left}
