"""One batch on its way through the objective: all that a term reads, and the masked passes that it may make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sidelight.core.tensors import probabilities
from sidelight.core.types import Encoding, Inputs, Scores, Unmasked, take_rows
from sidelight.fills.base import complement
from sidelight.scorers.base import RawScores, Scorer
from sidelight.targets import TargetModel
from sidelight.training.objective import complement_loss, own_question, task_loss
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
        raw: raw scores before the score head, by what they are read as.
        scores: per modality, scores in [0, 1].
        goal: ``[B, K]`` distribution that the task loss compares with.
        fill: per modality, values that replace removed features.
        fills: the values of every fill of the training, of which each sample of ``fill`` has one.
        training: false in a validation, where every draw must be repeatable.
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
        """``[B]`` ``1 − p(masks keep) + p(masks remove)`` of the goal, each sample under a fill of this draw."""
        fill = choose_fill(self.fills, pick_fills(len(self.fills), len(self.goal), self.training, draw))
        both = {m: torch.cat([mask, complement(mask, self.feature_mask[m])]) for m, mask in masks.items()}
        index = torch.arange(len(self.goal), device=self.goal.device).repeat(2)
        kept, removed = self.probability(both, index, fill).chunk(2)
        return 1 - kept + removed

    def probability(self, masks: Scores, index: Tensor, fill: Mapping[str, Tensor] | None = None) -> Tensor:
        """``[R]`` probability of the goal for the samples at ``index [R]`` under ``masks``.

        Args:
            masks: per modality ``[R, ...]``, one mask for each entry of ``index``.
            index: places in the batch. A sample may come more than once.
            fill: of the batch. Default: that of the task loss.
        """
        size = len(self.goal)
        inputs, fill = (take_rows(part, index, size) for part in (self.inputs, fill or self.fill))
        logits = self.target.classify(inputs, masks, fill, unmasked=self.unmasked.rows(index, size))
        return (probabilities(logits, self.encoding.independent) * self.goal[index]).sum(-1)

    def generator(self) -> torch.Generator | None:
        """Chance for a term: the global one in training, the same draws again in each validation."""
        return None if self.training else torch.Generator().manual_seed(0)

    def zeros(self) -> Tensor:
        """``[B]`` zeros: a term that does not apply."""
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
) -> Step:
    """The step of a batch whose raw scores are known: scores by the score heads, and fills that are drawn.

    Args:
        scorer: whose heads turn raw scores into scores.
        names: of the fills, one of which each sample draws.
    """
    unmasked, size = target.unmasked(inputs, encoding), len(goal)
    names = drawable(target, names, size)
    seeds = torch.randint(2**31, (size,)).tolist() if training else list(range(size))
    picks = pick_fills(len(names), size, training)
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
    """``names`` without ``image`` for a single sample and no bank: there is no other image that it could take.

    A training's last batch may hold one sample. If nothing else is left, all names stay, and the fill says why it fails.
    """
    if size > 1 or target.reference:
        return names
    return [name for name in names if "image" not in name.split("+")] or names


def pick_fills(count: int, size: int, training: bool, draw: int = 0) -> Tensor:
    """``[size]`` the number of one of ``count`` fills for each sample: by chance in training, in turn in a validation."""
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
