"""Removal of wrappers around a model.

``torch.compile``, ``DataParallel`` and PEFT wrap a model in another module. Its forward takes ``*args`` and
``**kwargs``, its weights have other names, and it may bypass hooks on the parts. sidelight works on the model
inside. A PEFT adapter inside the layers (LoRA and similar) stays part of the model.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from sidelight.errors import UnsupportedTargetError
from sidelight.targets.outputs import is_hugging_face

#: wrappers that spread the weights over processes, so that no process holds the whole model
_SHARDED = ("FullyShardedDataParallel", "FSDPModule", "DeepSpeedEngine", "PipelineModule")


def plain_model(model: nn.Module) -> nn.Module:
    """Return ``model`` without its wrappers.

    Args:
        model: a classifier, perhaps compiled, in ``DataParallel`` or ``DistributedDataParallel``, or with a PEFT
            adapter.

    Returns:
        The module inside. It shares all weights with ``model``.

    Raises:
        UnsupportedTargetError: ``model`` is no module, the layers are hidden (TorchScript), the weights are sparse, missing (meta tensors) or
            spread over processes, or the model changes its input before its layers (prompt tuning).
    """
    require_module(model)
    while True:
        inside = _inside(model)
        if inside is model:
            break
        model = inside
    _require_usable(model)
    return model


def require_module(model: Any, advice: str = "") -> None:
    """Raise :class:`UnsupportedTargetError` if ``model`` is no torch module.

    Args:
        advice: the end of the message if ``model`` holds no module that could be given in its place.
    """
    if not isinstance(model, nn.Module):
        raise UnsupportedTargetError(
            f"a target must be a torch module, e.g. AutoModelForImageClassification; got {type(model).__name__}."
            f"{held(model) or advice}"
        )


def _inside(model: nn.Module) -> nn.Module:
    kind, kinds = type(model), {k.__name__ for k in type(model).__mro__}
    found: Any = model
    if "OptimizedModule" in kinds:
        found = model._orig_mod
    elif isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        found = model.module
    elif any(k.__module__.split(".")[0] == "peft" and k.__name__ == "PeftModel" for k in kind.__mro__):
        found = _without_peft(model)
    elif "AveragedModel" in kinds:  # weight averaging keeps a copy of the model inside
        found = model.module
    return found if isinstance(found, nn.Module) else model


def _without_peft(model: Any) -> nn.Module:
    prompts = [name for name, config in model.peft_config.items() if config.is_prompt_learning]
    if prompts:
        raise UnsupportedTargetError(
            f"the PEFT adapter {prompts[0]!r} learns a prompt, which is put before the words where no mask reaches "
            "it. Adapters inside the layers work (LoRA, IA3, ...)."
        )
    inside: nn.Module = model.get_base_model()
    return inside


def _require_usable(model: nn.Module) -> None:
    if isinstance(model, torch.jit.ScriptModule):
        raise UnsupportedTargetError(
            "the model is a TorchScript module, whose layers cannot be read or masked. Give the plain nn.Module that "
            "it was scripted or traced from."
        )
    names = {k.__name__ for k in type(model).__mro__}
    sharded = next((name for name in _SHARDED if name in names), None)
    if sharded is not None:
        raise UnsupportedTargetError(
            f"the weights of a {sharded} are spread over several processes. Give the whole model on one device."
        )
    values = [*model.named_parameters(), *model.named_buffers()]
    unmade = next((name for name, value in values if is_lazy(value)), None)
    if unmade is not None:
        raise UnsupportedTargetError(
            f"the model has no weights yet: {unmade!r} belongs to a lazy layer, which makes them in its first pass. Call "
            "the model once with a batch, and load or train its weights."
        )
    sparse = next((name for name, value in values if value.layout != torch.strided), None)
    if sparse is not None:
        raise UnsupportedTargetError(
            f"{sparse!r} is a sparse tensor, which neither gradients nor masks pass reliably. Give the model with "
            "dense weights (tensor.to_dense())."
        )
    require_weights(model)


def require_weights(model: nn.Module) -> None:
    """Raise :class:`UnsupportedTargetError` if a weight of ``model`` is on the meta device."""
    values = (*model.named_parameters(), *model.named_buffers())
    hollow = next((name for name, value in values if value.is_meta), None)
    if hollow is not None and any(hasattr(m, "_hf_hook") for m in model.modules()):
        raise UnsupportedTargetError(
            f"the weights of {hollow!r} are kept elsewhere and fetched for each pass (offloaded by accelerate), so they "
            "cannot be told from others. Load the whole model on one device, without device_map or cpu_offload."
        )
    if hollow is not None:
        raise UnsupportedTargetError(
            f"the model has no weights: {hollow!r} is on the meta device. Load them first, e.g. with "
            "from_pretrained(...) and without device_map='meta'."
        )


def held(holder: Any) -> str:
    """Return a clause that says where the model of a pipeline, trainer or module around one is, or an empty string."""
    place = _place_of_model(holder)
    if not place:
        return ""
    kept = (
        n
        for n in ("processor", "image_processor", "tokenizer", "processing_class")
        if getattr(holder, n, None)
    )
    processor = next(kept, None)
    beside = f", and processor=it.{processor}" if processor else ""
    return f" It holds one: give it{place}{beside}."


def _place_of_model(holder: Any) -> str:
    """Where the one whole model inside ``holder`` is, e.g. ``".model"`` or ``"[0].net"``, or an empty string."""
    if isinstance(holder, nn.Module):
        weights = _weights(holder)
        whole = (n for n, m in holder.named_modules() if n and _has_head(m) and _weights(m) == weights)
        return "".join(f".{n}" if n.isidentifier() else f"[{n}]" for n in next(whole, "").split(".") if n)
    for name in ("model", "module_"):  # the second is skorch's
        if isinstance(getattr(holder, name, None), nn.Module):
            return f".{name}"
    found = {id(m): n for n, m in getattr(holder, "__dict__", {}).items() if _has_head(m)}
    return f".{next(iter(found.values()))}" if len(found) == 1 else ""


def _weights(model: nn.Module) -> set[int]:
    return {id(p) for p in model.parameters()}


def _has_head(model: Any) -> bool:
    """Whether ``model`` is one of Hugging Face that is more than a base without a head.

    A module around a model may show its configuration as its own, as those of sentence-transformers do, but has no base.
    """
    base = getattr(model, "base_model", None)
    return is_hugging_face(model) and base is not None and base is not model


def float_type(model: nn.Module) -> torch.dtype:
    """Return the floating-point type of ``model``: that of the first such parameter, else float32."""
    values = (*model.parameters(), *model.buffers())
    return next((v.dtype for v in values if v.is_floating_point()), torch.float32)


def pixel_type(model: nn.Module) -> torch.dtype:
    """Return the type of pixels for ``model``: that of its first convolution, else of its first linear layer.

    The first parameter may be of another type: the class token of OpenAI's CLIP stays in float32, its convolution does not.
    """
    for kinds in ((nn.Conv1d, nn.Conv2d, nn.Conv3d), (nn.Linear,)):
        layers = (m for m in model.modules() if isinstance(m, kinds))
        # a parametrised weight is computed at each look, so only plain ones are looked at
        weights = (dict(m.named_parameters(recurse=False)).get("weight") for m in layers)
        found = next((w.dtype for w in weights if w is not None and w.is_floating_point()), None)
        if found is not None:
            return found
    return float_type(model)


def precision_of(model: nn.Module) -> str:
    """Return the name of the type of ``model``'s weights, e.g. ``"float32"``."""
    return str(float_type(model)).removeprefix("torch.")


