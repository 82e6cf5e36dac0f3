"""Chance that depends on seeds and salts alone: the same on every device, in every batch and in every process.

Two recipes are in use, and results depend on both. :func:`drawing` is cheap and serves one draw of a sample's own seed.
:func:`sample_seed` and :func:`stream` mix neighbouring numbers well, which adding them would not.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

_seeding = threading.RLock()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's own random state with this seed inside, and as it was afterwards.

    All threads share that state, so one thread at a time is inside.
    """
    with _seeding, torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def _in_child() -> None:
    # a thread that the child does not have would never give it back
    global _seeding
    _seeding = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


def drawing(seed: int, salt: int) -> torch.Generator:
    """A generator for one draw.

    Args:
        salt: of the draw: each purpose has its own.
    """
    # on the CPU, whose generators give the same draw for every device
    return torch.Generator().manual_seed((int(seed) * 1_000_003 + salt) % 2**63)


def sample_seed(seed: int, sample: int, *salt: int) -> int:
    """A seed of 62 bits that depends on the run's seed, the sample's id and the salts, and on nothing else."""
    return _mixed(seed, sample, *salt) >> 2


def stream(seed: int, sample: int, salt: int = 0) -> torch.Generator:
    """A generator for one sample; see :func:`sample_seed`."""
    return torch.Generator().manual_seed(_mixed(seed, sample, salt) >> 1)


def _mixed(*words: int) -> int:
    """64 bits of all ``words``, which are taken as unsigned."""
    state = np.random.SeedSequence([int(w) % 2**64 for w in words]).generate_state(1, np.uint64)
    return int(state[0])
