"""One batch on its way through the objective: all that a term reads, and the masked passes that it may make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sidelight.core.tensors import probabilities
from sidelight.core.types import Encoding, Inputs, Scores, Unmasked, take_rows
from sidelight.fills.base import complement
from sidelight.targets import TargetModel
from sidelight.training.objective import complement_loss, task_loss
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
        raw: per modality, raw scores before the score head.
        scores: per modality, scores in [0, 1].
        goal: ``[B, K]`` distribution that the task loss compares with.
        fill: per modality, values that replace removed features.
        training: false in a validation, where every draw must be repeatable.
    """

    config: ObjectiveConfig
    target: TargetModel
    inputs: Inputs
    encoding: Encoding
    unmasked: Unmasked
    raw: Scores
    scores: Scores
    goal: Tensor
    fill: Mapping[str, Tensor]
    training: bool

    @property
    def feature_mask(self) -> Mapping[str, Tensor]:
        """Per modality, a boolean tensor of the scores' shape: true for features that count."""
        return self.encoding.feature_mask

    def clean_loss(self) -> Tensor:
        """``[B]`` task loss of the unmasked input."""
        return task_loss(self.encoding.logits, self.goal)

    def masked_loss(self, masks: Scores) -> Tensor:
        """``[B]`` task loss of ``x ⊗ masks``. A modality that ``masks`` leaves out is not masked."""
        return task_loss(self._masked(masks), self.goal)

    def removed_loss(self, masks: Scores) -> Tensor:
        """``[B]`` of :func:`complement_loss` for ``x ⊗ (1 − masks)``: the evidence is removed."""
        outside = {m: complement(s, self.feature_mask[m]) for m, s in masks.items()}
        return complement_loss(self._masked(outside), self.goal)

    def _masked(self, masks: Scores) -> Tensor:
        return self.target.classify(self.inputs, masks, self.fill, unmasked=self.unmasked)

    def clean_probability(self) -> Tensor:
        """``[B]`` probability of the goal for the unmasked input."""
        return (self.encoding.probabilities * self.goal).sum(-1)

    def probability(self, masks: Scores, index: Tensor) -> Tensor:
        """``[R]`` probability of the goal for the samples at ``index [R]`` under ``masks``.

        Args:
            masks: per modality ``[R, ...]``, one mask for each entry of ``index``.
            index: places in the batch. A sample may come more than once.
        """
        size = len(self.goal)
        inputs, fill = (take_rows(part, index, size) for part in (self.inputs, self.fill))
        logits = self.target.classify(inputs, masks, fill, unmasked=self.unmasked.rows(index, size))
        return (probabilities(logits) * self.goal[index]).sum(-1)

    def generator(self) -> torch.Generator | None:
        """Chance for a term: the global one in training, the same draws again in each validation."""
        return None if self.training else torch.Generator().manual_seed(0)

    def zeros(self) -> Tensor:
        """``[B]`` zeros: a term that does not apply."""
        return torch.zeros_like(self.goal[:, 0])
