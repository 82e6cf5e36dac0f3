"""TODO."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sidelight.core.batch import take_rows
from sidelight.core.finite import require_finite_loss
from sidelight.core.tensors import probabilities
from sidelight.core.types import Encoding, Features, Inputs, Scores, Unmasked
from sidelight.errors import ConfigError
from sidelight.fills.base import complement, pair_fills
from sidelight.scorers import Scorer
from sidelight.scorers.head import is_constant, straight_through
from sidelight.targets import TargetModel
from sidelight.training.coalitions import coalition_loss
from sidelight.training.objective import (
    ObjectiveTerms,
    complement_loss,
    is_lost,
    label_distribution,
    masked_mean,
    objective,
    task_loss,
)
from sidelight.training.settings import ObjectiveConfig


class ScorerObjective(nn.Module):
    """Scorer and objective as one module whose forward pass gives the loss.

    The target is held but not registered: it is neither trained, moved by DDP, nor saved.
    """

    def __init__(self, scorer: Scorer, target: TargetModel, config: ObjectiveConfig) -> None:
        super().__init__()
        for fill in config.fills:
            pair_fills(fill, target.modalities)
        unknown = sorted(set(config.coalition_modalities) - set(target.modalities))
        if unknown:
            raise ConfigError(
                f"coalition_modalities (in a config: objective.coalition_modalities) names {', '.join(unknown)}; this "
                f"target has {', '.join(target.modalities)}."
            )
        # not named "config": the Trainer takes that for a model config and writes to it
        self.scorer, self.target, self.settings = scorer, target, config

    def forward(self, labels: Tensor | None = None, **inputs: Tensor) -> dict[str, Tensor]:
        """``{"loss": scalar, ...}`` plus detached batch means of every term."""
        terms, scores, encoding = self.terms(inputs, labels)
        require_finite_loss(vars(terms))
        mask = encoding.feature_mask
        constant = {m: is_constant(s, mask[m]).float() for m, s in scores.items()}
        mean = torch.stack([masked_mean(s, mask[m]) for m, s in scores.items()]).mean(0)
        named = {k: v.detach().mean() for k, v in vars(terms).items() if k != "loss"}
        return {
            "loss": terms.loss.mean(),
            **named,
            "lost": is_lost(terms.task, terms.clean, encoding.logits.shape[-1]).float().mean(),
            "mean_score": mean.detach().mean(),
            # nothing stands out anywhere; where one modality decides, an empty map of another is right
            "constant": torch.stack(list(constant.values())).amin(0).mean(),
            **({f"constant_{m}": c.mean() for m, c in constant.items()} if len(constant) > 1 else {}),
        }

    def terms(
        self, inputs: Mapping[str, Tensor], labels: Tensor | None
    ) -> tuple[ObjectiveTerms, Scores, Encoding]:
        """Objective per sample, the scores, and the clean pass."""
        target, config = self.target, self.settings
        encoding = target.encode(inputs)
        raw = self.scorer.raw(encoding)
        scores = self.scorer.score(raw, encoding.feature_mask)
        goal = label_distribution(encoding.logits, labels, config.label)
        unmasked = target.unmasked(inputs, encoding)
        values = self._fill_values(inputs, unmasked.features)

        def masked_loss(masks: Scores) -> Tensor:
            return task_loss(target.classify(inputs, masks, values, unmasked=unmasked), goal)

        def removed_loss(masks: Scores) -> Tensor:
            outside = {m: complement(s, encoding.feature_mask[m]) for m, s in masks.items()}
            return complement_loss(target.classify(inputs, outside, values, unmasked=unmasked), goal)

        solo = None
        if config.solo and len(scores) > 1:
            solo = {m: masked_loss({m: s}) for m, s in scores.items()}
        order = None
        if config.order_weight:
            seed = None if self.training else 0  # validation must not choose the best weights by luck
            hard = {m: random_top_share(s, encoding.feature_mask[m], seed) for m, s in scores.items()}
            order = masked_loss(hard) + removed_loss(hard)
        terms = objective(
            masked_loss(scores),
            task_loss(encoding.logits, goal),
            scores,
            encoding.feature_mask,
            solo=solo,
            complement=removed_loss(scores) if config.complement_weight else None,
            coalition=self._coalition_error(inputs, encoding, unmasked, raw, goal, values)
            if config.coalition_weight
            else None,
            order=order,
            calibration=config.calibration,
            magnitude_weight=config.magnitude_weight,
            binary_weight=config.binary_weight,
            complement_weight=config.complement_weight,
            coalition_weight=config.coalition_weight,
            order_weight=config.order_weight,
        )
        return terms, scores, encoding

    def _coalition_error(
        self,
        inputs: Inputs,
        encoding: Encoding,
        unmasked: Unmasked,
        raw: Scores,
        goal: Tensor,
        values: Mapping[str, Tensor],
    ) -> Tensor:
        """``[B]`` of :func:`sidelight.training.coalitions.coalition_loss`, as the settings say."""
        config, target = self.settings, self.target

        def probability(masks: Scores, index: Tensor) -> Tensor:
            rows, fill = (take_rows(part, index, len(goal)) for part in (inputs, values))
            known = unmasked.rows(index, len(goal))
            logits = target.classify(rows, masks, fill, unmasked=known)
            return (probabilities(logits) * goal[index]).sum(-1)

        whole = (encoding.probabilities * goal).sum(-1)
        return coalition_loss(
            raw,
            encoding.feature_mask,
            probability,
            config.coalition_draws,
            unit=config.coalition_unit,
            solo=config.solo,
            modalities=config.coalition_modalities,
            whole=whole if config.coalition_focus else None,
            generator=None if self.training else torch.Generator().manual_seed(0),
        )

    def _fill_values(self, inputs: Inputs, features: Features) -> dict[str, Tensor]:
        """Each sample draws one of the fills; in evaluation the i-th sample takes the i-th fill."""
        names = list(self.settings.fills)
        size = len(next(iter(inputs.values())))
        if self.training:
            seeds = torch.randint(2**31, (size,)).tolist()
            picks = torch.randint(len(names), (size,))
        else:
            seeds = list(range(size))
            picks = torch.arange(size) % len(names)
        values = self.target.fill_values(inputs, names[0], seeds, features)
        for i, name in enumerate(names[1:], start=1):
            other = self.target.fill_values(inputs, name, seeds, features)
            for m, v in values.items():
                chosen = (picks == i).to(v.device).view(-1, *[1] * (features[m].ndim - 1))
                values[m] = torch.where(chosen, other[m].expand_as(features[m]), v.expand_as(features[m]))
        return values


def random_top_share(scores: Tensor, feature_mask: Tensor, seed: int | None = None) -> Tensor:
    """Hard mask of a random share of each sample's best features, with a straight-through gradient.

    Args:
        scores: in [0, 1], any shape ``[B, ...]``.
        feature_mask: boolean of the same shape.
        seed: makes the draw repeatable; default: torch's global generator.

    Returns:
        Values in {0, 1}, 1 outside ``feature_mask``; its gradient is that of ``scores``.
    """
    flat, real = scores.flatten(1), feature_mask.reshape(scores.shape).flatten(1)
    if seed is None:
        share, noise = torch.rand(len(flat), 1, device=flat.device), torch.rand_like(flat)
    else:
        generator = torch.Generator().manual_seed(seed)
        share = torch.rand(len(flat), 1, generator=generator).to(flat)
        noise = torch.rand(flat.shape, generator=generator).to(flat)
    keep = (share * real.sum(1, keepdim=True)).ceil().clamp(min=1)
    # A little noise breaks ties at random instead of by position.
    noisy = flat.detach() + 1e-4 * noise
    rank = noisy.masked_fill(~real, float("-inf")).argsort(1, descending=True).argsort(1)
    hard = (rank < keep).to(flat.dtype)
    mask = straight_through(hard, flat)
    return torch.where(real, mask, torch.ones_like(mask)).reshape(scores.shape)
