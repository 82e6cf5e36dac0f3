"""A check that a model takes pictures as pixels."""

from __future__ import annotations

import inspect

from torch import nn

from sidelight.errors import UnsupportedTargetError


def check_takes_pixels(model: nn.Module) -> None:
    """Raise :class:`UnsupportedTargetError` if ``model`` does not take pixels ``[B, C, H, W]``."""
    name, parameters = type(model).__name__, inspect.signature(model.forward).parameters
    if "spatial_shapes" in parameters:
        raise UnsupportedTargetError(
            f"{name} takes patches that its processor cuts out of pictures of any shape, not pixels [B, C, H, W]. "
            "Use a model of fixed size, e.g. SigLIP."
        )
    if "input_ids" in parameters:
        raise UnsupportedTargetError(
            f"{name} reads ids of tokens (of colours, or of words beside the picture), not pixels [B, C, H, W] alone. "
            "Use an image classifier that takes pixel_values."
        )
    needed = [
        n
        for n, p in parameters.items()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if len(needed) > 1:
        raise UnsupportedTargetError(
            f"the forward of {name} needs {', '.join(map(repr, needed))}, but an image classifier is called with its pixels "
            "alone. Give the others a default, or put a small module around it that knows them: def forward(self, x): "
            f"return self.model(x, {'..., ' * (len(needed) - 2)}...)."
        )
