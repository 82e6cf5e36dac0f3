"""Which weights a model has: a hash of all of them, and a watch that notices cheaply when they change."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

#: elements of each tensor that a watch looks at
WATCHED = 4


def fingerprint(model: nn.Module) -> str:
    """BLAKE2 hash over names, shapes, types and bytes of a model's state.

    Quantised and sparse tensors count by their values. What is no tensor counts by its parts.
    """
    return hash_of(model.state_dict())


def hash_of(state: Mapping[str, Any]) -> str:
    """BLAKE2 hash of named values, in the order of their names: 32 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=16)
    for name, value in sorted(state.items()):
        for part, tensor in _tensors(name, value):
            plain = _strided(tensor).detach().cpu().contiguous()
            digest.update(f"{part}|{tuple(plain.shape)}|{plain.dtype}".encode())
            digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _tensors(name: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, (tuple, list)):
        for i, part in enumerate(value):
            yield from _tensors(f"{name}.{i}", part)
    else:  # settings beside the weights, such as the type of quantised layers
        yield f"{name}={value}", torch.zeros(0, device="cpu")


def _strided(value: Tensor) -> Tensor:
    if value.is_quantized:
        return value.dequantize()
    return value if value.layout == torch.strided else value.to_dense()


class WeightWatch:
    """Notices that the weights of a model were changed, replaced or moved, without reading them all.

    Every tensor tells its place in memory and how often torch changed it in place. Changes that pass torch by
    (``parameter.data``, running means) are looked for in a few elements of each tensor on the CPU.

    Args:
        model: watched from now on.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.settle()

    def settle(self) -> None:
        """Take the weights as they are now for unchanged."""
        self._tensors = [*self.model.parameters(), *self.model.buffers()]
        self._seen = self._signs()
        self._windows = [_window(t) for t in self._tensors]
        self._values = self._samples()

    def changed(self) -> bool:
        """Whether anything changed since :meth:`settle`; a few microseconds a layer."""
        if self._signs() != self._seen:
            return True
        return self._samples() != self._values

    def _signs(self) -> list[tuple[int, int]]:
        values = [*self.model.parameters(), *self.model.buffers()]
        return [(t.data_ptr() if t.layout == torch.strided else id(t), _version(t)) for t in values]

    def _samples(self) -> bytes:
        return b"".join(w.tobytes() for w in self._windows if w is not None)

    def __deepcopy__(self, memo: dict[int, Any]) -> WeightWatch:
        import copy

        return WeightWatch(copy.deepcopy(self.model, memo))

    def __reduce__(self) -> Any:
        return WeightWatch, (self.model,)


def _version(value: Tensor) -> int:
    return 0 if value.is_inference() else value._version


def _window(value: Tensor) -> np.ndarray | None:
    """A view of a few elements of a tensor on the CPU; ``None`` where there is none."""
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
