"""Whether labels fit the classes of a model: a trained model does better than chance on them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sidelight.inputs.base import Batch
from sidelight.targets.base import TargetModel

#: rows that are looked at, and the number below which they say nothing
SOME, FEW = 256, 16
#: another numbering is named if it gets so much more right than the most common class does
BETTER = 0.2


def chance_doubt(logits: Tensor, labels: Tensor, names: Sequence[str] = ()) -> str | None:
    """A sentence if ``logits`` say no more about ``labels`` than the frequencies of the labels do, else ``None``.

    Two things must hold. The mean cross-entropy is at least the entropy of the label frequencies. And no more labels are
    right than if one always said the most common one.

    Args:
        logits: ``[N, K]``.
        labels: ``[N]`` class numbers.
    """
    if len(labels) < FEW:
        return None
    count = logits.shape[-1]
    frequency = torch.bincount(labels, minlength=count).double() / len(labels)
    entropy = float(-(frequency * frequency.clamp(min=1e-12).log()).sum())
    loss = float(torch.nn.functional.cross_entropy(logits.double(), labels))
    right = float((logits.argmax(-1) == labels).double().mean())
    if loss < entropy or right > float(frequency.max()):
        return None
    return (
        f"on {len(labels)} labelled rows the model does no better than chance: it gets {right:.0%} right, and always saying the "
        f"most common class gets {float(frequency.max()):.0%} right (loss {loss:.2f}, by chance {entropy:.2f}). Perhaps the "
        "labels and the model's classes are numbered differently, or the model was not trained for these "
        f"data.{_renumbered(logits, labels, names)} "
        "With label='prediction' no labels are needed."
    )


def _renumbered(logits: Tensor, labels: Tensor, names: Sequence[str]) -> str:
    """A sentence with the numbering that would fit, if one fits much better. Else nothing."""
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError:  # comes with the extra `lab`; without it the doubt alone is told
        return ""
    count = logits.shape[-1]
    met = torch.zeros(count, count, dtype=torch.long)
    met.index_put_((labels, logits.argmax(-1)), torch.ones(len(labels), dtype=torch.long), accumulate=True)
    given, meant = linear_sum_assignment(-met.numpy())
    share = float(met[given, meant].sum()) / len(labels)
    if share < float(torch.bincount(labels).max()) / len(labels) + BETTER:
        return ""
    name = dict(enumerate(names))
    pairs = ", ".join(
        f"{g} is {m}{f' ({name[m]})' if m in name else ''}"
        for g, m in zip(given.tolist(), meant.tolist(), strict=True)
        if g != m and met[g, m] > 0
    )
    return f" {share:.0%} would be right if label {pairs}."


def labelled_logits(target: TargetModel, batches: Sequence[Batch]) -> Tensor:
    """Logits ``[N, K]`` of a clean pass over ``batches``, on the CPU."""
    return torch.cat([target.encode(b.to(target.device).inputs).logits.float().cpu() for b in batches])
