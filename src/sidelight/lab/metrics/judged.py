"""What does a judge make of a map that has never seen one? Metrics of a fine-tuned copy of the target.

Curves of deletion and insertion show the target inputs that it has never seen, and a scorer may be trained on these
very curves. Both metrics here answer to that: the judge is trained with random parts removed, and no scorer is trained
with the judge (:mod:`sidelight.lab.metrics.judging`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from sidelight.lab.metrics.arguments import on_tensors
from sidelight.lab.metrics.base import define
from sidelight.lab.metrics.similarity import spearman


@on_tensors("B", "BS")
def fidelity_plus(p: Tensor, without_top: Tensor) -> Tensor:
    """``p − E p(random features of the top part removed)``, mean over the sizes of the part.

    Source: F-Fidelity+ (Zheng et al., ICLR 2025, arXiv 2410.02970), by probability. Of a part of size ``s`` the share
    ``min(α, β / s)`` is removed, so never more than the share β that the judge was trained with. The paper's code
    removes each feature by chance. Here the number is fixed, so that β is never exceeded.

    Args:
        p: ``[B]`` the judge's probability of the target's class.
        without_top: ``[B, S]`` the same, mean over random removals, for each size.

    Returns:
        ``[B]`` in [−1, 1], higher is better.

    Raises:
        InputTypeError: an argument is no tensor, array or list of real numbers.
        InputError: the shapes do not fit each other.

    Example:
        >>> fidelity_plus([0.75], [[0.25, 0.5]])  # 0.75 − 0.375
        tensor([0.3750])
    """
    return p - without_top.mean(1)


@on_tensors("B", "BS")
def fidelity_minus(p: Tensor, without_rest: Tensor) -> Tensor:
    """``p − E p(random features outside the top part removed)``, mean over the sizes of the part.

    Source: F-Fidelity− (Zheng et al., ICLR 2025). See :func:`fidelity_plus`.

    Args:
        p: ``[B]`` the judge's probability of the target's class.
        without_rest: ``[B, S]`` the same, mean over random removals from the rest, for each size of the top part.

    Returns:
        ``[B]`` in [−1, 1], lower is better.

    Raises:
        InputError, InputTypeError: as :func:`fidelity_plus`.

    Example:
        >>> fidelity_minus([0.75], [[0.75, 0.5]])  # 0.75 − 0.625
        tensor([0.1250])
    """
    return p - without_rest.mean(1)


@on_tensors("BU", "BU", "BU")
def single_deletion(worth: Tensor, drops: Tensor, measured: Tensor) -> Tensor:
    """Rank correlation of units' attributions and the fall of the judge's logit if one unit alone is removed.

    Source: in-domain single deletion score (Hesse, Schaub-Meyer & Roth, NeurIPS 2024, arXiv 2407.11910). There the
    units are the cells of a 4 × 4 grid, and the fine-tuned model itself is explained. Here the target is explained and
    the fine-tuned copy judges.

    Args:
        worth: ``[B, U]`` sum of each unit's attributions.
        drops: ``[B, U]`` clean logit minus that without the unit.
        measured: ``[B, U]`` true for units that count.

    Returns:
        ``[B]`` Spearman correlation in [−1, 1], float64 on the CPU, higher is better. NaN if fewer than two units are
        measured, or if all attributions or all drops are equal: then there is no order.

    Raises:
        InputTypeError: an argument is no tensor, array or list of real numbers.
        InputError: shapes do not fit each other, or a flag is neither 0 nor 1.

    Example:
        >>> single_deletion([[1, 2, 3]], [[0.1, 0.4, 0.2]], [[1, 1, 1]])  # 1 − 6 · (0 + 1 + 1) / (3 · 8)
        tensor([0.5000], dtype=torch.float64)
    """
    some = measured.any(1, keepdim=True)  # the others get NaN below
    found = spearman(worth, drops, measured | ~some)
    for values in (worth, drops):
        low = values.masked_fill(~measured, torch.inf).amin(1)
        high = values.masked_fill(~measured, -torch.inf).amax(1)
        found = found.masked_fill((low >= high).cpu(), torch.nan)
    return found


define(
    "fidelity_plus",
    "higher",
    "confidence a judge loses when random top features go, mean over sizes (F-Fidelity)",
    lambda e: fidelity_plus(e.judge, e.without_top),
    "parts",
)
define(
    "fidelity_minus",
    "lower",
    "confidence a judge loses when random other features go, mean over sizes (F-Fidelity)",
    lambda e: fidelity_minus(e.judge, e.without_rest),
    "parts",
)
define(
    "single_deletion",
    "higher",
    "rank correlation of a unit's attribution and the judge's loss without it (IDSDS)",
    lambda e: single_deletion(e.worth, e.drops, e.measured),
    "singles",
)
define(
    "single_deletion_rank",
    "higher",
    "the same for the mean of what ranks the unit's features, which need not add up",
    lambda e: single_deletion(e.rank, e.drops, e.measured),
    "singles",
)
