"""The module that the Trainer trains: a scorer whose forward pass gives the loss."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from sidelight.core.finite import require_finite_loss
from sidelight.core.tensors import masked_mean
from sidelight.errors import ConfigError
from sidelight.fills.base import VARIED, pair_fills
from sidelight.scorers import Scorer
from sidelight.scorers.head import is_constant
from sidelight.targets import TargetModel
from sidelight.training.objective import (
    is_lost,
    label_distribution,
    require_goal,
    said_labels,
    with_other_classes,
)
from sidelight.training.settings import ObjectiveConfig
from sidelight.training.step import Step, make_step
from sidelight.training.terms import objective


class ScorerObjective(nn.Module):
    """Scorer and objective as one module.

    The target is no submodule: it is neither trained, nor moved by DDP, nor saved.

    Raises:
        UnknownNameError: a fill is unknown.
        ConfigError: ``coalition_modalities`` names a modality that the target does not have, or ``label`` a goal.
    """

    def __init__(self, scorer: Scorer, target: TargetModel, config: ObjectiveConfig) -> None:
        super().__init__()
        config = config.for_modalities(target.modalities)
        #: names of the fills. Each sample draws one
        self.fills = target.training_fills(config.fills)
        #: those under which a map's scores between 0 and 1 remove something (:meth:`show_under`)
        self.map_fills = self.fills
        for fill in self.fills:
            pair_fills(fill, target.modalities)
        unknown = sorted(set(config.coalition_modalities) - set(target.modalities))
        if unknown:
            raise ConfigError(
                f"coalition_modalities (in a config: objective.coalition_modalities) names {', '.join(unknown)}; this "
                f"target has {', '.join(target.modalities)}."
            )
        if config.other_classes and not scorer.config.by_class:
            raise ConfigError(
                "other_classes teaches maps of other classes, which needs a scorer with by_class=True."
            )
        require_goal(target.verdict, config.label)
        # not named "config": the Trainer takes that for a model config and writes to it
        self.scorer, self.target, self.settings = scorer, target, config

    @property
    def varied(self) -> bool:
        """Whether the caller left the choice of fills to us."""
        return VARIED in self.settings.fills

    def show_under(self, blind: Collection[str]) -> None:
        """Leave ``blind`` fills to the rank term, whose masks are hard, if the caller left the choice of fills to us.

        Args:
            blind: fills under which only scores of exactly 0 remove anything (:func:`sidelight.checks.removal.blind_fills`).
        """
        if self.varied:
            self.map_fills = tuple(f for f in self.fills if f not in blind) or self.fills

    def forward(self, labels: Tensor | None = None, **inputs: Tensor) -> dict[str, Tensor]:
        """``{"loss": scalar, ...}`` and detached batch means of every term."""
        step = self.step(inputs, labels)
        terms = objective(step)
        require_finite_loss(terms)
        mask = step.feature_mask
        constant = {m: is_constant(s, mask[m]).float() for m, s in step.scores.items()}
        mean = torch.stack([masked_mean(s, mask[m]) for m, s in step.scores.items()]).mean(0)
        return {
            **{k: v.detach().mean() for k, v in terms.items()},
            "loss": terms["loss"].mean(),
            "lost": is_lost(terms["task"], terms["clean"], step.choices).float().mean(),
            "mean_score": mean.detach().mean(),
            # A sample counts if its maps of all modalities are constant. If one modality decides, an empty map of another
            # is right.
            "constant": torch.stack(list(constant.values())).amin(0).mean(),
            **({f"constant_{m}": c.mean() for m, c in constant.items()} if len(constant) > 1 else {}),
        }

    def step(self, inputs: Mapping[str, Tensor], labels: Tensor | None) -> Step:
        """The clean pass, the scores and the drawn fills of one batch, which the terms read."""
        encoding = self.target.encode(inputs)
        if encoding.independent:
            goal = said_labels(encoding.logits, bool(self.scorer.config.by_class), self.training)
        else:
            goal = label_distribution(encoding.logits, labels, self.settings.label)
        if self.training and self.settings.other_classes:
            share = self.settings.other_classes
            goal = with_other_classes(goal, encoding.logits, share, encoding.independent)
        raw = self.scorer.raw(encoding, goal.argmax(-1))
        return make_step(
            self.settings,
            self.target,
            self.scorer,
            inputs,
            encoding,
            raw,
            goal,
            names=self.fills,
            map_names=self.map_fills,
            training=self.training,
        )
