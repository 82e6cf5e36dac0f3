"""Chance that depends on seeds and salts alone: the same on every device, in every batch and in every process.

Two recipes are in use, and results depend on both. :func:`drawing` is cheap and serves one draw of a sample's own seed.
:func:`sample_seed` and :func:`stream` mix neighbouring numbers well, which adding them would not.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from sidelight.core.field_checks import plain_number, whole
from sidelight.errors import InputError

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


def one_each(ids: Any, samples: int, argument: str = "ids") -> tuple[int, ...]:
    """``ids``, from which draws are seeded, as whole numbers of Python: one for each of so many ``samples``.

    A number that is not whole would be cut, so that samples with different ids got the same draw.

    Raises:
        InputError: they are of another kind or number.

    Example:
        >>> one_each([7, 8], 2)
        (7, 8)
    """
    listed = plain_number(ids)
    in_order = isinstance(listed, Iterable) and not isinstance(listed, (str, bytes, Iterator, Mapping, Set))
    found = [whole(own, -(2**63), 2**64 - 1) for own in listed] if in_order else [None]
    if None in found:
        raise InputError(f"{argument} must be a list of whole numbers, one for each sample; got {ids!r:.60}.")
    if len(found) != samples:
        raise InputError(
            f"{argument} must hold one number for each sample: got {len(found)} for {samples} samples."
        )
    return tuple(own for own in found if own is not None)


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
