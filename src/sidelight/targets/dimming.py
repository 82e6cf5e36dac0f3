"""Does a small score remove anything from this target? Not under every fill."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sidelight.targets.base import TargetModel
from sidelight.types import Inputs

#: a fill is blind where a score of FAINT everywhere costs less confidence than STAYS, but zeros more than GOES
FAINT, STAYS, GOES = 0.1, 0.01, 0.1


@torch.no_grad()
def blind_fills(target: TargetModel, inputs: Inputs, fills: Sequence[str]) -> list[str]:
    """The fills under which only scores of exactly 0 remove anything from ``inputs``.

    A model that normalises its input first sees the same in a tenth of it: DeBERTa's layer norm
    follows right after the word embedding, so under zero fill every positive score shows the word
    in full. There a scorer has little to learn from, and average drop rewards any map without zeros.

    Args:
        target: the frozen model.
        inputs: a prepared batch of ordinary samples; 16 are enough.
        fills: names of fills.
    """
    encoding = target.encode(inputs)
    sure, classes = encoding.probabilities.max(-1)

    def drop(level: float, fill: str) -> float:
        scores = {
            m: torch.full_like(mask, level, dtype=sure.dtype) for m, mask in encoding.feature_mask.items()
        }
        p = target.classify(inputs, scores, fill).float().softmax(-1)
        return float((sure - p.gather(1, classes[:, None]).squeeze(1)).clamp(min=0).mean())

    return [f for f in fills if drop(FAINT, f) < STAYS and drop(0.0, f) > GOES]
