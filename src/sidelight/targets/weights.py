"""Identity of a model's weights: a hash of all weights, and a cheap watch for changes."""

from __future__ import annotations

import copy
import hashlib
import json
import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sidelight.core.module_names import plain_name, wrapped_parts
from sidelight.targets.copying import computed_values
from sidelight.targets.wrappers import require_module

#: number of elements of each tensor that a watch compares
WATCHED = 4


def fingerprint(model: nn.Module) -> str:
    """Compute the BLAKE2 hash over names, shapes, types and bytes of a model's state.

    Quantised and sparse tensors enter by their values, and other objects by their parts. Names of wrappers do not
    change the hash, but the choice of active PEFT adapters does.

    Returns:
        32 hexadecimal digits.

    Raises:
        UnsupportedTargetError: ``model`` is no ``nn.Module``.

    Example:
        >>> one, other = nn.Linear(2, 1), nn.Linear(2, 1)  # with random weights
        >>> len(fingerprint(one)), fingerprint(one) == fingerprint(one), fingerprint(one) == fingerprint(other)
        (32, True, False)
    """
    require_module(model)
    wrapped = wrapped_parts(model)
    state = {plain_name(name, wrapped): value for name, value in model.state_dict().items()}
    adapters = {name: str(switches) for name, switches in _adapters(model).items()}
    return hash_of({**state, **adapters})


def shapes_hash(model: nn.Module) -> str:
    """Hash names and shapes of a model's state. The hash does not depend on the precision."""
    wrapped = wrapped_parts(model)
    shapes = {plain_name(k, wrapped): getattr(v, "shape", ()) for k, v in model.state_dict().items()}
    text = json.dumps([[name, list(shape)] for name, shape in sorted(shapes.items())])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _adapters(model: nn.Module) -> dict[str, Any]:
    """Return the switches of each layer that PEFT has changed. Other models have none."""
    return {f"{n}|adapters": _switches(m) for n, m in model.named_modules() if _is_adapted(m)}


def _is_adapted(module: nn.Module) -> bool:
    # transformers' models have methods of these names, but PEFT's layers have properties
    return all(
        isinstance(getattr(type(module), n, None), property) for n in ("active_adapters", "disable_adapters")
    )


def _switches(layer: Any) -> tuple[Any, ...]:
    active = layer.active_adapters
    return tuple([active] if isinstance(active, str) else active), bool(layer.disable_adapters)


def _scales(layer: Any) -> dict[str, dict[str, Any]]:
    """Return the factors of the adapters of a layer that PEFT has changed. They are no part of the model's state."""
    tables = {n: v for n, v in vars(layer).items() if n.endswith("scaling") and isinstance(v, dict)}
    return {n: {k: v for k, v in own.items() if isinstance(v, (int, float))} for n, own in tables.items()}


def hash_of(state: Mapping[str, Any]) -> str:
    """Compute the BLAKE2 hash of named values in the order of names, as 32 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=16)
    for name, value in sorted(state.items()):
        for part, tensor in _tensors(name, value):
            digest.update(f"{part}|{tuple(tensor.shape)}|{tensor.dtype}".encode())
            if tensor.is_meta:  # has a shape and no values
                digest.update(b"meta")
                continue
            plain = _strided(tensor).detach().cpu().contiguous()
            digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _tensors(name: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        for part, inner in inner_tensors(value):
            yield f"{name}{part}", inner
    elif isinstance(value, (tuple, list)):
        for i, part in enumerate(value):
            yield from _tensors(f"{name}.{i}", part)
    else:  # settings beside the weights, such as the type of quantised layers
        yield f"{name}={value}", torch.zeros(0, device="cpu")


def inner_tensors(value: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors that a tensor of another library is made of, such as values and scales of int8, each with a name.

    An ordinary tensor yields itself with an empty name. The outer tensor has no memory of its own, so it has no address.
    """
    flatten = getattr(value, "__tensor_flatten__", None)
    if flatten is None:
        yield "", value
        return
    for name in flatten()[0]:
        for part, inner in inner_tensors(getattr(value, name)):
            yield f".{name}{part}", inner