def arguments_of(model: nn.Module, given: str) -> set[str] | None:
    """Return the names of the arguments of ``model.forward``, or ``None`` if it passes all of them on.

    Args:
        given: an argument of every call. If a forward does not name it, ``**kwargs`` passes it on.
    """
    parameters = inspect.signature(model.forward).parameters
    passes_on = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    return None if passes_on and given not in parameters else set(parameters)


@contextmanager
def uncompiled(model: nn.Module) -> Iterator[None]:
    """Run the parts of ``model`` that ``torch.compile`` compiled as plain code inside the context.

    A compiled part may bypass later hooks on its modules, and masks and states need such hooks.
    """
    changed: list[tuple[dict[str, Any], str, Any]] = []
    for module in list(model.modules()):
        own, forward = vars(module), module.forward
        plain = getattr(forward, "_torchdynamo_orig_callable", None)
        if plain is not None:
            changed.append((own, "forward", own.get("forward")))
            own["forward"] = MethodType(plain, module) if isinstance(forward, MethodType) else plain
        if own.get("_compiled_call_impl") is not None:
            changed.append((own, "_compiled_call_impl", own["_compiled_call_impl"]))
            own["_compiled_call_impl"] = None
    try:
        yield
    finally:
        for own, name, before in reversed(changed):
            if before is None:
                del own[name]
            else:
                own[name] = before
