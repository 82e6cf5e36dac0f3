"""The search for logits in a model's output: a tensor, a mapping, a tuple, or an object with fields."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from sidelight.core.counted import counted
from sidelight.errors import ConfigError, UnsupportedTargetError

#: usual names of a model's decision, besides "logits"
NAMES = frozenset(
    [
        "logit",
        "scores",
        "output",
        "outputs",
        "out",
        "y",
        "y_hat",
        "pred",
        "preds",
        "prediction",
        "predictions",
        "probs",
        "probabilities",
    ]
)
#: name parts of outputs that are no decision
NO_DECISION = ("feat", "embed", "hidden", "pool", "aux", "loss", "state", "attention")


def is_hugging_face(model: Any) -> bool:
    """Whether ``model`` has a Hugging Face configuration."""
    return hasattr(getattr(model, "config", None), "to_dict")


def named_outputs(model: nn.Module) -> dict[str, Any]:
    """Return arguments that make ``model`` name its outputs if its configuration requests a bare tuple."""
    if getattr(getattr(model, "config", None), "return_dict", True) is not False:
        return {}
    parameters = inspect.signature(model.forward).parameters.values()
    takes = any(p.name == "return_dict" or p.kind is p.VAR_KEYWORD for p in parameters)
    return {"return_dict": True} if takes else {}


def hidden_states(out: Any) -> Any:
    """Return the hidden states among a model's named outputs, or ``None``."""
    name = "hidden_states"
    return out.get(name) if isinstance(out, Mapping) else getattr(out, name, None)


def find_logits(out: Any, model: nn.Module, rows: int, classes: int = 0, loader: str = "") -> Tensor:
    """Find the tensor of a model's decision among its outputs.

    A value named ``logits`` comes first. A Hugging Face model must have one, or return it as the first of a
    tuple. A plain module must have only one value with a usual name (``output``, ``scores``, ...), or only one
    floating-point tensor ``[B, K]``.

    Args:
        out: the model's output.
        classes: K, or 0 if unknown.
        loader: the ``AutoModel...`` class that loads classifiers of this kind, for messages.

    Raises:
        UnsupportedTargetError: no tensor fits, or more than one does.
    """
    if isinstance(out, Tensor):
        return out
    own, named = getattr(out, "logits", None), _named(out)
    chosen = own if isinstance(own, Tensor) else _by_name(named)
    if chosen is None and is_hugging_face(model):
        first = named.get("0")
        chosen = first if isinstance(first, Tensor) else None
    elif chosen is None:
        chosen = _by_shape(named, rows, classes)
    if chosen is None:
        raise UnsupportedTargetError(
            f"{type(model).__name__} returned {described(out)}: without logits, or it is not clear which they are. "
            + _advice(model, loader)
        )
    return chosen


def described(out: Any) -> str:
    """Describe a model's output in words: types, names and shapes."""
    if isinstance(out, Tensor):
        return f"a tensor of shape {tuple(out.shape)} ({str(out.dtype).removeprefix('torch.')})"
    named = _named(out)
    if not named:
        return f"{'an empty ' if _is_container(out) else ''}{type(out).__name__}"
    parts = ", ".join(f"{name}: {_short(value)}" for name, value in list(named.items())[:8])
    return f"{type(out).__name__} with {parts}"


def _short(value: Any) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__


def _is_container(out: Any) -> bool:
    return isinstance(out, (Mapping, tuple, list))


def _named(out: Any) -> dict[str, Any]:
    """Return the values of ``out`` by name, or by number if it is a plain tuple or list."""
    if isinstance(out, Mapping):
        return {str(k): v for k, v in out.items()}
    if hasattr(out, "_asdict"):  # a named tuple
        return dict(out._asdict())
    if isinstance(out, (tuple, list)):
        return {str(i): v for i, v in enumerate(out)}
    if dataclasses.is_dataclass(out):
        return {f.name: getattr(out, f.name, None) for f in dataclasses.fields(out)}
    return dict(vars(out)) if hasattr(out, "__dict__") else {}


def _by_name(named: Mapping[str, Any]) -> Tensor | None:
    if isinstance(named.get("logits"), Tensor):
        return named["logits"]
    return _only(v for k, v in named.items() if k.lower() in NAMES)


def _by_shape(named: Mapping[str, Any], rows: int, classes: int) -> Tensor | None:
    usable = {
        k: v
        for k, v in named.items()
        if isinstance(v, Tensor) and not any(part in k.lower() for part in NO_DECISION)
    }
    decisions = [v for v in usable.values() if v.is_floating_point() and v.ndim == 2 and v.shape[0] == rows]
    fitting = [v for v in decisions if v.shape[1] == classes] if classes else decisions
    return _only(fitting) if decisions else _only(usable.values())


def _only(values: Iterable[Any]) -> Tensor | None:
    tensors = [v for v in values if isinstance(v, Tensor)]
    return tensors[0] if len(tensors) == 1 else None


def require_names(names: Sequence[str], count: int) -> None:
    """Raise :class:`ConfigError` if ``names`` of classes are given, and not one for each of ``count`` classes."""
    if names and len(names) != count:
        raise ConfigError(
            f"class_names holds {counted(len(names), 'name')}, but the model tells {count} classes apart: give one for each, "
            "in the order of its outputs."
        )


def _advice(model: nn.Module, loader: str) -> str:
    if is_hugging_face(model):
        return "sidelight explains classifiers" + (f" (load it with {loader})." if loader else ".")
    return (
        "A plain module should return its logits [B, K] alone, under the name 'logits', or as the only tensor of "
        "that shape. Put a small module around it that does: def forward(self, x): return self.model(x)[...]."
    )