def values_of(weight: Tensor) -> Tensor:
    """Return the numbers of a weight, of a quantised one those that it stands for, without a graph."""
    made_of_others = getattr(weight, "__tensor_flatten__", None) is not None
    return (weight.dequantize() if made_of_others or weight.is_quantized else weight).detach()


def _strided(value: Tensor) -> Tensor:
    if value.is_quantized:
        return value.dequantize()
    return value if value.layout == torch.strided else value.to_dense()


class WeightWatch:
    """A watch that notices changed, replaced or moved weights of a model without a full read.

    It compares each tensor's address and torch's counter of changes in place. Some changes bypass the counter
    (``parameter.data``, running means). For these it compares a few elements of each tensor on the CPU.

    Args:
        model: the model to watch from now on.
        changed: whether it has changed already. A copy of a watch knows that from the original.
        scales: of its PEFT adapters as they should be. Default: as they are.
    """

    def __init__(self, model: nn.Module, changed: bool = False, scales: Any = None) -> None:
        self.model, self._changed_before = model, changed
        modules = list(model.modules())
        # keep the modules' own tables, because a walk through a small model takes longer than its pass
        self._children = [m._modules for m in modules]
        self._tables = [table for m in modules for table in (m._parameters, m._buffers)]
        self._below = self._parts(self._children)
        self._adapted = [m for m in modules if _is_adapted(m)]
        self._switched = [_switches(m) for m in self._adapted]
        self._scaled = [_scales(m) for m in self._adapted] if scales is None else scales
        self._tensors = self._parts(self._tables)
        self._watched = [t for own in self._tensors if own is not None for _, t in inner_tensors(own)]
        self._seen = [_sign(t) for t in self._watched]
        self._windows = [_window(t) for t in self._watched]
        self._values = self._samples()

    def changed(self) -> bool:
        """Whether anything changed since the start of this watch. It takes under a microsecond a tensor."""
        return (
            self._changed_before
            or _differ(self._parts(self._children), self._below)
            or _differ(self._parts(self._tables), self._tensors)
            or [_sign(t) for t in self._watched] != self._seen
            or self._samples() != self._values
            or [_switches(m) for m in self._adapted] != self._switched
            or self.rescaled()
        )

    def rescaled(self) -> bool:
        """Whether an adapter of PEFT counts more or less than it did. :func:`fingerprint` does not tell that."""
        return [_scales(m) for m in self._adapted] != self._scaled

    @staticmethod
    def _parts(tables: Sequence[Mapping[str, Any]]) -> list[Any]:
        return [part for table in tables for part in table.values()]

    def _samples(self) -> bytes:
        return b"".join(w.tobytes() for w in self._windows if w is not None)

    def __deepcopy__(self, memo: dict[int, Any]) -> WeightWatch:
        memo.update(computed_values(self.model))
        return WeightWatch(copy.deepcopy(self.model, memo), self.changed(), self._scaled)

    def __reduce__(self) -> Any:
        return WeightWatch, (self.model, self.changed(), self._scaled)


def _differ(now: Sequence[Any], before: Sequence[Any]) -> bool:
    return len(now) != len(before) or not all(map(operator.is_, now, before))


def _sign(value: Tensor) -> tuple[int, int]:
    """Return a tensor's address and its number of changes in place, or zeros if unknown."""
    try:
        return value.data_ptr(), value._version
    except (RuntimeError, NotImplementedError):  # made in inference mode, or of a layout without an address
        return (value.data_ptr() if value.layout == torch.strided else 0), 0


def _window(value: Tensor) -> np.ndarray | None:
    """Return a view of a few elements of a tensor on the CPU, or ``None`` if no view exists."""
    if (
        value.device.type != "cpu"
        or value.layout != torch.strided
        or value.is_quantized
        or value.numel() == 0
    ):
        return None
    flat = value.detach().as_strided((value.untyped_storage().nbytes() // value.element_size(),), (1,), 0)
    raw = flat.view(torch.uint8).numpy()
    step = max(1, len(raw) // (WATCHED * value.element_size())) * value.element_size()
    return raw.reshape(-1, value.element_size())[:: step // value.element_size()]
