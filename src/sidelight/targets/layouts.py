"""The layout of a state: the order of its axes height, width and channels.

A layout lists the axes: ``B`` batch, ``C`` channels, ``H`` height, ``W`` width, ``N`` tokens. ``+columns`` means
that tokens go column by column instead of row by row. ``+last`` means that extra tokens (class, distillation,
registers) come last instead of first.
"""

from __future__ import annotations

from itertools import permutations
from typing import Any

from torch import Tensor

from sidelight.errors import ConfigError, UnsupportedTargetError
from sidelight.targets.states import token_grid

#: layouts of maps, and most networks use the first
MAPS = (
    "BCHW",
    *sorted(o for o in map("".join, ("B" + "".join(p) for p in permutations("CHW"))) if o != "BCHW"),
)
TOKENS = ("BNC", "BNC+last", "BNC+columns", "BNC+columns+last", "BCN", "BCN+columns")
LAYOUTS = (*MAPS, *TOKENS)


def tensor_of(state: Any) -> Tensor | None:
    """Return the tensor of a state if it may be a map or tokens, else ``None``. A tuple gives its first."""
    value = state[0] if isinstance(state, (tuple, list)) and state else state
    return value if isinstance(value, Tensor) and value.ndim in (3, 4) else None


def check_layout(layout: str) -> str:
    """Return ``layout``, or raise :class:`ConfigError` if :data:`LAYOUTS` does not contain it."""
    if layout not in LAYOUTS:
        raise ConfigError(f"layouts: {layout!r} is none of {', '.join(LAYOUTS)}.")
    return layout


def lay_out(state: Tensor, layout: str, image_size: tuple[int, int], patch_size: Any = None) -> Tensor:
    """Lay ``state`` out as ``[B, C, h, w]``.

    Args:
        state: ``[B, ., ., .]`` map or ``[B, ., .]`` tokens.
        layout: one of :data:`LAYOUTS`, or ``""`` for the usual ``BCHW`` or ``BNC``.
        image_size: height and width of the input in pixels.
        patch_size: the model's patch size, if known.

    Raises:
        UnsupportedTargetError: state and layout differ in the number of axes, or the tokens fit no grid.
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
        return rows.reshape(rows.shape[0], -1, w, h).transpose(2, 3)
    return rows.reshape(rows.shape[0], -1, h, w)
