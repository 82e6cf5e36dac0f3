"""What maps of one input are worth: each method keeps, or removes, as many features as all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from sidelight.core.layout import Layout, lay_out
from sidelight.core.tensors import probabilities
from sidelight.core.types import Encoding, Inputs, Scores, take_rows
from sidelight.fills.base import complement
from sidelight.lab.metrics.layout import read_scores, require_scores
from sidelight.lab.metrics.ranking import area_counts, ranks
from sidelight.lab.metrics.similarity import spearman
from sidelight.targets import TargetModel

#: a measured number, and the reduction of a signed map that gave it
Value = tuple[float, str]


@dataclass(frozen=True)
class Worth:
    """The numbers of one method.

    Attributes:
        kept: fill -> probability of the class with the top features alone. Higher is better.
        lost: fill -> its probability without them. Lower is better.
        agreement: rank correlation with the order of ours, -1 to 1. ``None`` for ours, and for constant maps.
    """

    kept: Mapping[str, Value]
    lost: Mapping[str, Value]
    agreement: float | None


@dataclass(frozen=True)
class Worths:
    """Measures maps of one sample.

    Args:
        target: asked about masked copies.
        inputs: one sample, on its device.
        encoding: its clean pass.
        label: class whose probability counts.
        area: share of the features that is kept, and that is removed.
        fills: what stands in for removed features.
    """

    target: TargetModel
    inputs: Inputs
    encoding: Encoding
    label: int
    area: float
    fills: Sequence[str]

    @cached_property
    def layout(self) -> Layout:
        """All features of the sample, which are ranked together."""
        return lay_out(self.encoding.feature_mask)

    def require_fills(self) -> None:
        """Raise :class:`UnknownNameError` if there is no such fill."""
        for fill in self.fills:
            self.target.fill_values(self.inputs, fill, [0])

    def of(self, maps: Mapping[str, tuple[Scores, bool]], ours: str) -> dict[str, Worth]:
        """The worth of each method's map.

        Args:
            maps: method -> its scores, and whether their sign has a meaning. A signed map is read twice, by absolute value
                and with its sign, and the better reading counts in each number.
            ours: the method that the others are compared with.

        Raises:
            InputError: a map lacks a modality or holds NaN.
        """
        orders = {name: self._orders(*found) for name, found in maps.items()}
        flat = [(name, reading, order) for name, own in orders.items() for reading, order in own.items()]
        masks = torch.cat([self._top(order) for _, _, order in flat])
        values = {fill: self._passes(masks, fill) for fill in self.fills}
        base = next(iter(orders[ours].values()))
        found = {}
        for name, own in orders.items():
            places = {reading: i for i, (n, reading, _) in enumerate(flat) if n == name}
            kept = {f: max((float(k[i]), r) for r, i in places.items()) for f, (k, _) in values.items()}
            lost = {f: min((float(v[i]), r) for r, i in places.items()) for f, (_, v) in values.items()}
            found[name] = Worth(kept, lost, None if name == ours else self._agreement(base, own))
        return found

    def _orders(self, scores: Scores, signed: bool) -> dict[str, Tensor]:
        """``[1, N]`` values that rank the features, by reduction."""
        require_scores(scores, self.encoding.feature_mask, tuple(self.encoding.feature_mask))
        layout = self.layout
        return {name: found.order for name, found in read_scores(scores, layout, signed).items()}

    def _top(self, order: Tensor) -> Tensor:
        """``[1, N]`` true for the top features."""
        real = self.layout.real
        count = area_counts(real.sum(1), [self.area])
        return (ranks(order.to(real.device), real, [0]) < count) & real

    @torch.no_grad()
    def _passes(self, top: Tensor, fill: str) -> tuple[Tensor, Tensor]:
        """``[M]`` probability with the top features alone, and without them, for each of ``top [M, N]``."""
        real = self.encoding.feature_mask
        whole = self.target.unmasked(self.inputs, self.encoding)
        values = self.target.fill_values(self.inputs, fill, [0], whole.features)
        rows = torch.zeros(len(top), dtype=torch.long, device=top.device)
        removed = {m: complement(s, real[m]) for m, s in self.layout.unflatten((~top).float()).items()}
        alone = {m: complement(s, real[m]) for m, s in self.layout.unflatten(top.float()).items()}
        copies = (take_rows(self.inputs, rows, 1), take_rows(values, rows, 1), whole.rows(rows, 1))
        kept, lost = (
            probabilities(
                self.target.classify(copies[0], masks, copies[1], unmasked=copies[2]), self.target.independent
            )[:, self.label]
            for masks in (removed, alone)
        )
        return kept, lost

    def _agreement(self, base: Tensor, own: Mapping[str, Tensor]) -> float | None:
        order = own.get("positive", next(iter(own.values())))
        found = float(spearman(base, order, self.layout.real)[0])
        return None if found != found else found  # NaN: a constant map has no order
