"""The certificate of a map: how well it does on the very input that it explains, measured by masking.

First only the part that the map shows is kept, and then this part is removed. Then features are removed one share after
another, best first, until the model predicts another class. The formulas are those of the metrics ``average_drop``,
``deletion_auc``, ``insertion_auc`` and ``flip_share``. So the numbers equal those of an evaluation of this sample. But a
scorer that has not learnt to rank (``objective="thesis"``) is ranked by its raw scores here, which have next to no ties. An
evaluation ranks it by its map, whose ties are broken at random.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from sidelight.core.layout import Layout, lay_out
from sidelight.core.tensors import decisions, places, probabilities, step_counts
from sidelight.core.types import Encoding, Inputs, Reading, Scores, Unmasked, take_rows
from sidelight.fills.base import complement, shared_fills
from sidelight.targets.base import TargetModel

#: Steps of the curves, and masked inputs in each pass.
STEPS, ROWS = 20, 64
#: Fills by modality. There are two, because one alone can favour a map by accident. None of them draws at random.
CERTIFICATE_FILLS = {"image": ("zero", "blur"), "text": ("zero", "mean"), "image+text": ("zero", "mean")}


@dataclass(frozen=True)
class Certificate:
    """Measurements of one map of one input under one fill.

    Attributes:
        fill: name of the fill.
        clean: probability of the class explained, for the whole input.
        kept: its probability if only the part that the map shows stays (the map masks the input).
        lost: its probability if that part is removed.
        shares: ``[K+1]`` shares of the features, from 0 to 1.
        deletion: ``[K+1]`` its probability if such a share of the best features is removed.
        insertion: ``[K+1]`` its probability if only such a share of the best features is kept.
        flip: share of the features that must go, best first, until the model predicts another class. 1 if it never does. Of
            independent labels, until the label explained is no longer there, or no longer missing.
    """

    fill: str
    clean: float
    kept: float
    lost: float
    shares: tuple[float, ...]
    deletion: tuple[float, ...]
    insertion: tuple[float, ...]
    flip: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, rounded to 6 digits."""
        numbers = {k: round(getattr(self, k), 6) for k in ("clean", "kept", "lost", "flip")}
        curves = {k: [round(v, 6) for v in getattr(self, k)] for k in ("shares", "deletion", "insertion")}
        return {"fill": self.fill, **numbers, **curves}


def certificate_fills(modalities: Collection[str]) -> tuple[str, ...]:
    """The fills of a certificate for a target that reads ``modalities``."""
    return CERTIFICATE_FILLS.get("+".join(modalities)) or shared_fills(modalities, 2)


def certify(
    target: TargetModel,
    inputs: Inputs,
    encoding: Encoding,
    reading: Reading,
    classes: Tensor | None = None,
    fills: Sequence[str] = (),
    seeds: Sequence[int] | None = None,
    steps: int = STEPS,
) -> list[list[Certificate]]:
    """Measure the map of each sample under each fill.

    Args:
        inputs: ``B`` samples on the target's device.
        encoding: their clean pass.
        reading: their maps and rankings.
        classes: ``[B]`` class explained. Default: the predicted ones.
        fills: default: :data:`CERTIFICATE_FILLS`.
        seeds: one integer per sample, for random fills. Default: 0, 1, ...
        steps: K, the number of points of the curves after the first.

    Returns:
        For each sample one certificate per fill.

    Raises:
        UnknownNameError: there is no such fill.
    """
    chosen = encoding.prediction if classes is None else classes
    names = list(fills) or certificate_fills(target.modalities)
    job = _Job(target, inputs, target.unmasked(inputs, encoding), encoding, reading, chosen, steps)
    by_fill = [job.measure(name, list(seeds or range(len(chosen)))) for name in names]
    return [list(found) for found in zip(*by_fill, strict=True)]


@dataclass(frozen=True)
class _Job:
    target: TargetModel
    inputs: Inputs
    unmasked: Unmasked
    encoding: Encoding
    reading: Reading
    classes: Tensor
    steps: int

    @cached_property
    def layout(self) -> Layout:
        """Of the features that are ranked together."""
        return lay_out({m: self.unmasked.feature_mask[m] for m in self.reading.scores})

    @cached_property
    def _verdicts(self) -> Tensor:
        return self.encoding.verdict(self.classes)

    @torch.no_grad()
    def measure(self, fill: str, seeds: Sequence[int]) -> list[Certificate]:
        values = self.target.fill_values(self.inputs, fill, seeds, self.unmasked.features)
        real = self.unmasked.feature_mask
        scores = self.reading.scores
        kept, _ = self._passes(scores, values)
        lost, _ = self._passes({m: complement(s, real[m]) for m, s in scores.items()}, values)
        counts = self.layout.real.sum(1)
        taken = step_counts(counts, self.steps)
        removed, stands = self._steps(taken, values, keep=False)
        alone, _ = self._steps(taken, values, keep=True)
        clean = self.encoding.probabilities.gather(1, self.classes[:, None]).squeeze(1)
        shares = taken.double() / counts[:, None].clamp(min=1)
        numbers = zip(clean.tolist(), kept.tolist(), lost.tolist(), strict=True)
        curves = zip(shares.tolist(), removed.tolist(), alone.tolist(), stands.tolist(), strict=True)
        return [
            Certificate(fill, c, k, n, tuple(x), tuple(d), tuple(i), _first_lost(x, s))
            for (c, k, n), (x, d, i, s) in zip(numbers, curves, strict=True)
        ]

    @cached_property
    def _ranks(self) -> Tensor:
        """``[B, N]`` the place of each feature, best first."""
        raw = self.layout.flatten(self.reading.ranking).float().masked_fill(~self.layout.real, -torch.inf)
        return places(raw.argsort(dim=1, descending=True, stable=True))

    def _steps(self, taken: Tensor, values: Mapping[str, Tensor], keep: bool) -> tuple[Tensor, Tensor]:
        """``[B, K+1]`` probability, and whether the prediction stays, with the first features removed or kept alone."""
        found = []
        for count in taken.T:
            first = self._ranks < count[:, None]
            stay = (first if keep else ~first) | ~self.layout.real
            found.append(self._passes(self.layout.unflatten(stay.float()), values))
        p, stands = (torch.stack(part, 1) for part in zip(*found, strict=True))
        return p, stands

    def _passes(self, masks: Scores, values: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """``[B]`` probability of the class explained, and whether the clean prediction stays, under ``masks``."""
        size, found = len(self.classes), []
        for rows in torch.arange(size, device=self.classes.device).split(ROWS):
            logits = self.target.classify(
                take_rows(self.inputs, rows, size),
                take_rows(masks, rows, size),
                take_rows(values, rows, size),
                unmasked=self.unmasked.rows(rows, size),
            )
            asked, independent = self.classes[rows], self.encoding.independent
            own = probabilities(logits, independent).gather(1, asked[:, None]).squeeze(1)
            found.append((own, decisions(logits, asked, independent) == self._verdicts[rows]))
        p, stands = (torch.cat(part) for part in zip(*found, strict=True))
        return p, stands


def _first_lost(shares: Sequence[float], stands: Sequence[bool]) -> float:
    return next((share for share, still in zip(shares, stands, strict=True) if not still), 1.0)
