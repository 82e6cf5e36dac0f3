"""Models that change their parts for good in a pass, and how what sidelight tries on them is undone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

#: the attention of BigBird that reads a few tokens alone
SPARSE = "block_sparse"


@contextmanager
def unswitched(model: nn.Module) -> Iterator[None]:
    """Give ``model`` the attention back that it had before the context.

    BigBird's sparse attention cannot read a short text. At the first one the model takes full attention in its place, and
    keeps it. So a short text that a check made up would change the logits of all long texts after it. Passes of a user's
    own texts leave it to the model, because making the parts takes longer than a pass.
    """
    before: list[tuple[Any, str, dict[str, nn.Module | None]]] = [
        (m, m.attention_type, dict(m._modules)) for m in _switching(model)
    ]
    try:
        yield
    finally:
        for module, kind, parts in before:
            if module.attention_type != kind:
                module._modules.update(parts)
                module.attention_type = kind


def is_sparse(model: nn.Module) -> bool:
    """Whether ``model`` reads long texts by sparse attention."""
    return any(m.attention_type == SPARSE for m in _switching(model))


def _switching(model: nn.Module) -> Iterator[Any]:
    for module in model.modules():
        if hasattr(type(module), "set_attention_type") and hasattr(module, "attention_type"):
            yield module
