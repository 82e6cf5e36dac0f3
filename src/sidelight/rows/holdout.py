"""The rows that are held out for validation, and the few that stand for many. Both are random by a seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sidelight.errors import InputError
from sidelight.rows.row import scalar

#: The share of rows held out, and the largest share that rare classes may make of it.
SHARE, MOST = 0.1, 0.25


def hold_out(count: int, labels: Sequence[Any] | None, seed: int) -> tuple[list[int], list[int]]:
    """Rows to train with and rows to validate with, both in the order of the data.

    A tenth is drawn at random, from each class in proportion. Each class of two rows or more has some on both sides, as
    long as that holds out no more than :data:`MOST`.

    Args:
        count: of rows.
        labels: one a row, names or numbers. Without them, all rows are of one kind.

    Raises:
        InputError: there are fewer than two rows.
    """
    if count < 2:
        raise InputError("too few rows to hold some out for validation: give validation=... or more rows.")
    wanted = max(1, int(count * SHARE))
    order = np.random.default_rng([seed, count]).permutation(count)
    groups: dict[Any, list[int]] = {}
    for index in order.tolist():
        groups.setdefault(_kind(labels[index]) if labels is not None else None, []).append(index)
    shares = _shares([len(g) for g in groups.values()], wanted, count)
    held = sorted(i for group, size in zip(groups.values(), shares, strict=True) for i in group[:size])
    kept = sorted(i for group, size in zip(groups.values(), shares, strict=True) for i in group[size:])
    return kept, held


def _shares(sizes: Sequence[int], wanted: int, count: int) -> list[int]:
    """The number of rows held out of each group: in proportion, by largest remainder, and at least one if possible."""
    exact = [size * wanted / count for size in sizes]
    shares = [int(e) for e in exact]
    by_remainder = sorted(range(len(sizes)), key=lambda i: exact[i] - shares[i], reverse=True)
    for i in by_remainder[: wanted - sum(shares)]:
        shares[i] += 1
    few = [i for i, size in enumerate(sizes) if shares[i] == 0 and size > 1]
    few = few[: max(0, int(count * MOST) - sum(shares))]
    shares = [s + (i in set(few)) for i, s in enumerate(shares)]
    # a class of one row is for training, unless nothing else could be held out
    lone = [0 if size == 1 else share for size, share in zip(sizes, shares, strict=True)]
    return lone if sum(lone) else shares


def _kind(label: Any) -> Any:
    """``label`` as something that rows can be grouped by."""
    label = scalar(label)
    label = str(label) if isinstance(label, float) else label
    return label if isinstance(label, (str, int)) else None


def spread(count: int, wanted: int, seed: int = 0) -> list[int]:
    """Up to ``wanted`` of ``count`` rows drawn at random by ``seed``, in order: data are often sorted."""
    if count <= wanted:
        return list(range(count))
    return sorted(np.random.default_rng([seed, count]).permutation(count)[:wanted].tolist())
