"""The passes through the target: many masks of one batch, each evaluated once, in large chunks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from sidelight.core.finite import require_finite_logits
from sidelight.core.registry import Registry
from sidelight.core.tensors import probabilities
from sidelight.core.types import Inputs, Scores, take_rows
from sidelight.errors import ConfigError, InputError, NotFiniteError
from sidelight.lab.metrics.layout import Layout
from sidelight.targets.base import TargetModel

#: ``[B, K]`` float32 logits -> ``[B, K]``: how sure a model is of each class, by name.
CONFIDENCES: Registry[Callable[[Tensor], Tensor]] = Registry("confidence")
CONFIDENCES.add("probability", probabilities)
CONFIDENCES.add("logit", lambda logits: logits)


class Probe:
    """Asks a target how sure it is of its own prediction under masks of one batch.

    The clean pass, the values of each fill and the pass with everything removed are made
    once and shared by every method that is evaluated on the batch.

    Args:
        target: the frozen model.
        inputs: its inputs, ``B`` samples.
        seeds: one integer per sample, for random fills.
        forward_batch: masked copies that go through the target together.
        confidence: a name in :data:`CONFIDENCES`.
        ids: what the samples are called in messages; default: their place in the batch.

    Attributes:
        size: B.
        classes: ``[B]`` class predicted on the clean input.
        clean: ``[B]`` its probability (or other confidence).

    Raises:
        InputError: ``inputs`` are not what the target takes, or seeds do not fit them.
        NotFiniteError: the model's output holds NaN or infinity, here or under a mask later.
        ConfigError: ``forward_batch`` below 1.
    """

    def __init__(
        self,
        target: TargetModel,
        inputs: Inputs,
        seeds: Sequence[int],
        forward_batch: int = 128,
        confidence: str = "probability",
        ids: Sequence[int] | None = None,
    ) -> None:
        if forward_batch < 1:
            raise ConfigError(f"forward_batch must be at least 1; got {forward_batch}.")
        target.check(inputs)
        self.target = target
        self.inputs = target.to_device(inputs)
        self.seeds = list(seeds)
        self.forward_batch = forward_batch
        self._sure = CONFIDENCES[confidence]
        self.feature_mask = target.feature_mask(self.inputs)
        self._fills: dict[str, dict[str, Tensor]] = {}
        self._empty: dict[tuple[str, tuple[str, ...]], Tensor] = {}
        with torch.no_grad():
            self._features = {k: v.detach() for k, v in target.features(self.inputs).items()}
            self.size = len(next(iter(self._features.values())))
            if len(self.seeds) != self.size:
                raise InputError(f"expected one seed per sample, {self.size}; got {len(self.seeds)}.")
            chunks = torch.arange(self.size, device=target.device).split(forward_batch)
            logits = [
                target.forward(self._take(self.inputs, r), self._take(self._features, r)) for r in chunks
            ]
            encoded = [target.encoded(self._take(self.inputs, r)) for r in chunks]
        # apart from the inputs, which rivals get to see and to change
        self._encoded = {k: torch.cat([e[k] for e in encoded]) for k in encoded[0]}
        self._ids = list(range(self.size) if ids is None else ids)
        clean = torch.cat(logits).float()
        self._require_finite(clean, range(self.size))
        self.clean, self.classes = self._sure(clean).max(-1)

    def _require_finite(self, logits: Tensor, samples: Sequence[int], where: str = "") -> None:
        try:
            require_finite_logits(logits, where)
        except NotFiniteError as error:
            raise error.numbered([self._ids[i] for i in samples]) from None

    def _take(self, tensors: Mapping[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
        return take_rows(tensors, rows, self.size)

    def fill(self, name: str) -> dict[str, Tensor]:
        """Values of the fill ``name``, computed on first use."""
        if name not in self._fills:
            self._fills[name] = self.target.fill_values(self.inputs, name, self.seeds, self._features)
        return self._fills[name]

    @torch.no_grad()
    def confidence(self, fill: str, rows: Tensor, masks: Callable[[slice], Scores]) -> Tensor:
        """Confidence in the clean prediction for ``R`` masked copies.

        Args:
            fill: what stands where a feature was removed.
            rows: ``[R]`` the sample of each copy.
            masks: gives the scores of a slice of the copies; called chunk by chunk, so
                the masks of a whole run never exist at the same time.

        Returns:
            ``[R]`` float32, in [0, 1] where it is a probability.
        """
        values, inputs = self.fill(fill), {**self.inputs, **self._encoded}
        out = torch.empty(len(rows), device=self.clean.device)
        with self.target.borrowed():
            for start in range(0, len(rows), self.forward_batch):
                part = slice(start, start + self.forward_batch)
                chunk = rows[part]
                logits = self.target.classify(
                    self._take(inputs, chunk), masks(part), self._take(values, chunk)
                )
                self._require_finite(logits, chunk.tolist(), f"of an input masked under fill {fill!r}")
                out[part] = self._sure(logits.float()).gather(1, self.classes[chunk, None]).squeeze(1)
        return out

    def under_map(self, fill: str, layout: Layout, soft: Tensor) -> Tensor:
        """``[B]`` confidence when the soft map ``[B, N]`` masks the input; unreal features stay."""
        scores = soft.masked_fill(~layout.real, 1.0)
        rows = torch.arange(len(soft), device=soft.device)
        return self.confidence(fill, rows, lambda part: layout.unflatten(scores[part]))

    def empty(self, fill: str, layout: Layout) -> Tensor:
        """``[B]`` confidence with every real feature of the layout's modalities removed."""
        key = (fill, tuple(layout.shapes))
        if key not in self._empty:
            self._empty[key] = self.under_map(
                fill, layout, torch.zeros(layout.real.shape).to(layout.real.device)
            )
        return self._empty[key]

    def curves(
        self, fill: str, layout: Layout, ranks: Sequence[Tensor], counts: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Confidence with the top cells removed, and with the top cells alone.

        A mask asked for twice (a count shared by two grids, a short text with fewer cells
        than steps) is evaluated once; nothing removed is the clean pass, everything
        removed is :meth:`empty`.

        Args:
            fill: what stands where a feature was removed.
            layout: cells of the features.
            ranks: for each tie draw, ``[B, M]`` place of every cell.
            counts: ``[B, P]`` number of top cells, 0 to the sample's number of cells.

        Returns:
            ``(removed, kept)``, each ``[B, P]``, averaged over the draws.
        """
        cells, draws = layout.size.shape[1], len(ranks)
        # half the bytes of int64: comparing places is most of what a small target does not do itself
        places = torch.cat([layout.spread(rank) for rank in ranks]).int()  # [D·B, N]
        copies = torch.arange(len(places), device=counts.device)
        code = (copies[:, None] * (cells + 1) + counts.repeat(draws, 1)) * 2  # even: removed, odd: kept
        unique, inverse = torch.stack([code, code + 1]).unique(return_inverse=True)
        kept, count, copy = unique % 2 == 1, unique // 2 % (cells + 1), unique // 2 // (cells + 1)
        sample = copy % len(counts)
        nothing_left = count == torch.where(kept, 0, layout.real_cells.sum(1)[sample])
        nothing_gone = count == torch.where(kept, layout.real_cells.sum(1)[sample], 0)
        p = torch.where(nothing_gone, self.clean[sample], self.empty(fill, layout)[sample])
        todo = (~nothing_left & ~nothing_gone).nonzero().flatten()
        sample_, copy_, count_, kept_ = (t[todo] for t in (sample, copy, count.int(), kept))
        unreal = ~layout.real

        def masks(part: slice) -> Scores:
            top = places.index_select(0, copy_[part]) < count_[part, None]
            keep = (top == kept_[part, None]) | unreal.index_select(0, sample_[part])
            return layout.unflatten(keep.float())

        p[todo] = self.confidence(fill, sample_, masks)
        removed, alone = p[inverse].unflatten(1, (draws, len(counts))).mean(1)
        return removed, alone
