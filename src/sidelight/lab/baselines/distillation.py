"""A mask through which a small student can mimic the target near one input, learnt anew for each sample."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from sidelight.core.seeds import stream
from sidelight.lab.baselines.base import Job, at_least, register
from sidelight.lab.baselines.cells import CellMethod, Cells

#: Step size of Adam, and weight decay of the student. With little decay the student grows instead of the mask: with 0.001
#: the scores of three cells that decide were 0.41, 0.60 and 0.68 beside 0.22, and with 0.3 they are 0.61, 0.85 and 0.88
#: beside 0.29.
RATE, DECAY = 0.05, 0.3
#: A neighbour hides at most this share of the cells.
HIDDEN = 0.5


@register
@dataclass(frozen=True)
class DistillationMasks(CellMethod):
    """A mask and a student network that are learnt together from the target's outputs near the input.

    The student sees only what the mask lets through and must give the target's output. It shares its loss with the
    mask, which should let little through. So cells that the output depends on get a high score, for the class or
    against it. Of the target only outputs are used.

    Source: DAX (Bhattacharya et al. 2024, arXiv 2409.11123, reference 3 of the thesis), as far as its abstract tells:
    a mask and a student, optimised jointly on perturbed copies of the input, with targets from queries alone. All
    details are our choice: a neighbour hides a uniform share of the cells, at most half. The mask holds a number for
    each cell instead of being made by a network. The student has one hidden layer over the cells shown. The loss is the
    squared error over its variance, plus ``sparsity`` times the mean of the mask.

    Args:
        n_samples: neighbours, each of which is one pass of the target.
        steps: of Adam.
        width: of the student's hidden layer.
        sparsity: weight of the mask's mean.
    """

    name = "distillation_masks"
    signed = False

    output: str = "probability"
    n_samples: int = at_least(2, 200)
    steps: int = at_least(1, 200)
    width: int = at_least(1, 16)
    sparsity: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("sparsity", self.sparsity >= 0, "not be negative")

    def _scores(self, job: Job, cells: Cells) -> Tensor:
        generator = stream(self.seed, job.ids[0], 6)
        bits = self._neighbours(cells.count, generator)
        device = job.classes.device
        chunks = bits.to(device).float().split(max(1, self.internal_batch))
        outputs = torch.cat([cells.outputs(chunk) for chunk in chunks]).cpu().double()
        mask = self._learnt(bits.double(), outputs, generator)
        return mask.to(device, torch.promote_types(next(iter(job.features.values())).dtype, torch.float32))

    def _neighbours(self, count: int, generator: torch.Generator) -> Tensor:
        """``[n_samples, count]`` bits, the first of which show everything."""
        hidden = HIDDEN * torch.rand(self.n_samples, 1, generator=generator, dtype=torch.float32)
        bits = torch.rand(self.n_samples, count, generator=generator, dtype=torch.float32) >= hidden
        bits[0] = True
        return bits

    def _learnt(self, bits: Tensor, outputs: Tensor, generator: torch.Generator) -> Tensor:
        """``[C]`` mask in (0, 1). It is constant if the outputs do not vary: nothing can be learnt from them."""
        spread = outputs.var(unbiased=False)
        if float(spread) < 1e-12:
            return torch.zeros(bits.shape[1], dtype=torch.float64)
        with torch.enable_grad():
            raw = nn.Parameter(torch.zeros(bits.shape[1], dtype=torch.float64))
            student = _student(bits.shape[1], self.width, generator)
            optimiser = torch.optim.AdamW(
                [
                    {"params": [raw], "weight_decay": 0.0},
                    {"params": student.parameters(), "weight_decay": DECAY},
                ],
                lr=RATE,
            )
            target = (outputs - outputs.mean()) / spread.sqrt()
            for _ in range(self.steps):
                mask = torch.sigmoid(raw)
                error = (student(mask * bits).squeeze(1) - target).square().mean()
                optimiser.zero_grad()
                (error + self.sparsity * mask.mean()).backward()
                optimiser.step()
        return torch.sigmoid(raw).detach()


def _student(inputs: int, width: int, generator: torch.Generator) -> nn.Sequential:
    """A network of one hidden layer in float64. The global generator is not touched."""
    layers = [skip_init(nn.Linear, n, m, dtype=torch.float64) for n, m in ((inputs, width), (width, 1))]
    with torch.no_grad():
        for layer in layers:
            for parameter in layer.parameters():
                drawn = 2 * torch.rand(parameter.shape, generator=generator, dtype=torch.float64) - 1
                parameter.copy_(drawn / layer.in_features**0.5)
    return nn.Sequential(layers[0], nn.Tanh(), layers[1])
