"""Passes of a judge: a copy of the target that was fine-tuned with random parts of its inputs removed.

The judge has seen inputs with parts removed and has never seen a map. So what it makes of a removal is no surprise to
it (the input is *in distribution*), and no method was trained on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sidelight.core.field_checks import Count, Number, Numbers, check_fields, require_once
from sidelight.core.layout import Layout, lay_out
from sidelight.core.seeds import sample_seed
from sidelight.core.tensors import places
from sidelight.core.types import Scores
from sidelight.errors import ConfigError
from sidelight.lab.metrics.layout import ReducedMap
from sidelight.lab.metrics.probe import Probe, clean_pass
from sidelight.lab.metrics.ranking import area_counts
from sidelight.targets.base import TargetModel

#: salts of the draws, so that no two purposes share them
_PARTS, _CELLS = 41, 43


@dataclass(frozen=True)
class JudgeSettings:
    """What is asked of a judge.

    Attributes:
        beta: largest share of the features that is removed at once.
        alpha: share of a part that is removed, as far as ``beta`` allows.
        sizes: of the top part, as shares of the features.
        draws: random removals of each part.
        cells: at most so many cells of a sample are removed one by one. If there are more, a random choice of them is.

    Raises:
        ConfigError: a value is of another kind or out of range, or a size is given twice.
    """

    beta: Number = 0.1
    alpha: Number = 0.5
    sizes: Numbers = (0.1, 0.3, 0.5, 0.7, 0.9)
    draws: Count = 10
    cells: Count = 64

    def __post_init__(self) -> None:
        check_fields(self, "judge")
        require_once(self.sizes, "judge.sizes")
        for name in ("beta", "alpha"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"judge.{name} must lie in (0, 1]; got {getattr(self, name)}.")
        if not self.sizes or not all(0 < size < 1 for size in self.sizes):
            raise ConfigError(f"judge.sizes must lie in (0, 1), e.g. [0.1, 0.5]; got {list(self.sizes)}.")
        if self.cells < 2:
            raise ConfigError(f"judge.cells must be at least 2; got {self.cells}.")


def removed_counts(part: Tensor, total: Tensor, alpha: float, beta: float) -> Tensor:
    """Features that are removed from a part: the share ``alpha`` of it, at most the share ``beta`` of all.

    At least one is removed, unless the part is empty.

    Args:
        part: features in the part, any shape.
        total: features in all, broadcastable.

    Example:
        >>> import torch
        >>> removed_counts(torch.tensor([0, 1, 10, 90]), torch.tensor(100), 0.5, 0.1)
        tensor([ 0,  1,  5, 10])
    """
    wanted = (alpha * part.double() + 0.5).floor()
    allowed = (beta * total.double() + 1e-9).floor()
    return torch.minimum(torch.minimum(wanted, allowed).clamp(min=1), part.double()).long()


@dataclass(frozen=True)
class SingleDeletions:
    """What the judge loses if single units of ``B`` samples are removed. It does not depend on a map.

    Attributes:
        units: cells of the layout; of a text, words.
        drops: ``[B, U]`` fall of the class's logit, 0 if not measured.
        measured: ``[B, U]`` true for units that were removed.
    """

    units: Layout
    drops: Tensor
    measured: Tensor

    def worth(self, maps: ReducedMap, layout: Layout) -> Tensor:
        """``[B, U]`` attribution of each unit: the sum over its features of what adds up, or the mean if scores only rank."""
        if maps.effect is not None:
            return self.units.pool(layout.spread(maps.effect)) * self.units.size
        mean = self.rank(maps, layout)
        return mean if maps.ordinal else mean * self.units.size

    def rank(self, maps: ReducedMap, layout: Layout) -> Tensor:
        """``[B, U]`` place of each unit in the order: the mean over its features."""
        return self.units.pool(layout.spread(maps.order))


class JudgePasses:
    """Measures a judge on one batch, about the class that the target predicts. All methods share the passes.

    Args:
        judge: the fine-tuned copy.
        probe: of the target, on the same batch.
        ids: names of the samples. With ``seed`` they seed every draw.
        settings: what is asked.
        seed: of the run.
    """

    def __init__(
        self, judge: TargetModel, probe: Probe, ids: Sequence[int], settings: JudgeSettings, seed: int = 0
    ) -> None:
        self.judge, self.settings = judge, settings
        self._ids, self._seed = list(ids), seed
        encoding = clean_pass(judge, probe.inputs, ids)
        asked = (probe.inputs, probe.seeds, probe.forward_batch)  # the same fill values as the target sees
        self._sure, self._logit = (
            Probe(judge, *asked, name, ids, encoding, probe.classes) for name in ("probability", "logit")
        )
        self._singles: dict[tuple[str, tuple[str, ...], str], SingleDeletions] = {}

    @property
    def clean(self) -> Tensor:
        """``[B]`` the judge's probability of the target's class for the whole input."""
        return self._sure.clean

    def parts(self, fill: str, layout: Layout, orders: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The judge's probability with random features of the top part removed, and of the rest.

        Every method gets the same random keys, so their difference is no matter of chance.

        Args:
            fill: name of the fill for removed features.
            orders: for each tie draw ``[B, M]``, the place of every cell.

        Returns:
            ``(top, rest)``, each ``[B, S]`` for S sizes of the top part, the mean over the draws.
        """
        plan = self._plan(layout)
        keys, place = self._keys(layout, self.settings.draws, _PARTS), torch.stack(list(orders))
        real, sample = layout.real_cells, plan[:, 0]

        def masks(rows: slice) -> Scores:
            own, size, draw, rest, gone = plan[rows].unbind(1)
            first = place[draw % len(place), own] < size[:, None]
            inside = (first ^ rest.bool()[:, None]) & real[own]
            order = keys[draw, own].masked_fill(~inside, torch.inf).argsort(1)
            removed = inside & (places(order) < gone[:, None])
            kept = ~removed.gather(1, layout.cells[own]) | ~layout.real[own]
            return layout.unflatten(kept.float())

        p = self._sure.confidence(fill, sample, masks)[:, 0]
        shape = (2, len(self.settings.sizes), self.settings.draws, self._sure.size)
        top, rest = p.view(shape).mean(2).transpose(1, 2)
        return top, rest

    def _plan(self, layout: Layout) -> Tensor:
        """``[R, 5]`` for each pass: sample, size of the top part, draw, whether the rest is meant, features to remove."""
        total = layout.real_cells.sum(1)
        sizes = area_counts(total, self.settings.sizes).T  # [S, B]
        draws = torch.arange(self.settings.draws, device=total.device)
        rows = []
        for rest in (0, 1):
            part = total - sizes if rest else sizes
            gone = removed_counts(part, total, self.settings.alpha, self.settings.beta)
            shape = (len(sizes), len(draws), len(total))
            samples = torch.arange(len(total), device=total.device).expand(shape)
            columns = (
                samples,
                sizes[:, None].expand(shape),
                draws[None, :, None].expand(shape),
                torch.full_like(samples, rest),
                gone[:, None].expand(shape),
            )
            rows.append(torch.stack(columns, -1).flatten(0, 2))
        return torch.cat(rows)

    def single(self, fill: str, layout: Layout, label: str) -> SingleDeletions:
        """Removals of one unit at a time.

        Args:
            fill: name of the fill for removed features.
            layout: whose cells are removed. Tokens of a text are removed by words.
            label: of the layout's granularity: the passes are made once for each.
        """
        key = (fill, tuple(layout.shapes), label)
        if key not in self._singles:
            self._singles[key] = self._single(fill, self._by_words(layout))
        return self._singles[key]

    def _single(self, fill: str, units: Layout) -> SingleDeletions:
        real = units.real_cells
        keys = self._keys(units, 1, _CELLS)[0].masked_fill(~real, torch.inf)
        measured = real & (places(keys.argsort(1)) < self.settings.cells)
        sample, unit = measured.nonzero(as_tuple=True)

        def masks(rows: slice) -> Scores:
            own, gone = sample[rows], unit[rows]
            kept = (units.cells[own] != gone[:, None]) | ~units.real[own]
            return units.unflatten(kept.float())

        after = self._logit.confidence(fill, sample, masks)[:, 0]
        drops = torch.zeros(real.shape, dtype=after.dtype, device=after.device)
        drops[sample, unit] = self._logit.clean[sample] - after
        return SingleDeletions(units, drops, measured)

    def _by_words(self, layout: Layout) -> Layout:
        """``layout`` with words as the cells of texts."""
        words = self.judge.words(self._sure.inputs)
        mask, cells, start = {}, {}, 0
        for name, shape in layout.shapes.items():
            width = int(torch.Size(shape).numel())
            own = layout.cells[:, start : start + width]
            mask[name] = layout.real[:, start : start + width].view(-1, *shape)
            cells[name] = words[name].to(own.device) if name in words else own - own.min()
            start += width
        return lay_out(mask, cells)

    def _keys(self, layout: Layout, draws: int, salt: int) -> Tensor:
        """``[draws, B, M]`` random keys of each sample's real cells, the same in any batch."""
        real = layout.real_cells
        keys = torch.ones(len(real), draws, real.shape[1], dtype=torch.float64)
        for row, (there, sample) in enumerate(zip(real.cpu(), self._ids, strict=True)):
            generator = torch.Generator().manual_seed(sample_seed(self._seed, sample, salt))
            # one row of a draw after the other, so that padding shifts nothing
            keys[row][:, there] = torch.rand(
                draws, int(there.sum()), generator=generator, dtype=torch.float64
            )
        return keys.transpose(0, 1).to(real.device)
