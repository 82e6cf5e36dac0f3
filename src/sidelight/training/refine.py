"""A few steps of the objective on the map of one input, beginning with the scorer's answer.

The scorer was trained on many inputs. For a hard input its raw scores may be improved further: the same objective moves
them, and the scorer's weights stay as they are. This costs passes with gradient, and the map is no longer that of one
pass.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from sidelight.checks.selfcheck import require_gradient
from sidelight.core.seeds import seeded
from sidelight.core.types import Encoding, Inputs, Reading, Scores
from sidelight.scorers.base import RawScores, Scorer
from sidelight.targets import TargetModel
from sidelight.training.presets import objective_of
from sidelight.training.step import make_step
from sidelight.training.terms import objective

#: Step size of Adam, as a share of the standard deviation of a sample's raw scores.
STEP = 0.1
#: Seed of the draws, so that the same call gives the same map.
SEED = 0


def refine(
    target: TargetModel,
    scorer: Scorer,
    inputs: Inputs,
    encoding: Encoding,
    raw: RawScores,
    classes: Tensor,
    steps: int,
) -> RawScores:
    """``raw`` after ``steps`` steps of the robust objective on these inputs alone.

    Effects do not change, because the optimised terms do not contain them.

    Args:
        inputs: ``B`` samples on the target's device.
        encoding: their clean pass.
        raw: of the scorer, for ``classes``.
        classes: ``[B]`` class explained.
        steps: each costs about five passes with gradient.

    Raises:
        SelfCheckError: no gradient passes through the target, as if it was quantised. Only penalties would move the map.
    """
    config = replace(
        objective_of("robust"), coalition_weight=0.0, slope_weight=0.0, empty_weight=0.0, other_classes=0.0
    )
    learnt = {name: _leaves(getattr(raw, name)) for name in ("map", "ranking")}
    leaves = [value for part in learnt.values() for value in part.values()]
    # one group for each tensor, because raw scores of texts and images differ in size
    groups = [{"params": [leaf], "lr": STEP * _spread(leaf)} for leaf in leaves]
    optimiser = torch.optim.Adam(groups, betas=(0.9, 0.95))
    with torch.inference_mode(False), torch.enable_grad(), seeded(SEED), target.borrowed():
        # pictures that were read in the caller's inference mode are tensors of that mode, too
        encoding, inputs = _plain(encoding), {name: value.clone() for name, value in inputs.items()}
        require_gradient(target, inputs, "So no map can be refined beside it: leave refine out.")
        goal = torch.nn.functional.one_hot(classes, encoding.logits.shape[-1]).float()
        names = target.training_fills(config.fills)
        for _ in range(steps):
            moved = replace(raw, map=learnt["map"], ranking=learnt["ranking"])
            step = make_step(config, target, scorer, inputs, encoding, moved, goal, names, training=True)
            # Not backward(), which would leave gradients in the score heads. A step may rank one modality only.
            gradients = torch.autograd.grad(objective(step)["loss"].sum(), leaves, allow_unused=True)
            for leaf, gradient in zip(leaves, gradients, strict=True):
                leaf.grad = gradient
            optimiser.step()
    mapped, ranked = ({m: v.detach() for m, v in part.items()} for part in learnt.values())
    return replace(raw, map=mapped, ranking=ranked)


def refined_reading(
    target: TargetModel,
    scorer: Scorer,
    inputs: Inputs,
    encoding: Encoding,
    classes: Tensor | None,
    steps: int,
) -> Reading:
    """The readings of ``classes [B]`` (default: the predicted ones) after :func:`refine`."""
    chosen = encoding.prediction if classes is None else classes
    with torch.inference_mode():
        raw = scorer.raw(encoding, chosen)
    better = refine(target, scorer, inputs, encoding, raw, chosen, steps)
    with torch.inference_mode():
        return scorer.read_raw(better, encoding)


def _leaves(scores: Scores) -> dict[str, Tensor]:
    # tensors made in inference mode take no gradient, but copies made outside it do
    with torch.inference_mode(False):
        return {
            m: torch.empty_like(v, requires_grad=False).copy_(v).requires_grad_() for m, v in scores.items()
        }


def _spread(value: Tensor) -> float:
    return max(float(value.detach().float().flatten(1).std(1).mean()), 1e-3)


def _plain(encoding: Encoding) -> Encoding:
    """``encoding`` without tensors of inference mode, and without states, which nobody reads here."""
    return replace(
        encoding,
        logits=encoding.logits.clone(),
        states={},
        feature_mask={m: v.clone() for m, v in encoding.feature_mask.items()},
        encoded={m: v.clone() for m, v in encoding.encoded.items()},
        fusion=None,
    )
