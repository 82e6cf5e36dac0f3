"""Quality of a map, foretold from the pass that made it: the SRG that masking would measure.

A linear model learns it after a training, on validation rows, from a few numbers of a map: how sure the classifier is and
of which class, how much the map shows, and what the effects promise. Its skill is the rank correlation with what was
measured, each row foretold by a model that did not see it. So the worst maps of many can be looked for without another
pass. A number that is foretold is no measurement: ``explain(..., verify=True)`` measures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from sidelight.checks.certificate import certify
from sidelight.core.tensors import best_first, masked_mean, standardise
from sidelight.core.types import Encoding, Inputs, Reading
from sidelight.errors import CheckpointError
from sidelight.targets.base import TargetModel

#: points of a row's curves, an even number
STEPS = 6
#: least number of rows from which something is learnt
FEWEST = 24
#: penalties of the ridge regression that are tried
PENALTIES = (0.1, 1.0, 10.0, 100.0)
#: Of models without any skill, asked of N rows, one in forty has a rank correlation above this ÷ √N.
CHANCE = 1.96
#: shares of the best features whose effects are clues
SHARES = (0.05, 0.1, 0.2, 0.5)
#: names of the numbers that foretell, in their order. Those of the classes come after them.
CLUES: tuple[str, ...] = (
    *("probability", "margin", "odds", "mean", "area", "binary", "agreement", "gain", "loss", "promised"),
    *(f"effect of {share:.0%}" for share in SHARES),
)
#: classes that have a clue of their own
CLASSES = 32


@dataclass(frozen=True)
class Quality:
    """The linear model: ``intercept + Σ weights · (clues − centre) / spread``, cut to [-1, 1].

    Attributes:
        centre, spread, weights: one number for each clue (:func:`clues_of`).
        intercept: mean SRG of the rows.
        skill: rank correlation in [-1, 1] of the SRG measured with the SRG foretold by a model of the other rows.
        rows: how many were measured.
    """

    centre: tuple[float, ...]
    spread: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float
    skill: float
    rows: int

    @property
    def beyond_chance(self) -> bool:
        """Whether the skill is more than values without any would show.

        Example:
            >>> [Quality((), (), (), 0.0, skill, 100).beyond_chance for skill in (0.19, 0.2)]
            [False, True]
        """
        return self.skill * self.rows**0.5 > CHANCE

    def foretell(self, clues: Tensor) -> Tensor:
        """``[B]`` SRG in [-1, 1] from clues ``[B, C]``.

        Example:
            >>> model = Quality((0.5,), (0.25,), (0.25,), 0.25, 0.8, 96)
            >>> model.foretell(torch.tensor([[0.5], [0.75]])).tolist()
            [0.25, 0.5]
        """
        centre, spread, weights = (
            torch.tensor(v, dtype=torch.float64, device=clues.device)
            for v in (self.centre, self.spread, self.weights)
        )
        found = self.intercept + ((clues.double() - centre) / spread) @ weights
        return found.clamp(-1, 1).float()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Quality:
        """The inverse of :meth:`to_dict`.

        Raises:
            CheckpointError: a value is missing or no number.
        """
        try:
            centre, spread, weights = (tuple(map(float, values[k])) for k in ("centre", "spread", "weights"))
            intercept, skill, rows = float(values["intercept"]), float(values["skill"]), int(values["rows"])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"the scorer's entry 'quality' is damaged ({error!r}): train it again."
            ) from error
        if len({len(centre), len(spread), len(weights)}) != 1 or not all(v > 0 for v in spread):
            raise CheckpointError(
                "the scorer's entry 'quality' is damaged: its lists differ in length, or a spread is not above 0: train "
                "it again."
            )
        return cls(centre, spread, weights, intercept, skill, rows)


def clues_of(encoding: Encoding, reading: Reading, classes: Tensor) -> Tensor:
    """``[B, C]`` numbers of each map that need no further pass: :data:`CLUES`, then a 1 for its class.

    Args:
        encoding: the clean pass of ``B`` samples.
        reading: their maps, rankings and effects. Without effects the clues of effects are 0.
        classes: ``[B]`` class explained.
    """
    names = tuple(reading.scores)
    real = _flat(encoding.feature_mask, names)
    scores, ranking = _flat(reading.scores, names).float(), _flat(reading.ranking, names).float()
    found = [
        *_sureness(encoding, classes),
        masked_mean(scores, real),
        masked_mean((scores > 0.5).float(), real),
        masked_mean(4 * scores * (1 - scores), real),
        masked_mean(scores * standardise(ranking, real), real),
    ]
    effects = torch.zeros_like(scores) if reading.effects is None else _flat(reading.effects, names).float()
    found += _promises(effects.masked_fill(~real, 0.0), ranking.masked_fill(~real, -torch.inf), real)
    own = classes.clamp(max=CLASSES)[:, None] == torch.arange(CLASSES, device=classes.device)
    return torch.cat([torch.stack(found, 1), own.float()], 1)


def _flat(values: Mapping[str, Tensor], names: Sequence[str]) -> Tensor:
    """``{modality: [B, ...]}`` as ``[B, N]``, the modalities in the order of ``names``."""
    return torch.cat([values[name].flatten(1) for name in names], 1)


def _sureness(encoding: Encoding, classes: Tensor) -> list[Tensor]:
    """Probability of the class, its lead over the next one, and the same lead in logits."""
    p, logits = encoding.probabilities.float(), encoding.logits.float()
    asked = classes[:, None]
    own = p.gather(1, asked).squeeze(1)
    lead = own - p.scatter(1, asked, 0.0).amax(1)
    return [own, lead, (logits.gather(1, asked) - logits.scatter(1, asked, -torch.inf)).amin(1)]


def _promises(effects: Tensor, ranking: Tensor, real: Tensor) -> list[Tensor]:
    """What the effects promise if they simply add up: gain, loss, SRG, and the effect of the best shares.

    SRG is then 2 · mean over shares of (effects kept so far) − (all effects).
    """
    order = best_first(ranking)
    so_far = effects.gather(1, order).cumsum(1)
    promised = 2 * masked_mean(so_far, real.gather(1, order)) - effects.sum(1)
    count = real.sum(1, keepdim=True)
    best = [
        so_far.gather(1, (share * count).long().clamp(max=so_far.shape[1] - 1)).squeeze(1) for share in SHARES
    ]
    return [effects.clamp(min=0).sum(1), effects.clamp(max=0).sum(1), promised, *best]


def srg_of(certificates: Iterable[Any], every: int = 1) -> float:
    """Mean over certificates of the area under insertion minus that under deletion.

    Args:
        every: take one point of so many, from the first on.

    Example:
        >>> from types import SimpleNamespace
        >>> srg_of([SimpleNamespace(shares=(0, 0.5, 1), deletion=(1, 0, 0), insertion=(0, 1, 1))])
        0.5
    """
    found = []
    for one in certificates:
        gap = torch.tensor(one.insertion, dtype=torch.float64) - torch.tensor(
            one.deletion, dtype=torch.float64
        )
        shares = torch.tensor(one.shares, dtype=torch.float64)
        found.append(float(torch.trapezoid(gap[::every], shares[::every])))
    return sum(found) / max(len(found), 1)


def limit_of_srg(certificates: Sequence[Any]) -> float:
    """The SRG that curves of many more points would have, from curves of an even number of steps.

    Few points cut off the bend of a steep curve: six steps measured 0.67 where 60 measured 0.75, on the embedded scenes. The
    error of straight lines falls with the square of their number, so a third of what every other point changes is
    added (Richardson; Simpson's rule if all steps are equal).

    Example:
        >>> from types import SimpleNamespace
        >>> one = SimpleNamespace(shares=(0, 0.5, 1), deletion=(1, 0.25, 0), insertion=(0, 0.75, 1))  # (1 - s)², 1 - (1 - s)²
        >>> srg_of([one]), round(limit_of_srg([one]), 6)  # the areas are 2/3 and 1/3
        (0.25, 0.333333)
    """
    whole = srg_of(certificates)
    return whole + (whole - srg_of(certificates, every=2)) / 3


def calibrated(
    target: TargetModel, read: Callable[[Encoding], Reading], batches: Iterable[Inputs]
) -> Quality | None:
    """Learn to foretell SRG from the maps of some rows, or ``None`` if there are fewer than :data:`FEWEST`.

    Args:
        target: the classifier.
        read: makes the reading of a clean pass, for the predicted classes.
        batches: inputs on any device. All of their rows are measured.
    """
    clues, measured = [], []
    for inputs in batches:
        moved = target.to_device(inputs)
        encoding = target.encode(moved)
        reading = read(encoding)
        clues.append(clues_of(encoding, reading, encoding.prediction).double().cpu())
        measured += [limit_of_srg(own) for own in certify(target, moved, encoding, reading, steps=STEPS)]
    if len(measured) < FEWEST:
        return None
    return fitted(torch.cat(clues), torch.tensor(measured, dtype=torch.float64))


def fitted(clues: Tensor, measured: Tensor) -> Quality:
    """Ridge regression of ``measured [N]`` on ``clues [N, C]``, with the penalty that foretells left-out rows best."""
    centre, spread = clues.mean(0), clues.std(0)
    spread = torch.where(
        spread > 1e-9, spread, torch.ones_like(spread)
    )  # a clue that never changes says nothing
    x, mean = (clues - centre) / spread, measured.mean()
    y = measured - mean
    trials = []
    for penalty in PENALTIES:
        gram = x.T @ x + penalty * torch.eye(x.shape[1], dtype=x.dtype)
        leverage = (x @ torch.linalg.solve(gram, x.T)).diagonal() + 1 / len(y)  # the mean is learnt as well
        weights = torch.linalg.solve(gram, x.T @ y)
        left_out = y - (y - x @ weights) / (1 - leverage).clamp(min=1e-6)
        trials.append((float((left_out - y).square().mean()), weights, left_out))
    _, weights, left_out = min(trials, key=lambda trial: trial[0])
    return Quality(
        tuple(centre.tolist()),
        tuple(spread.tolist()),
        tuple(weights.tolist()),
        float(mean),
        _rank_correlation(left_out, y),
        len(y),
    )


def _rank_correlation(a: Tensor, b: Tensor) -> float:
    """Spearman's correlation, with the mean rank for ties. 0 if one side is constant."""
    x, y = _ranks(a), _ranks(b)
    size = float(x.norm() * y.norm())
    return float(x @ y) / size if size > 0 else 0.0


def _ranks(values: Tensor) -> Tensor:
    """Ranks of ``[N]`` values around 0. Equal values share their mean rank."""
    below = (values[None] < values[:, None]).double().sum(1)
    alike = (values[None] == values[:, None]).double().sum(1)
    found = below + (alike - 1) / 2
    return found - found.mean()
