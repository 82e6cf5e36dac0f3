"""Batches of rows of like length, which need little padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import Sampler

from sidelight.core.seeds import drawing
from sidelight.inputs.collate import Collator
from sidelight.inputs.samples import sample_length
from sidelight.targets.base import TargetModel

#: So many batches' worth of rows are drawn at random before they are sorted.
POOL = 50
#: Rows that are read at once.
CHUNK = 1000


def row_lengths(target: TargetModel, rows: Any, collate: Collator | None = None) -> list[int] | None:
    """The approximate length of each row's input: characters of texts, values of arrays and tensors. ``None`` if all
    inputs of ``target`` are alike.

    Rows that hold a model's own inputs are alike already.
    """
    if not target.varying_length or len(rows) == 0:
        return None
    collate = Collator(target) if collate is None else collate
    fetch = getattr(
        rows, "__getitems__", lambda indices: [rows[i] for i in indices]
    )  # many at once are read faster
    found = [
        row
        for start in range(0, len(rows), CHUNK)
        for row in fetch(range(start, min(start + CHUNK, len(rows))))
    ]
    samples = collate.raw(found)
    if samples is None:
        return None
    return [sample_length(sample) for sample in samples]


class LengthSampler(Sampler[int]):
    """A shuffle in which neighbours are of like length.

    Rows are shuffled, cut into pools of :data:`POOL` batches, and sorted by length inside each pool.
    The order depends on seed and epoch alone, so a training that continues has the same one.

    Args:
        lengths: of the rows.
        batch_size: rows of one step.
        seed: of the shuffle.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int = 0) -> None:
        self.lengths = torch.tensor(list(lengths))
        self.pool, self.batch_size = POOL * batch_size, batch_size
        self.seed, self.epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Each epoch has an order of its own. The data loader calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        generator = drawing(self.seed, self.epoch)
        order = torch.randperm(len(self.lengths), generator=generator)
        pools = [pool[self.lengths[pool].argsort(stable=True)] for pool in order.split(self.pool)]
        batches = [batch for pool in pools for batch in pool.split(self.batch_size)]
        # a short batch stays last, so that the loader cuts at the same places
        whole = [b for b in batches if len(b) == self.batch_size]
        rest = [b for b in batches if len(b) < self.batch_size]
        shuffled = [whole[i] for i in torch.randperm(len(whole), generator=generator).tolist()]
        yield from torch.cat([*shuffled, *rest]).tolist()
