"""Chance that depends on seeds and salts alone: the same on every device, in every batch and in every process.

Two recipes are in use, and results depend on both. :func:`drawing` is cheap and serves one draw of a sample's own seed.
:func:`sample_seed` and :func:`stream` mix neighbouring numbers well, which adding them would not.
"""

from __future__ import annotations

import numpy as np
import torch


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
