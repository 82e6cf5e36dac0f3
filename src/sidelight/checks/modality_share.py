"""Which modality decides? This is measured by exchanging it, because the size of a map does not show it.

In place of a modality, the sample gets that of other samples. The model knows such inputs, but it knows neither grey
pictures nor empty texts. Each subset of the modalities is kept once. From the lost confidence follow the Shapley values
of the modalities (Shapley 1953). Their sum is the confidence that is lost if all modalities are exchanged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import factorial
from typing import Any

import torch
from torch import Tensor

from sidelight.core.finite import require_finite_logits
from sidelight.core.seeds import one_each, stream
from sidelight.core.tensors import predictable, probabilities
from sidelight.core.types import Inputs
from sidelight.errors import ConfigError, InputError
from sidelight.targets.base import TargetModel

#: a modality counts as needed if its loss costs at least so much confidence on average
NEEDED = 0.1
#: salt of the draw of other samples
_OTHERS = 37


@dataclass(frozen=True)
class ModalityShare:
    """What each modality of one sample is worth to the decision.

    Attributes:
        confidence: probability of the predicted class, in [0, 1].
        drops: confidence that is lost if one modality alone is exchanged, by name. ``"all"``: if all are.
        values: Shapley values, by name. They sum to ``drops["all"]``.
        draws: number of other samples over which the numbers are means.
    """

    confidence: float
    drops: Mapping[str, float]
    values: Mapping[str, float]
    draws: int

    @property
    def shares(self) -> dict[str, float] | None:
        """The positive Shapley values as parts of 1. ``None`` if no modality speaks for the class."""
        positive = {name: max(0.0, value) for name, value in self.values.items()}
        total = sum(positive.values())
        return {name: value / total for name, value in positive.items()} if total > 1e-6 else None

    @property
    def needed(self) -> tuple[str, ...]:
        """The modalities whose loss alone costs :data:`NEEDED` or more, in the target's order."""
        return tuple(name for name in self.values if self.drops[name] >= NEEDED)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, rounded to 6 digits."""
        shares = self.shares
        return {
            "confidence": round(self.confidence, 6),
            "drops": {k: round(v, 6) for k, v in self.drops.items()},
            "values": {k: round(v, 6) for k, v in self.values.items()},
            "shares": None if shares is None else {k: round(v, 6) for k, v in shares.items()},
            "needed": list(self.needed),
            "draws": self.draws,
        }


@torch.no_grad()
def modality_shares(
    target: TargetModel,
    inputs: Inputs,
    others: Inputs,
    draws: int = 16,
    seed: int = 0,
    clean: Tensor | None = None,
    ids: Sequence[int] | None = None,
) -> list[ModalityShare]:
    """Measure what each modality of each sample is worth.

    Costs ``draws · (2^M − 1)`` passes for M modalities, and the clean pass.

    Args:
        target: of several modalities. Exchanges them with :meth:`TargetModel.exchange`.
        inputs: ``B`` samples as the model takes them.
        others: samples to take modalities from, e.g. of the training split. The same sample lends all
            modalities that are exchanged together.
        draws: how many of them, drawn without replacement. All of them if there are fewer.
        clean: ``[B, K]`` probabilities of ``inputs``, if their clean pass was made already.
        ids: one integer per sample. With ``seed`` it decides which others the sample gets. Default: all samples get the
            same others. Either way a sample's numbers do not depend on its batch.

    Raises:
        ConfigError: the target has one modality, or ``draws`` is below 1.
        InputError: ``others`` is empty, or ids do not fit the batch.
    """
    names = tuple(target.modalities)
    if len(names) < 2:
        raise ConfigError(f"{target.name} reads {', '.join(names)} only: there is nothing to share out.")
    if draws < 1:
        raise ConfigError(f"draws must be at least 1; got {draws}.")
    inputs, others = target.to_device(inputs), target.to_device(others)
    available = len(next(iter(others.values()))) if others else 0
    if not available:
        raise InputError("there are no other samples to take modalities from: give at least one.")
    whole = target.encode(inputs).probabilities if clean is None else clean
    sure, classes = predictable(whole, target.independent).max(-1)
    size, draws = len(sure), min(draws, available)
    picks = _picks(available, draws, seed, size, ids)
    worth: dict[frozenset[str], Tensor] = {frozenset(names): sure.double().cpu()}
    for kept in _subsets(names)[:-1]:
        gone = [n for n in names if n not in kept]
        total = torch.zeros(size, dtype=torch.double)
        for draw in picks.T:
            lent = {k: v[draw.to(v.device)] for k, v in others.items()}
            mixed = target.exchange(inputs, lent, gone)
            logits = target.forward(mixed, target.features(mixed))
            require_finite_logits(logits, f"with another sample's {', '.join(gone)}")
            p = probabilities(logits, target.independent)
            total += p.gather(1, classes[:, None]).squeeze(1).double().cpu()
        worth[kept] = total / draws
    return [_share(names, {k: float(v[i]) for k, v in worth.items()}, draws) for i in range(size)]


def _picks(available: int, draws: int, seed: int, size: int, ids: Sequence[int] | None) -> Tensor:
    """``[size, draws]`` which of the ``available`` others each sample gets."""
    if ids is None:
        same = torch.randperm(available, generator=torch.Generator().manual_seed(seed))
        return same[:draws].expand(size, draws)
    each = [torch.randperm(available, generator=stream(seed, i, _OTHERS)) for i in one_each(ids, size)]
    return torch.stack([found[:draws] for found in each])


def _subsets(names: tuple[str, ...]) -> list[frozenset[str]]:
    return [frozenset(c) for r in range(len(names) + 1) for c in combinations(names, r)]


def _share(names: tuple[str, ...], worth: Mapping[frozenset[str], float], draws: int) -> ModalityShare:
    whole = frozenset(names)
    drops = {n: worth[whole] - worth[whole - {n}] for n in names}
    drops["all"] = worth[whole] - worth[frozenset()]
    return ModalityShare(worth[whole], drops, {n: shapley_value(n, names, worth) for n in names}, draws)


def shapley_value(name: str, names: tuple[str, ...], worth: Mapping[frozenset[str], float]) -> float:
    """Exact Shapley value of ``name`` among ``names`` for the game ``worth`` (subset kept -> value)."""
    rest = tuple(n for n in names if n != name)
    value = 0.0
    for kept in _subsets(rest):
        weight = factorial(len(kept)) * factorial(len(rest) - len(kept)) / factorial(len(names))
        value += weight * (worth[kept | {name}] - worth[kept])
    return value
