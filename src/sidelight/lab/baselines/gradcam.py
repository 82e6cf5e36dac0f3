"""Grad-CAM on an image model's states. Nobody has to name a layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from sidelight.errors import UnsupportedTargetError
from sidelight.lab.baselines.base import Job, Rival, class_output, register


@register
@dataclass(frozen=True)
class GradCam(Rival):
    """Class activation map of the deepest state that has a grid and a gradient.

    Channels are weighted by their gradient averaged over the grid, summed, cut at zero and upsampled to the
    input. A transformer that classifies from its class token has a gradient of exactly zero at the patch tokens
    of its last state. The method then takes the state before it. Class, distillation and register tokens are
    dropped, and states of one cell are skipped. Each sample has its own choice, so the batch has no influence.

    Source: Selvaraju et al. 2017.
    """

    modalities: ClassVar[tuple[str, ...] | None] = ("image",)
    name = "grad_cam"
    signed = False
    reduction = "none"

    def _maps(self, job: Job) -> Mapping[str, Tensor]:
        states_with_grad = getattr(job.target, "states_with_grad", None)
        shapes = job.score_shapes()
        if states_with_grad is None or len(shapes) != 1:
            raise UnsupportedTargetError(
                f"Grad-CAM needs one modality with states on a grid; {type(job.target).__name__} has "
                f"{', '.join(shapes)}. Leave 'grad_cam' out of evaluation.rivals."
            )
        logits, states, layout = states_with_grad(job.inputs)
        total = class_output(logits, job.classes).sum()
        grads = torch.autograd.grad(total, states, allow_unused=True)
        ((name, shape),) = shapes.items()
        cam = torch.zeros(shape, device=total.device, dtype=total.dtype)
        waiting = torch.ones(job.size, dtype=torch.bool, device=total.device)
        for index in reversed(range(len(states))):
            grad = grads[index]
            if grad is None:
                continue
            values, slopes = layout(states[index].detach(), index), layout(grad, index)
            live = waiting & slopes.flatten(1).any(1)
            if values.shape[-2:].numel() > 1 and bool(live.any()):
                cam[live] = class_activation(values[live], slopes[live], shape[-2:])
                waiting = waiting & ~live
        return {name: cam}


def class_activation(values: Tensor, slopes: Tensor, size: tuple[int, ...]) -> Tensor:
    """Grad-CAM of activations ``[B, C, h, w]`` and their gradients, upsampled to ``[B, 1, *size]``."""
    weights = slopes.mean((2, 3), keepdim=True)
    cam = (weights * values).sum(1, keepdim=True).relu()
    return F.interpolate(cam, size=size, mode="bilinear", align_corners=False)
