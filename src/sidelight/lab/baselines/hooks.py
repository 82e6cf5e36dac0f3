"""Leave a model as it was after a method put hooks and attributes on it."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from sidelight.core.quiet import ignored_warnings

_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_pre_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_backward_hooks",
    "_backward_pre_hooks",
)
# Captum's DeepLIFT leaves tensors on activations that no gradient came back to. Transformers marks a model
# on which it has put hooks for hidden states. Hooks and mark must go together, or the next request for hidden
# states finds neither.
_ATTRIBUTES = ("input", "output", "input_ref", "_output_capturing_hooks_installed")
_MISSING = object()


@contextmanager
def pristine(model: nn.Module) -> Iterator[None]:
    """Take off every hook and attribute that was put on ``model`` inside, also after an error."""
    before = [
        (
            module,
            {k: dict(getattr(module, k)) for k in _HOOKS if hasattr(module, k)},
            {k: module.__dict__.get(k, _MISSING) for k in _ATTRIBUTES},
        )
        for module in model.modules()
    ]
    try:
        # Captum warns that it sets hooks and needs gradients. This module takes care of both
        with ignored_warnings(
            r"\s*Setting (forward, )?backward hooks", "Input Tensor .* did not already require gradients"
        ):
            yield
    finally:
        for module, hooks, attributes in before:
            _restore(module, hooks, attributes)


def _restore(module: nn.Module, hooks: dict[str, dict[int, Any]], attributes: dict[str, Any]) -> None:
    for key, saved in hooks.items():
        current = getattr(module, key)
        if dict(current) != saved:
            current.clear()
            current.update(saved)
    for key, value in attributes.items():
        if value is not _MISSING:
            module.__dict__[key] = value
        else:
            module.__dict__.pop(key, None)


class _PerCall(nn.Module):
    """Replaces a module that a pass uses several times: each call gets its own copy."""

    def __init__(self, module: nn.Module, calls: int) -> None:
        super().__init__()
        self.copies = nn.ModuleList(copy.deepcopy(module) for _ in range(calls))
        self._next = 0

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        module = self.copies[self._next]
        self._next = (self._next + 1) % len(self.copies)
        return module(*args, **kwargs)


@contextmanager
def unshared(model: nn.Module, run: Callable[[], Any], kinds: tuple[type[nn.Module], ...]) -> Iterator[None]:
    """Give each use of a reused module its own copy, for as long as the context lasts.

    DeepLIFT keeps one input and one output per module, so it fails if one ReLU object serves several places.
    Only modules of ``kinds`` are replaced. Weights stay.

    Args:
        run: makes one forward pass, to count how often each module is used.
        kinds: exact types of the modules to separate.
    """
    reused = {m: n for m, n in _count_calls(model, run, kinds).items() if n > 1}
    stand_ins = {m: _PerCall(m, n) for m, n in reused.items()}
    places = [
        (parent, name, child)
        for parent in list(model.modules())
        for name, child in parent._modules.items()
        if child in stand_ins
    ]
    try:
        for parent, name, child in places:
            parent._modules[name] = stand_ins[child]
        yield
    finally:
        for parent, name, child in places:
            parent._modules[name] = child


def _count_calls(
    model: nn.Module, run: Callable[[], Any], kinds: tuple[type[nn.Module], ...]
) -> Counter[nn.Module]:
    calls: Counter[nn.Module] = Counter()

    def count(module: nn.Module, _args: Any) -> None:
        calls[module] += 1

    handles = [m.register_forward_pre_hook(count) for m in model.modules() if type(m) in kinds]
    try:
        if handles:
            with torch.no_grad():
                run()
    finally:
        for handle in handles:
            handle.remove()
    return calls
