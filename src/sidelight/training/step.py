"""One batch in the objective: all that a term reads, and the masked passes that it may make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sidelight.core.tensors import probabilities, slopes_of
from sidelight.core.types import Encoding, Inputs, Scores, Unmasked, take_rows
from sidelight.fills.base import complement
from sidelight.scorers.base import RawScores, Scorer
from sidelight.targets import TargetModel
from sidelight.training.objective import (
    FIRM,
    complement_loss,
    firm_error,
    log_odds,
    own_question,
    task_loss,
)
from sidelight.training.settings import ObjectiveConfig


@dataclass(frozen=True)
class Step:
    """One batch of B samples, after the clean pass and the scorer.

    Attributes:
        config: of the objective.
        target: for further masked passes.
        inputs: of the target.
        encoding: of the clean pass.
        unmasked: the features of ``inputs``, which every mask starts from.
        raw: raw scores before the score head, one set for each reading.
        scores: per modality, scores in [0, 1].
        goal: ``[B, K]`` distribution that the task loss compares with.
        fill: per modality, values that replace removed features.
        fills: the values of every fill of the training. Each sample of ``fill`` has those of one of them.
        training: false in a validation, in which every draw must be repeatable.
    """

    config: ObjectiveConfig
    target: TargetModel
    inputs: Inputs
    encoding: Encoding
    unmasked: Unmasked
    raw: RawScores
    scores: Scores
    goal: Tensor
    fill: Mapping[str, Tensor]
    fills: Sequence[Mapping[str, Tensor]]
    training: bool

    @property
    def feature_mask(self) -> Mapping[str, Tensor]:
        """Per modality, a boolean tensor of the scores' shape: true for features that count."""
        return self.encoding.feature_mask

    @property
    def ranking(self) -> Scores:
        """Per modality, the raw scores that rank features."""
        return self.raw.ranking

    @property
    def effects(self) -> Scores:
        """Per modality, the raw scores that predict changes of the probability."""
        return self.raw.effects

    @property
    def effect_unit(self) -> float:
        """Scale of :attr:`effects`."""
        return self.config.coalition_unit if self.raw.unit is None else self.raw.unit

    def clean_loss(self) -> Tensor:
        """``[B]`` task loss of the unmasked input."""
        return task_loss(*self._asked(self.encoding.logits))

    def masked_loss(self, masks: Scores) -> Tensor:
        """``[B]`` task loss of ``x ⊗ masks``. A modality that ``masks`` leaves out is not masked."""
        return task_loss(*self._asked(self._masked(masks)))

    def removed_loss(self, masks: Scores) -> Tensor:
        """``[B]`` of :func:`complement_loss` for ``x ⊗ (1 − masks)``: the evidence is removed."""
        outside = {m: complement(s, self.feature_mask[m]) for m, s in masks.items()}
        return complement_loss(*self._asked(self._masked(outside)))

    @property
    def choices(self) -> int:
        """The number of answers to the question that the goal is one answer to."""
        return 2 if self.encoding.independent else self.goal.shape[-1]

    def _asked(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and goal of the question. Of independent labels it is about one label."""
        return own_question(logits, self.goal) if self.encoding.independent else (logits, self.goal)

    def _masked(self, masks: Scores) -> Tensor:
        return self.target.classify(self.inputs, masks, self.fill, unmasked=self.unmasked)

    def clean_probability(self) -> Tensor:
        """``[B]`` probability of the goal for the unmasked input."""
        return (self.encoding.probabilities * self.goal).sum(-1)

    def rank_errors(self, masks: Scores, draw: int) -> Tensor:
        """``[B]`` ``1 − p(kept) + p(removed)`` of the goal. Each sample has a fill of its own in each draw.

        The gradient is that of :func:`sidelight.training.objective.firm_error`. It does not vanish if a sure model is
        wrong. With ``rank_hard`` it is that of the probabilities.
        """
        fill = choose_fill(self.fills, pick_fills(len(self.fills), len(self.goal), self.training, draw))
        both = {m: torch.cat([mask, complement(mask, self.feature_mask[m])]) for m, mask in masks.items()}
        index = torch.arange(len(self.goal), device=self.goal.device).repeat(2)
        logits, goal = self._masked_rows(both, index, fill), self.goal[index]
        if self.encoding.independent:
            logits, goal = own_question(logits, goal)
        kept, removed = log_odds(logits, goal.argmax(-1)).chunk(2)
        q = 1.0 if self.config.rank_hard else FIRM
        return firm_error(kept, q) + firm_error(-removed, q)

    def probability(self, masks: Scores, index: Tensor, fill: Mapping[str, Tensor] | None = None) -> Tensor:
        """``[R]`` probability of the goal for the samples at ``index [R]`` under ``masks``.

        Args:
            masks: per modality ``[R, ...]``, one mask for each entry of ``index``.
            index: places in the batch. A sample may come more than once.
            fill: of the batch. Default: that of the task loss.
        """
        logits = self._masked_rows(masks, index, fill or self.fill)
        return (probabilities(logits, self.encoding.independent) * self.goal[index]).sum(-1)

    def slopes(self, masks: Scores, fill: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Slope of the goal's log-odds with each value of ``masks``, of their shapes, by one pass with gradient.

        Args:
            masks: per modality, of the batch.
            fill: of the batch.
        """
        leaves = {m: mask.detach().requires_grad_() for m, mask in masks.items()}
        with torch.enable_grad():
            logits = self.target.classify(self.inputs, leaves, fill, unmasked=self.unmasked)
            asked, goal = self._asked(logits)
            return slopes_of(log_odds(asked, goal.argmax(-1)).sum(), leaves)

    def _masked_rows(self, masks: Scores, index: Tensor, fill: Mapping[str, Tensor]) -> Tensor:
        """``[R, K]`` logits of the samples at ``index [R]`` under ``masks``."""
        size = len(self.goal)
        inputs, fill = (take_rows(part, index, size) for part in (self.inputs, fill))
        return self.target.classify(inputs, masks, fill, unmasked=self.unmasked.rows(index, size))

    def generator(self) -> torch.Generator | None:
        """Random numbers for a term: the global generator in training, the same draws in every validation."""
        return None if self.training else torch.Generator().manual_seed(0)

    def zeros(self) -> Tensor:
        """``[B]`` zeros, the value of a term that does not apply."""
        return torch.zeros_like(self.goal[:, 0])


def make_step(
    config: ObjectiveConfig,
    target: TargetModel,
    scorer: Scorer,
    inputs: Inputs,
    encoding: Encoding,
    raw: RawScores,
    goal: Tensor,
    names: Sequence[str],
    training: bool,
    map_names: Sequence[str] = (),
) -> Step:
    """The step of a batch whose raw scores are known. Its scores are computed and its fills are drawn here.

    Args:
        scorer: whose heads turn raw scores into scores.
        names: of the fills, one of which each sample draws.
        map_names: those among them that the map is masked with. Default: all.
    """
    unmasked, size = target.unmasked(inputs, encoding), len(goal)
    names = drawable(target, names, size)
    seeds = torch.randint(2**31, (size,)).tolist() if training else list(range(size))
    shown = [i for i, name in enumerate(names) if name in (map_names or names)] or list(range(len(names)))
    picks = torch.tensor(shown)[pick_fills(len(shown), size, training)]
    fills = [target.fill_values(inputs, name, seeds, unmasked.features) for name in names]
    if len(fills) > 1:  # fills come in shapes that broadcast, and samples choose among them
        fills = [{m: v.expand_as(unmasked.features[m]) for m, v in values.items()} for values in fills]
    return Step(
        config=config,
        target=target,
        inputs=inputs,
        encoding=encoding,
        unmasked=unmasked,
        raw=raw,
        scores=scorer.score(raw.map, encoding.feature_mask),
        goal=goal,
        fill=choose_fill(fills, picks),
        fills=fills,
        training=training,
    )


def drawable(target: TargetModel, names: Sequence[str], size: int) -> Sequence[str]:
    """``names``, without the fill ``image`` if there is no other image: for a single sample without a reference bank.

    The last batch of a training may hold one sample. If no other fill is left, all names stay, and the fill raises its
    error.
    """
    if size > 1 or target.reference:
        return names
    return [name for name in names if "image" not in name.split("+")] or names


def pick_fills(count: int, size: int, training: bool, draw: int = 0) -> Tensor:
    """``[size]`` the number of a fill for each sample: drawn at random in training, in turn in a validation."""
    if training:
        return torch.randint(count, (size,))
    return (torch.arange(size) + draw) % count


def choose_fill(fills: Sequence[Mapping[str, Tensor]], picks: Tensor) -> dict[str, Tensor]:
    """Per modality the values of one fill for each sample.

    Args:
        fills: per fill and modality, ``[B, ...]``.
        picks: ``[B]`` number of the fill of each sample.
    """
    chosen = dict(fills[0])
    for number, other in enumerate(fills[1:], start=1):
        for m, values in chosen.items():
            mine = (picks == number).to(values.device).view(-1, *[1] * (values.ndim - 1))
            chosen[m] = torch.where(mine, other[m], values)
    return chosen
