"""What a call must leave alone in the caller's process, as one comparable record."""

from __future__ import annotations

import logging
import os
import random
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn


def process_state() -> dict[str, Any]:
    """Seeds, flags, environment, filters, log levels and the like, by name."""
    import matplotlib
    from PIL import Image, ImageFile

    return {
        "torch seed": torch.get_rng_state().tolist(),
        "numpy seed": str(np.random.get_state()),  # noqa: NPY002
        "random seed": random.getstate(),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "warning filters": list(warnings.filters),
        "showwarning": warnings.showwarning,
        "threads": torch.get_num_threads(),
        "signals": {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)},
        "matplotlib": {k: str(v) for k, v in matplotlib.rcParams.items()},
        "numpy errors": np.geterr(),
        "PIL": (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES),
        "hooks": threading.excepthook,
        **_torch_flags(),
        **_logging(),
    }


def _torch_flags() -> dict[str, Any]:
    return {
        "grad": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")),
        "default dtype": torch.get_default_dtype(),
        "default device": torch.empty(0).device,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "matmul": torch.get_float32_matmul_precision(),
        "anomaly": torch.is_anomaly_enabled(),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "module hooks": len(nn.modules.module._global_forward_hooks),
    }


def _logging() -> dict[str, Any]:
    names = ("", "sidelight", "transformers", "accelerate", "datasets", "torch", "matplotlib", "PIL")
    loggers = {name: logging.getLogger(name) for name in names}
    from accelerate.state import AcceleratorState, GradientState, PartialState

    return {
        "log levels": {n: (g.level, g.propagate, tuple(g.handlers), g.disabled) for n, g in loggers.items()},
        "logging off": logging.root.manager.disable,
        "accelerate": [sorted(s._shared_state) for s in (AcceleratorState, GradientState, PartialState)],
    }


def model_state(model: nn.Module) -> dict[str, Any]:
    """Flags, hooks, attributes and values of a model, by name."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    parts = model.named_modules()
    return {
        "modules": {
            n: (m.training, sorted(vars(m)), [tuple(getattr(m, h)) for h in hooks], m.forward)
            for n, m in parts
        },
        "gradients": {n: (p.requires_grad, p.grad is None) for n, p in model.named_parameters()},
        "placed": {n: (v.dtype, v.device, v.data_ptr()) for n, v in model.state_dict().items()},
        "values": {n: v.double().sum().item() for n, v in model.state_dict().items()},
        "config": str(getattr(model, "config", None)),
    }


def tokenizer_state(tokenizer: Any) -> dict[str, Any]:
    """What a call may leave set on a tokenizer."""
    backend = tokenizer.backend_tokenizer
    names = ("padding_side", "truncation_side", "model_max_length", "pad_token", "init_kwargs")
    return {
        "backend": (backend.padding, backend.truncation),
        **{n: str(getattr(tokenizer, n)) for n in names},
    }


@contextmanager
def assert_process_unchanged(model: nn.Module | None = None, tokenizer: Any = None) -> Iterator[None]:
    """Fail where the body changes anything of the process, of ``model`` or of ``tokenizer``; errors pass through."""

    def look() -> dict[str, Any]:
        found = process_state()
        found |= {} if model is None else {f"model {k}": v for k, v in model_state(model).items()}
        return found | (
            {} if tokenizer is None else {f"tokenizer {k}": v for k, v in tokenizer_state(tokenizer).items()}
        )

    before = look()
    try:
        yield
    finally:
        after = look()
        changed = {k: (before[k], after[k]) for k in before if before[k] != after[k]}
        assert not changed, f"changed: {sorted(changed)} {str(changed)[:2000]}"
