"""The state of the caller's process, which a call must leave as it was: random numbers, modes, flags of libraries.

State that torch, numpy and accelerate keep for the whole process is put back when a call ends, also after an error.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from sidelight.core.freed_memory import freed_memory_kept
from sidelight.core.quiet import one_speaks, told_once

#: Variables of the environment that the Trainer sets if it is told to be deterministic (``full_determinism``).
_DETERMINISTIC = (
    "CUDA_LAUNCH_BLOCKING",
    "CUBLAS_WORKSPACE_CONFIG",
    "ASCEND_LAUNCH_BLOCKING",
    "HCCL_DETERMINISTIC",
    "FLASH_ATTENTION_DETERMINISTIC",
)
#: Random numbers belong to the process. So trainings of two threads take turns, and each has the result it has alone.
_training = threading.RLock()


@contextmanager
def kept_random_state() -> Iterator[None]:
    """After the context, the generators of random, numpy and torch go on as if nothing had been drawn inside."""
    state = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    on_gpu = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    try:
        yield
    finally:
        random.setstate(state[0])
        np.random.set_state(state[1])  # noqa: NPY002
        torch.set_rng_state(state[2])
        if on_gpu:
            torch.cuda.set_rng_state_all(on_gpu)


@contextmanager
def plain_passes() -> Iterator[None]:
    """Within the context, the caller's autocast and default device have no effect.

    An explanation is of the model as it is: in half precision if its weights are, else in float32.
    """
    with ExitStack() as inside:
        for kind in ("cpu", *_accelerators()):
            if torch.is_autocast_enabled(kind):
                inside.enter_context(torch.autocast(kind, enabled=False))
        # not torch.get_default_device(), which up to 2.8 at least fails after set_default_device(None)
        if torch.empty(0).device.type != "cpu":
            inside.enter_context(torch.device("cpu"))  # tensors are made here and moved to the model
        yield


@contextmanager
def training_surroundings() -> Iterator[None]:
    """Within the context, a training has gradients, float32 and random numbers of its own, and tells a warning once.

    Works within ``no_grad``, ``inference_mode`` and autocast. Trainings of several threads take turns. Of several processes of
    one launcher the first one logs. Memory that a step frees is kept for the next one.
    """
    kept = (kept_random_state(), _kept_flags(), _kept_determinism())
    state = (*kept, plain_passes(), told_once(set()), one_speaks(), freed_memory_kept())
    with ExitStack() as inside:
        for part in (_training, *state):
            inside.enter_context(part)
        inside.enter_context(torch.inference_mode(False))  # before the gradient mode, which it brings back
        inside.enter_context(torch.enable_grad())
        yield


def _accelerators() -> tuple[str, ...]:
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return () if found is None else (found.type,)


@contextmanager
def _kept_flags() -> Iterator[None]:
    """Default dtype, TF32, log level of transformers, and what accelerate remembers of a single process."""
    from transformers.utils import logging

    dtype, level = torch.get_default_dtype(), logging.get_verbosity()
    tf32 = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    remembered = _accelerate_states()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        if logging.get_verbosity() != level:
            logging.set_verbosity(level)
        if (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) != tf32:
            torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = tf32
        _restore_accelerate(remembered)


@contextmanager
def _kept_determinism() -> Iterator[None]:
    """Whether torch computes deterministically. A caller whose own operations have no such way would get errors."""
    cudnn = torch.backends.cudnn
    state = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    flags = cudnn.deterministic, cudnn.benchmark
    variables = {name: os.environ.get(name) for name in _DETERMINISTIC}
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(state[0], warn_only=state[1])
        if (cudnn.deterministic, cudnn.benchmark) != flags:
            cudnn.deterministic, cudnn.benchmark = flags
        for name, value in variables.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _accelerate_states() -> list[tuple[dict[str, Any], Mapping[str, Any]]]:
    from accelerate.state import AcceleratorState, GradientState, PartialState

    kept = [s._shared_state for s in (PartialState, AcceleratorState, GradientState)]
    return [(live, dict(live)) for live in kept]


def _restore_accelerate(remembered: list[tuple[dict[str, Any], Mapping[str, Any]]]) -> None:
    # accelerate refuses a caller's own Accelerator(mixed_precision=...) if it remembers another setting. A process
    # group stays, because the processes go on together.
    if remembered[0][0].get("num_processes", 1) > 1:
        return
    for live, before in remembered:
        live.clear()
        live.update(before)


@contextmanager
def kept_place(model: nn.Module) -> Iterator[None]:
    """Bring ``model`` back to the one device that it was on, if it is moved inside."""
    places = {p.device for p in model.parameters()}
    try:
        yield
    finally:
        if len(places) == 1 and {p.device for p in model.parameters()} != places:
            model.to(places.pop())


def _in_child() -> None:
    # a training of a thread that the child does not have would never end
    global _training
    _training = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
